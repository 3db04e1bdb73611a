"""Builds a snapshot from a `ray.data.Dataset`: Ray moves the rows, `shardy` does the rest.

    job = plan("s3://bucket/people/_CURRENT", key="id", key_encoding="u64be", value="body", shards=64)
    write_snapshot(ray.data.read_parquet("s3://bucket/rows/"), job)

As a command: python shardy_ray.py --job job.json --input s3://bucket/rows/
"""

import argparse
import contextlib
import hashlib
import json
import re
import sys
import threading
import time

import pyarrow as pa
import ray
import ray.cloudpickle
import ray.data

from shardy_task import Job, ShardyError, build, pickle_by_value, plan, publish, publish_options, route, slices

__all__ = ["Job", "ShardyError", "main", "plan", "write_snapshot"]

# Tells a row's partition. Taken off before the build.
PARTITION = "__shardy_partition"
LINE = pa.schema([pa.field("line", pa.string())])
# Ray runs a task again whose process or machine got lost, but not one that has raised.
RETRY_DELAYS_SECONDS = (1, 5, 25)


def write_snapshot(dataset, job, *, partitions=None, ray_remote_args=None, **options):
    """Routes, shuffles, builds and publishes: gives what `shardy publish` prints.

    A task builds the shards of one partition, whose rows Ray holds in memory. Of rows with one key any may win, as Ray
    keeps no order: make keys unique before.

    job: a Job, or what it takes.
    partitions: of the shuffle; as many as shards, unless given.
    ray_remote_args: for the tasks that build, such as {"memory": 4 << 30}.
    options: of `publish`, such as verify=True.
    """
    job = job if isinstance(job, Job) else Job(job)
    pickle_by_value(ray.cloudpickle, __name__)
    names = dataset.columns(fetch_if_missing=False)
    if names:
        # Without rows: whether the worker is there and takes this job, and which columns are missing.
        build(job, pa.schema([(name, pa.null()) for name in names]), [])
    try:
        if job.shard_count == 1:
            lines, rows = _build_single(dataset, job)
            return publish(job, lines, **{"rows": rows, **options})
        lines = _build_shards(dataset, job, partitions or job.shard_count, ray_remote_args or {})
    except ray.exceptions.RayError as error:
        own = _own_words(error)
        if own is None:
            raise
        raise own from error
    return publish(job, lines, **options)


def _build_shards(dataset, job, partitions, ray_remote_args):
    keys = _partition_keys(job.shard_count, partitions)
    routed = _needed(dataset, job).map_batches(_router(job, keys), batch_size=None, batch_format="pyarrow")
    with _hash_shuffle(dataset):
        # A block for each partition, which is a batch for the build: Ray must not split these, and its own groupby
        # relies on it. If rows of a shard got into two tasks, publish would find fewer than the route stage counted.
        built = routed.repartition(partitions, keys=[PARTITION]).map_batches(
            _builder(job), batch_size=None, batch_format="pyarrow", **ray_remote_args
        )
        return [row["line"] for row in built.take_all()]


def _build_single(dataset, job):
    """Rows stream through the driver to one worker."""
    dataset = _needed(dataset, job)
    if job.sort_columns:
        dataset = dataset.sort(job.spec["keyColumn"])
    tables = (table for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow") if table.num_rows > 0)
    first = next(tables, None)
    if first is None:
        return [], 0
    rows = 0

    def batches():
        nonlocal rows
        yield from slices(first)
        rows += first.num_rows
        for table in tables:
            yield from slices(table.cast(first.schema))
            rows += table.num_rows

    return build(job, first.schema, batches()), rows


def _needed(dataset, job):
    """Without the columns that no stage reads, where Ray knows the columns without reading rows."""
    names = dataset.columns(fetch_if_missing=False) or []
    wanted = {*job.columns("route", names), *job.columns("build", names)}
    if 0 < len(wanted) < len(names):
        return dataset.select_columns([name for name in names if name in wanted])
    return dataset


def _router(job, keys):
    calls = {}

    def route_rows(table):
        names = job.columns("build", [*table.schema.names, job.shard_id_column])
        if table.num_rows == 0:
            routed = table.append_column(job.shard_id_column, pa.array([], pa.int32()))
        else:
            task = _call_number(calls)
            routed = _retried(lambda: pa.Table.from_batches(route(job, table.schema, slices(table), task=task)))
        partition = pa.array(keys, pa.int32()).take(routed[job.shard_id_column].combine_chunks())
        return routed.select(names).append_column(PARTITION, partition)

    return route_rows


def _builder(job):
    def build_shards(table):
        if table.num_rows == 0:
            return LINE.empty_table()
        table = table.drop_columns([PARTITION])
        if job.sort_columns:
            table = table.sort_by([(name, "ascending") for name in job.sort_columns])
        lines = _retried(lambda: build(job, table.schema, slices(table)))
        return pa.table([lines], schema=LINE)

    return build_shards


def _retried(run):
    for delay in RETRY_DELAYS_SECONDS:
        try:
            return run()
        except ShardyError as error:
            if not error.retryable:
                raise
            print(f"Trying again in {delay} s: {error}", file=sys.stderr)
            time.sleep(delay)
    return run()


def _call_number(calls):
    """A number for this batch of this task, the same when Ray runs the task again."""
    context = ray.get_runtime_context()
    run = (context.get_task_id(), context.get_worker_id())
    calls[run] = calls.get(run, -1) + 1
    digest = hashlib.sha256(f"{run[0]} {calls[run]}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def _partition_keys(shards, partitions):
    """For each shard a number that Ray's hash sends to partition shard % partitions.

    Hashing the shards themselves would leave a third of the partitions empty, and give others several. Only the
    balance depends on what Ray does inside: rows of a shard stay together whatever the numbers are.
    """
    numbers = pa.table({PARTITION: pa.array(range(40 * partitions + 100), pa.int32())})
    try:
        from ray.data._internal.arrow_ops.transform_pyarrow import hash_partition

        parts = hash_partition(numbers, hash_cols=[PARTITION], num_partitions=partitions)
    except (ImportError, TypeError):
        return list(range(shards))
    found = [parts[at][PARTITION].to_pylist() if at in parts else [at] for at in range(partitions)]
    return [found[shard % partitions][0] for shard in range(shards)]


_lock = threading.Lock()
_changed = {}


@contextlib.contextmanager
def _hash_shuffle(dataset):
    """Has this dataset shuffled by hash, which keeps rows of a key together, and then as before."""
    try:
        from ray.data.context import ShuffleStrategy
    except ImportError as error:
        raise ShardyError("Cannot shuffle by shard with this version of Ray: take 2.46 or later", 2) from error
    hashed = [strategy for name in ("SHUFFLE_V2", "HASH_SHUFFLE") if (strategy := getattr(ShuffleStrategy, name, None))]
    context = dataset.context
    with _lock:
        users, before = _changed.get(id(context), (0, context.shuffle_strategy))
        _changed[id(context)] = (users + 1, before)
        if context.shuffle_strategy not in hashed:
            context.shuffle_strategy = hashed[0]
    try:
        yield
    finally:
        with _lock:
            users, before = _changed.pop(id(context))
            if users > 1:
                _changed[id(context)] = (users - 1, before)
            else:
                context.shuffle_strategy = before


def _own_words(error):
    """The worker's error out of Ray's, which has it as text only."""
    found = re.findall(r"ShardyError: (.*?) \(exit code (-?\d+)\)", str(error), re.DOTALL)
    return ShardyError(found[-1][0], int(found[-1][1])) if found else None


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="shardy_ray", description="Build a snapshot with Ray. Further options are those of shardy publish."
    )
    parser.add_argument("--job", help="the job, as shardy plan writes it; default: SHARDY_JOB")
    parser.add_argument("--input", action="append", required=True, help="file or folder of rows; repeatable")
    parser.add_argument("--format", choices=["parquet", "csv", "json"], default="parquet")
    parser.add_argument("--partitions", type=int, help="of the shuffle; default: as many as shards")
    parser.add_argument("--worker", help="the program; default: SHARDY_WORKER, else shardy")
    parser.add_argument("--address", help="of the cluster; default: RAY_ADDRESS, else a new one on this machine")
    known, others = parser.parse_known_args(arguments)
    try:
        job = Job(known.job, worker=known.worker)
        ray.init(address=known.address, ignore_reinit_error=True)
        dataset = getattr(ray.data, f"read_{known.format}")(known.input)
        published = write_snapshot(dataset, job, partitions=known.partitions, **publish_options(others))
    except ShardyError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(published))
    return 0


if __name__ == "__main__":
    sys.exit(main())
