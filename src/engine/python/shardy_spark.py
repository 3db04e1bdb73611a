"""Builds a snapshot of a Spark data frame: Spark moves rows, `shardy` routes, builds and publishes.

    job = plan("s3://bucket/people/_CURRENT", key="id", key_encoding="u64be", value="body", shards=32)
    write_snapshot(spark.table("people"), job)

As a command: spark-submit --py-files shardy_task.py shardy_spark.py --job job.json --input s3a://bucket/rows/
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import sys
import threading

import pyarrow as pa
from pyspark import StorageLevel, TaskContext, cloudpickle
from pyspark.sql import SparkSession
from pyspark.sql.types import IntegerType, StructField, StructType

from shardy_task import Job, ShardyError, build, pickle_by_value, plan, publish, publish_options, route, slices

__all__ = ["Job", "ShardyError", "main", "plan", "write_snapshot"]

# Settings belong to a session, which threads share.
_settings_lock = threading.Lock()
# What Spark takes for a setting that is not there.
_UNSET = "<undefined>"
LINE = "line string"


def write_snapshot(frame, job, *, conf=None, cache_input=False, storage_level=None, partitions=None, **options):
    """Routes, shuffles, builds and publishes: gives what `shardy publish` prints.

    Of rows with one key any may win, as Spark keeps no order: make keys unique before. Raises ShardyError with Spark's
    error as its cause.

    job: a Job, or what it takes.
    conf: settings of Spark's for the time of the write; other writes with settings wait until they are restored.
    cache_input: keeps the rows, so that tasks that run again do not compute them again: where that is costly, or gives
        other rows than before.
    storage_level: where they are kept; MEMORY_AND_DISK, unless given.
    partitions: of the shuffle, each of which is a task; as many as shards, unless given.
    options: of `publish`, such as verify=True.
    """
    job = job if isinstance(job, Job) else Job(job)
    pickle_by_value(cloudpickle, __name__)
    with _settings(frame.sparkSession, conf or {}), _cached(frame, cache_input, storage_level):
        lines = _run(_built_frame(frame, job, partitions or job.shard_count))
    return publish(job, lines, **options)


def _built_frame(frame, job, partitions):
    """Lines of attempts. Nothing has run yet: collecting it does all the work, each stage once."""
    if job.shard_id_column in frame.columns:
        raise ShardyError(f"Cannot add column {job.shard_id_column!r} as there is one: plan with shard_id_column", 2)
    names = job.columns("build", frame.columns)
    rows = _selected(frame, [*names, *(name for name in job.columns("route", frame.columns) if name not in names)])
    if job.shard_count == 1:
        # All rows stream into one task, without a shuffle, or through that of the sort alone.
        rows = rows.orderBy(_quoted(job.spec["keyColumn"])) if job.sort_columns else rows
        return rows.coalesce(1).mapInArrow(_build_task(job), LINE)
    fields = [field for field in rows.schema.fields if field.name in names]
    schema = StructType([*fields, StructField(job.shard_id_column, IntegerType(), False)])
    routed = _shuffled(rows.mapInArrow(_route_task(job, names), schema), partitions, job.shard_id_column)
    if job.sort_columns:
        routed = routed.sortWithinPartitions(*map(_quoted, job.sort_columns))
    return routed.mapInArrow(_build_task(job), LINE)


def _quoted(name):
    return f"`{name.replace('`', '``')}`"


def _selected(frame, names):
    return frame if names == frame.columns else frame.select(*map(_quoted, names))


def _shuffled(frame, partitions, column):
    """All rows of a shard in one partition: shard n in partition n, with Spark from 4.1 on.

    Adaptive execution leaves partitions alone whose number was given: it neither joins nor splits them.
    """
    if hasattr(frame, "repartitionById"):
        return frame.repartitionById(partitions, _quoted(column))
    return frame.repartition(partitions, _quoted(column))


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
        # Spark counts attempts anew when it runs a stage again for results that got lost, so that its number may be
        # one that was there before. Which of several attempts wins is for the number of the task to say.
        with _told_where("build"):
            for schema, stream in _streams(batches):
                lines = build(job, schema, stream, attempt="next", task_attempt_id=TaskContext.get().taskAttemptId())
                yield pa.RecordBatch.from_pydict({"line": lines}, pa.schema([("line", pa.string())]))

    return task


def _streams(batches):
    """The one stream of a task with its schema, or none where the task has no rows."""
    for first in batches:
        yield first.schema, itertools.chain.from_iterable(map(slices, itertools.chain([first], batches)))


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
    before = {}
    with _settings_lock:
        try:
            for name, value in conf.items():
                found = spark.conf.get(name, _UNSET)
                spark.conf.set(name, value)
                before[name] = found
            yield
        finally:
            for name, value in before.items():
                if value == _UNSET:
                    spark.conf.unset(name)
                else:
                    spark.conf.set(name, value)


@contextlib.contextmanager
def _cached(frame, is_cached, storage_level):
    """A frame that the caller keeps anyway stays as it is."""
    if not is_cached or frame.storageLevel.useMemory or frame.storageLevel.useDisk:
        yield
        return
    frame.persist(StorageLevel.MEMORY_AND_DISK if storage_level is None else storage_level)
    try:
        yield
    finally:
        frame.unpersist()


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="shardy_spark", description="Build a snapshot with Spark. Further options are those of shardy publish."
    )
    parser.add_argument("--job", help="the job, as shardy plan writes it; default: SHARDY_JOB")
    parser.add_argument("--input", action="append", required=True, help="file or folder of rows; repeatable")
    parser.add_argument("--format", default="parquet", help="any that Spark reads; default: parquet")
    parser.add_argument("--partitions", type=int, help="of the shuffle; default: as many as shards")
    parser.add_argument("--worker", help="the program; default: SHARDY_WORKER, else shardy")
    parser.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE", help="a setting; repeatable")
    parser.add_argument("--cache-input", action="store_true", help="keep the rows in memory and on disk")
    known, others = parser.parse_known_args(arguments)
    # Of a driver that spark-submit has not started, Spark does not know which Python it is.
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        job = Job(known.job, worker=known.worker)
        published = write_snapshot(
            SparkSession.builder.getOrCreate().read.format(known.format).load(known.input),
            job,
            conf=dict(setting.split("=", 1) for setting in known.conf),
            cache_input=known.cache_input,
            partitions=known.partitions,
            **publish_options(others),
        )
    except ShardyError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(published))
    return 0


if __name__ == "__main__":
    sys.exit(main())
