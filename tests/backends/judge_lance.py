"""Reads a snapshot series of LanceDB, or of two engines, as its formats say, with `lancedb` and others from PyPI.

Takes and prints what `judge_vectors.py` does. Searches measure exactly, in the metric of the snapshot.
"""
import json, os, sqlite3, struct, sys
import lancedb
from judge_vectors import Database, Series, main

METRICS = {"l2": "l2", "cosine": "cosine", "dot_product": "dot"}


class Shard:
    """The halves of a shard: rows, or None for none; vectors in a table of LanceDB or in a file of sqlite-vec."""

    def __init__(self, folder):
        file = os.path.join(folder, "shard.db")
        self.rows = sqlite3.connect(f"file:{file}?mode=ro", uri=True) if os.path.exists(file) else None
        half = os.path.join(folder, "vector")
        vectors = half if os.path.exists(half) else folder
        file = os.path.join(vectors, "shard.db")
        self.database = Database(file) if os.path.exists(file) and vectors == half else None
        has_table = os.path.exists(os.path.join(vectors, "vector_index.lance"))
        self.table = lancedb.connect(vectors).open_table("vector_index") if has_table else None


class LanceSeries(Series):
    def open_shard(self, folder):
        return Shard(folder)

    def search_shard(self, shard, query, k):
        if shard.database is not None:
            return super().search_shard(shard.database, query, k)
        if shard.table is None:
            return []
        numbers = list(struct.unpack(f"<{len(query) // 4}f", query))
        search = shard.table.search(numbers).distance_type(METRICS[self.vector["metric"]]).bypass_vector_index()
        return [
            [row["id"], row["_distance"], None if row["payload"] is None else json.loads(row["payload"])]
            for row in search.limit(k).to_list()
        ]

    def vectors_of(self, shard):
        if shard.database is not None:
            return super().vectors_of(shard.database)
        if shard.table is None:
            return []
        rows = shard.table.to_arrow().to_pylist()
        return [[row["id"], struct.pack(f"<{len(row['vector'])}f", *row["vector"]).hex()] for row in rows]

    def rows_of(self, shard):
        if shard.rows is None:
            return {"problems": [], "rows": [], "indexes": self.indexes_of(shard)}
        problems = [text for (text,) in shard.rows.execute("PRAGMA integrity_check") if text != "ok"]
        rows = [[k.hex(), v.hex()] for k, v in shard.rows.execute("SELECT k, v FROM kv ORDER BY k")]
        return {"problems": problems, "rows": rows, "indexes": self.indexes_of(shard)}

    def indexes_of(self, shard):
        if shard.table is None:
            return []
        return [[index.index_type, index.columns] for index in shard.table.list_indices()]


if __name__ == "__main__":
    main(LanceSeries)
