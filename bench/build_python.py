"""The floor of Python's sqlite3: `build_python.py ROWS ORDER`; prints one line of JSON. Settings as in build_native.ts."""

import json
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

rows, order = int(sys.argv[1]), sys.argv[2]


def key_at(index: int) -> bytes:
    """The key of a row, as rows.ts makes it."""
    if order == "ascending":
        return index.to_bytes(8, "big")
    high, low = (index * 0x9E3779B1) & 0xFFFFFFFF, ((index * 0x85EBCA6B) & 0xFFFFFFFF) >> 11
    return (high * 2**21 + low).to_bytes(8, "big")


values = [bytes([index + 1]) * 100 for index in range(64)]
data = [(key_at(index), values[index & 63]) for index in range(rows)]
elapsed = []
for _ in range(3):
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        database = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        for pragma in ("page_size = 4096", "journal_mode = OFF", "synchronous = OFF", "cache_size = -65536",
                       "locking_mode = EXCLUSIVE", "temp_store = MEMORY"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID")
        database.execute("BEGIN")
        database.executemany("INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)", data)
        database.execute("COMMIT")
        database.close()
        elapsed.append(time.perf_counter() - started)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps({"rowsPerSecond": round(rows / sorted(elapsed)[1]), "peakMiB": peak}))
