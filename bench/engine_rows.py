"""Rows for bench/engines.ts: `engine_rows.py rows N PARTS FOLDER` writes the same rows as one stream of Arrow, as parts
of it, and as Parquet files; `engine_rows.py split TASKS ROUTED... FOLDER` does an engine's part with plain files: a
stream for each build task, with all rows of its shards; `engine_rows.py pipe FOLDER` prints the seconds of processor
time that piping all rows takes, on both sides, when nobody looks at them."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VALUE_BYTES = 100


def rows(count, parts, folder):
    random = np.random.default_rng(1)
    ids = random.permutation(np.arange(count, dtype=np.int64) * 7919)
    data = pa.py_buffer(random.integers(0, 256, size=count * VALUE_BYTES, dtype=np.uint8))
    starts = pa.py_buffer(np.arange(count + 1, dtype=np.int32) * VALUE_BYTES)
    table = pa.table({"id": ids, "body": pa.Array.from_buffers(pa.binary(), count, [None, starts, data])})
    with pa.ipc.new_stream(f"{folder}/rows.arrows", table.schema) as writer:
        writer.write_table(table, max_chunksize=65536)
    os.makedirs(f"{folder}/parquet")
    size = -(-count // parts)
    for part in range(parts):
        piece = table.slice(part * size, size)
        pq.write_table(piece, f"{folder}/parquet/{part}.parquet", compression="none", use_dictionary=False)
        with pa.ipc.new_stream(f"{folder}/part-{part}.arrows", table.schema) as writer:
            writer.write_table(piece, max_chunksize=65536)


def split(tasks, paths, folder):
    table = pa.concat_tables([pa.ipc.open_stream(pa.memory_map(path)).read_all() for path in paths])
    owner = np.mod(table["shard_id"].to_numpy(), tasks)
    for task in range(tasks):
        piece = table.filter(pa.array(owner == task))
        with pa.ipc.new_stream(f"{folder}/task-{task}.arrows", table.schema) as writer:
            writer.write_table(piece)


def pipe(folder):
    before = os.times()
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with pa.memory_map(f"{folder}/rows.arrows") as source, reader.stdin as sink:
        batches = pa.ipc.open_stream(source)
        with pa.ipc.new_stream(sink, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    reader.wait()
    print(round(sum(os.times()[:4]) - sum(before[:4]), 2))


if __name__ == "__main__":
    stage, *arguments, place = sys.argv[1:]
    if stage == "rows":
        rows(int(arguments[0]), int(arguments[1]), place)
    elif stage == "split":
        split(int(arguments[0]), arguments[1:], place)
    else:
        pipe(place)
