"""Builds a snapshot of a Spark data frame: Spark moves rows, `shardy` routes, builds and publishes.

    from shardy_task import plan
    from shardy_spark import write_snapshot

    job = plan("s3://bucket/people/_CURRENT", key="id", key_encoding="u64be", value="body", shards=32)
    write_snapshot(spark.table("people"), job)

or `spark-submit --py-files shardy_task.py shardy_spark.py --job job.json --input people.parquet`. Works with Spark from
3.3, and over Spark Connect.
"""

import argparse
import contextlib
import itertools
import json
import re
import threading

import pyarrow as pa
from pyspark import StorageLevel, TaskContext, cloudpickle
from pyspark.sql import SparkSession
from pyspark.sql.types import IntegerType, StructField, StructType

from shardy_task import Job, ShardyError, build, pickle_by_value, publish, route

__all__ = ["write_snapshot"]

# Settings belong to a session, which threads share.
_settings_lock = threading.Lock()
# What Spark takes for a setting that is not there.
_UNSET = "<undefined>"


def write_snapshot(
    frame, job, *, conf=None, cache_input=False, storage_level=None, partitions=None, **publish_options
):
    """Builds and publishes a snapshot of all rows of a data frame: gives what `shardy publish` prints.

    job: a Job, of `shardy plan`.
    conf: settings of Spark's for the time of the write. While it lasts, other writes with settings wait.
    cache_input: keeps the frame, so that tasks that run again need not compute it again. Do this where computing it
        twice may give other rows.
    storage_level: where it is kept. Default: StorageLevel.MEMORY_AND_DISK.
    partitions: how many tasks build. Default: one for each shard, which is number n of n.
    publish_options: those of `shardy publish`, such as `verify=True`.

    Raises ShardyError in the worker's own words, with Spark's error as its cause.
    """
    pickle_by_value(cloudpickle, __name__)
    with _settings(frame.sparkSession, conf or {}), _cached(frame, cache_input, storage_level):
        lines = _run(_built_frame(frame, job, partitions or job.shard_count))
    return publish(job, lines, **publish_options)


def _built_frame(frame, job, partitions):
    """A frame of lines, which does all the work when it is collected, each of its stages once."""
    key = f"`{job.spec['keyColumn']}`"
    if job.shard_count == 1:
        # One worker takes all rows as they come. Without a shuffle, or with that of the sort alone.
        one = _selected(frame, job.columns("build", frame.columns))
        one = one.orderBy(key) if job.sort_columns else one
        return one.coalesce(1).mapInArrow(_build_task(job), "line string")
    names = job.columns("build", frame.columns)
    sent = _selected(frame, [*names, *(name for name in job.columns("route", frame.columns) if name not in names)])
    fields = [field for field in sent.schema.fields if field.name in names]
    schema = StructType([*fields, StructField(job.shard_id_column, IntegerType(), False)])
    routed = _shuffled(sent.mapInArrow(_route_task(job, names), schema), partitions, job.shard_id_column)
    if job.sort_columns:
        routed = routed.sortWithinPartitions(*[f"`{name}`" for name in job.sort_columns])
    return routed.mapInArrow(_build_task(job), "line string")


def _selected(frame, names):
    return frame if names == frame.columns else frame.select(*[f"`{name}`" for name in names])


def _shuffled(frame, partitions, column):
    """All rows of a shard in one partition.

    A number of partitions that is given is one that adaptive execution leaves alone: it neither joins nor splits them.
    """
    if hasattr(frame, "repartitionById"):
        return frame.repartitionById(partitions, f"`{column}`")
    return frame.repartition(partitions, f"`{column}`")


def _route_task(job, names):
    def task(batches):
        # A task that runs again has the number of its partition again.
        with _told_where("route"):
            for schema, stream in _streams(batches):
                for batch in route(job, schema, stream, task=TaskContext.get().partitionId()):
                    yield batch.select([*names, job.shard_id_column])

    return task


def _build_task(job):
    def task(batches):
        # Spark's number of an attempt begins anew when a stage is run again after data got lost, so that it is not
        # enough to name folders: the worker takes one that is free.
        with _told_where("build"):
            for schema, stream in _streams(batches):
                lines = build(job, schema, stream, attempt="next", task_attempt_id=TaskContext.get().taskAttemptId())
                yield pa.RecordBatch.from_pydict({"line": lines}, pa.schema([("line", pa.string())]))

    return task


def _streams(batches):
    """The stream of a task, with its schema; none when it has no rows."""
    for first in batches:
        yield first.schema, itertools.chain([first], batches)


@contextlib.contextmanager
def _told_where(stage):
    try:
        yield
    except ShardyError as error:
        context = TaskContext.get()
        place = f"task {context.partitionId()} of stage {stage}, attempt {context.attemptNumber()}"
        error.args = (f"{error.args[0]} ({place})", error.exit_code)
        raise


def _run(frame):
    try:
        return [row.line for row in frame.collect()]
    except Exception as error:
        found = re.search(r"ShardyError: (.*?) \(exit code (\d+)\)", str(error), re.DOTALL)
        if found is None:
            raise
        raise ShardyError(found[1], int(found[2])) from error


@contextlib.contextmanager
def _settings(spark, conf):
    """Settings for a while; then those that were not there before are gone again."""
    if not conf:
        yield
        return
    with _settings_lock:
        before = {name: spark.conf.get(name, _UNSET) for name in conf}
        try:
            for name, value in conf.items():
                spark.conf.set(name, value)
            yield
        finally:
            for name, value in before.items():
                if value == _UNSET:
                    spark.conf.unset(name)
                elif spark.conf.get(name, _UNSET) != value:
                    spark.conf.set(name, value)


@contextlib.contextmanager
def _cached(frame, is_cached, storage_level):
    if not is_cached:
        yield
        return
    frame.persist(StorageLevel.MEMORY_AND_DISK if storage_level is None else storage_level)
    try:
        yield
    finally:
        frame.unpersist()


def _main():
    parser = argparse.ArgumentParser(description="Builds and publishes a snapshot of files that Spark reads")
    parser.add_argument("--job", help="file of shardy plan; default: the variable SHARDY_JOB")
    parser.add_argument("--input", required=True, action="append", help="file or folder; repeatable")
    parser.add_argument("--format", default="parquet", help="a format that Spark reads; default: parquet")
    parser.add_argument("--worker", help="command line of shardy; default: the variable SHARDY_WORKER, or shardy")
    parser.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="for the write; repeatable")
    parser.add_argument("--cache-input", action="store_true", help="keep the input in memory and on disk")
    parser.add_argument("--publish", default="{}", help='options of shardy publish as JSON: {"verify": true}')
    options = parser.parse_args()
    spark = SparkSession.builder.getOrCreate()
    result = write_snapshot(
        spark.read.format(options.format).load(options.input),
        Job(options.job, worker=options.worker),
        conf=dict(setting.split("=", 1) for setting in options.conf),
        cache_input=options.cache_input,
        **json.loads(options.publish),
    )
    print(json.dumps(result))


if __name__ == "__main__":
    _main()
