"""Builds a snapshot from a `dask.dataframe`: Dask moves the rows, `shardy` does the rest.

    job = plan("s3://bucket/people/_CURRENT", key="id", key_encoding="u64be", value="body", shards=64)
    write_snapshot(dask.dataframe.read_parquet("s3://bucket/rows/", dtype_backend="pyarrow"), job)

As a command: python shardy_dask.py --job job.json --input s3://bucket/rows/ --scheduler tcp://scheduler:8786
"""

import argparse
import contextlib
import json
import sys
import uuid

import cloudpickle
import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from dask.dataframe.dask_expr import new_collection
from dask.dataframe.dask_expr._shuffle import Shuffle

from shardy_task import Job, ShardyError, build, pickle_by_value, plan, publish, publish_options, route, slices

__all__ = ["Job", "ShardyError", "main", "plan", "write_snapshot"]

# The column that Dask's shuffles take as the number of a partition, and do not hash.
PARTITION_COLUMN = "_partitions"
# Exit code of `shardy` for a row that cannot be stored.
EXIT_ROW = 3
# How many partitions are in memory at a time, when there is no cluster and one shard takes all of them.
PARTITIONS_AHEAD = 4


def write_snapshot(
    frame, job, *, client=None, schema=None, partitions=None, shuffle_method=None, retries=2, **options
):
    """Routes, shuffles, builds and publishes: gives what `shardy publish` prints.

    A task builds the shards of one partition, whose rows are in its memory. Of rows with one key the last one wins, in
    the order of the frame's partitions. Its index is not looked at.

    job: a Job, or what it takes.
    client: of the cluster; the current one, unless given. Where there is none, threads of this process do the work.
    schema: types of columns with dtype object, as a dict of Arrow's types by name. Columns of keys, of vectors, and of
        values that are stored as they are, need none.
    partitions: that build, shard n in partition n % partitions; as many as shards, unless given.
    shuffle_method: "p2p", for clusters, or "tasks", which takes lists and structs, too. "disk" mixes up rows with one
        key.
    retries: how often the cluster tries a task again that has failed, beside those whose machine got lost.
    options: of `publish`, such as verify=True.
    """
    job = job if isinstance(job, Job) else Job(job)
    pickle_by_value(cloudpickle, __name__)
    client = client or _current_client()
    # Without rows: whether the worker is there and takes this job, and which columns are missing.
    build(job, pa.schema([(str(name), pa.null()) for name in frame.columns]), [])
    wanted = {*job.columns("route", frame.columns), *job.columns("build", frame.columns)}
    frame = frame[[name for name in frame.columns if name in wanted]]
    types = _arrow_schema(frame._meta, job, schema)
    if job.shard_count == 1:
        lines, rows = _build_single(frame, job, types, client=client, retries=retries)
        return publish(job, lines, **{"rows": rows, **options})
    method = _shuffle_method(shuffle_method, types, client)
    built = _built(frame, job, types, partitions=partitions or job.shard_count, method=method)
    lines = built.compute() if client is None else client.compute(built, retries=retries).result()
    return publish(job, list(lines), **options)


def _built(frame, job, types, *, partitions, method):
    """Route, shuffle, build: a series of lines, not computed yet."""
    kept = job.columns("build", types.names)
    routed_types = pa.schema([types.field(name) for name in kept]).append(pa.field(job.shard_id_column, pa.int32()))
    meta = _pandas(routed_types.empty_table()).assign(**{PARTITION_COLUMN: np.empty(0, np.int64)})
    routed = frame.map_partitions(
        _Shipped(_route, job=job, types=types, partitions=partitions),
        meta=meta,
        enforce_metadata=False,
    )
    # What DataFrame.sort_values is made of, too; DataFrame.shuffle would hash the numbers of the partitions.
    shuffled = new_collection(
        Shuffle(routed.expr, PARTITION_COLUMN, npartitions_out=partitions, ignore_index=True, method=method)
    )
    return shuffled.map_partitions(
        _Shipped(_build, job=job, types=routed_types),
        meta=pd.Series([], dtype=object),
        enforce_metadata=False,
    )


def _route(part, number, *, job, types, partitions):
    """The rows with their shards, and with the partitions that these go to; without what only routing reads."""
    table = _arrow(part, types, number)
    shards = []
    # The first one also if it is empty, so that there are counts in any case.
    if table.num_rows > 0 or number == 0:
        with _located(number):
            batches = route(job, types, slices(table), task=number)
            shards = [batch.column(job.shard_id_column) for batch in batches]
    shard_ids = pa.chunked_array(shards, pa.int32())
    table = table.select(job.columns("build", types.names)).append_column(job.shard_id_column, shard_ids)
    return _pandas(table).assign(**{PARTITION_COLUMN: shard_ids.to_numpy().astype(np.int64) % partitions})


def _build(part, number, *, job, types):
    """A line for each shard that was built."""
    lines = []
    if len(part) > 0:
        table = pa.Table.from_pandas(part[types.names], schema=types, preserve_index=False)
        if job.sort_columns:
            table = table.sort_by([(name, "ascending") for name in job.sort_columns])
        with _located(number):
            lines = build(job, types, slices(table))
    return pd.Series(lines, dtype=object)


def _build_single(frame, job, types, *, client, retries):
    """All rows through one worker, partition by partition: the lines, and how many rows there were."""
    plain = frame.map_partitions(
        _Shipped(_plain, types=types), meta=_pandas(types.empty_table()), enforce_metadata=False
    )
    if job.sort_columns:
        key = [name for name in job.sort_columns if name in types.names]
        plain = plain.sort_values(key, sort_function_kwargs={"kind": "stable"})
    if client is None:
        parts = [plain.partitions[at] for at in range(plain.npartitions)]
        return _stream(_computed_ahead(parts), job, types)
    futures = client.compute(plain.to_delayed(), retries=retries)
    # By name, as the arguments of a task are in its memory all at once.
    name = f"shardy-{uuid.uuid4().hex}"
    client.publish_dataset(futures, name=name)
    try:
        task = _Shipped(_stream_dataset, job=job, types=types, name=name)
        return client.submit(task, None, retries=retries, pure=False).result()
    finally:
        client.unpublish_dataset(name)


def _plain(part, number, *, types):
    return _pandas(_arrow(part, types, number))


def _computed_ahead(parts):
    for start in range(0, len(parts), PARTITIONS_AHEAD):
        yield from dask.compute(*parts[start : start + PARTITIONS_AHEAD])


def _stream_dataset(_, number, *, job, types, name):
    """In a task: gets one partition after the other, of those that the driver keeps alive."""
    from distributed import worker_client

    with worker_client() as client:
        futures = client.get_dataset(name)
        return _stream((future.result() for future in futures), job, types)


def _stream(frames, job, types):
    rows = 0

    def batches():
        nonlocal rows
        for frame in frames:
            table = pa.Table.from_pandas(frame[types.names], schema=types, preserve_index=False)
            rows += table.num_rows
            yield from slices(table)

    lines = build(job, types, batches())
    return lines, rows


def _current_client():
    try:
        from distributed import get_client

        return get_client()
    except (ImportError, ValueError):
        return None


def _shuffle_method(method, types, client):
    # The peer-to-peer shuffle asks pandas for types by their names, and lists and structs have none.
    unnamed = [field.name for field in types if not _has_name(field.type)]
    if method == "p2p" and unnamed:
        raise ShardyError(f'Cannot shuffle column "{unnamed[0]}" by p2p as its type has no name for pandas: take tasks', 2)
    if method is not None:
        return method
    wanted = dask.config.get("dataframe.shuffle.method", None) or ("tasks" if client is None else "p2p")
    return "tasks" if unnamed and wanted == "p2p" else wanted


def _has_name(type):
    try:
        return pd.api.types.pandas_dtype(str(pd.ArrowDtype(type))) == pd.ArrowDtype(type)
    except (TypeError, NotImplementedError):
        return False


def _arrow_schema(meta, job, given):
    """The same types for all partitions, of which some may be empty or have nothing but nulls."""
    given = {field.name: field.type for field in pa.schema(given or [])}
    for name in meta.columns:
        if not isinstance(name, str) or name in (PARTITION_COLUMN, job.shard_id_column):
            raise ShardyError(f"Cannot send column {name!r}: rename it, as names are texts and this one is taken", 2)
    # Partitions may have more text than 32 bits can count.
    large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    types = {name: given.get(name) or _arrow_type(meta[name], job) for name in meta.columns}
    return pa.schema({name: large.get(type, type) for name, type in types.items()})


def _arrow_type(column, job):
    spec = job.spec
    type = None if column.dtype == object else pa.array(column).type
    if type is not None and pa.types.is_dictionary(type):
        type = type.value_type
    if type is not None and not pa.types.is_null(type):
        return type
    # Objects, or categories that nobody knows yet.
    if column.name == spec["keyColumn"]:
        return {"utf8": pa.large_string(), "raw": pa.large_binary()}.get(spec["keyEncoding"], pa.int64())
    if column.name == (spec["value"] or {}).get("column"):
        return pa.large_binary()
    if column.name == (spec["vector"] or {}).get("column"):
        return pa.list_(pa.float64())
    raise ShardyError(
        f'Cannot tell what column "{column.name}" holds from its dtype {column.dtype}: '
        f'give write_snapshot its type, as schema={{"{column.name}": pyarrow.string()}}',
        2,
    )


def _arrow(part, types, number):
    return pa.Table.from_arrays([_arrow_column(part[field.name], field, number) for field in types], schema=types)


def _arrow_column(series, field, number):
    try:
        return _converted(series, field.type)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        for at in range(len(series)):
            try:
                _converted(series.iloc[at : at + 1], field.type)
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as reason:
                raise ShardyError(
                    f'Cannot send column "{field.name}" of row {at + 1} of partition {number} as {field.type}: '
                    f"{reason}; current value is {series.iloc[at]!r:.100}",
                    EXIT_ROW,
                ) from None
        raise ShardyError(f'Cannot send column "{field.name}" of partition {number}: {error}', EXIT_ROW) from error


def _converted(series, type):
    """NaN stays NaN, but for objects, where it stands for what is missing; nothing is rounded or cut off."""
    is_missing_nan = series.dtype == object and not pa.types.is_nested(type)
    array = pa.array(series, from_pandas=is_missing_nan)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode() if isinstance(array, pa.Array) else pa.chunked_array(
            [chunk.dictionary_decode() for chunk in array.chunks], array.type.value_type
        )
    if _kind(array.type) not in (_kind(type), "null"):
        raise TypeError(f"it holds {array.type}")
    return array if array.type == type else array.cast(type)


def _kind(type):
    is_text = pa.types.is_string(type) or pa.types.is_large_string(type)
    if is_text or pa.types.is_binary(type) or pa.types.is_large_binary(type):
        return "text"
    if pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type):
        return "number"
    return "null" if pa.types.is_null(type) else str(type.id)


def _pandas(table):
    """A frame that holds the columns as they are, so that no shuffle turns whole numbers or bytes into others."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)


@contextlib.contextmanager
def _located(number):
    try:
        yield
    except ShardyError as error:
        error.args = (f"{error.args[0]} (partition {number})", error.exit_code)
        raise


class _Shipped:
    """A function for partitions, which goes to the workers by value: they need not have this module."""

    def __init__(self, function, **arguments):
        self._token = uuid.uuid4().hex

        def run(part, partition_info=None):
            return function(part, partition_info and partition_info["number"], **arguments)

        self._run = run
        self.__name__ = function.__name__

    def __call__(self, part, partition_info=None):
        return self._run(part, partition_info)

    def __reduce__(self):
        return cloudpickle.loads, (cloudpickle.dumps(self._run),)

    def __dask_tokenize__(self):
        return self._token


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="shardy_dask", description="Build a snapshot with Dask. Further options are those of shardy publish."
    )
    parser.add_argument("--job", help="the job, as shardy plan writes it; default: SHARDY_JOB")
    parser.add_argument("--input", action="append", required=True, help="file or folder of Parquet; repeatable")
    parser.add_argument("--partitions", type=int, help="of the shuffle; default: as many as shards")
    parser.add_argument("--worker", help="the program; default: SHARDY_WORKER, else shardy")
    parser.add_argument("--scheduler", help="address of the cluster's; default: threads of this process")
    known, others = parser.parse_known_args(arguments)
    try:
        job = Job(known.job, worker=known.worker)
        with _cluster(known.scheduler) as client:
            frame = dd.read_parquet(known.input, dtype_backend="pyarrow")
            published = write_snapshot(
                frame, job, client=client, partitions=known.partitions, **publish_options(others)
            )
    except ShardyError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(published))
    return 0


def _cluster(address):
    if address is None:
        return contextlib.nullcontext()
    from distributed import Client

    return Client(address)


if __name__ == "__main__":
    sys.exit(main())
