"""Reads a snapshot series with vectors as its formats say, with SQLite and the extension sqlite-vec from PyPI.

Takes JSON from standard input: {"folder": ..., "searches": [{"query": hex, "k": n, "probes": n or null}]}. Prints what
is stored, and what the searches find, as JSON. Has nothing to do with the code under test: routing included.
"""
import ast, json, os, sqlite3, struct, sys
import sqlite_vec


class Database:
    """By Python's own sqlite3 where that was built to load extensions, else by apsw."""

    def __init__(self, path):
        if hasattr(sqlite3.Connection, "enable_load_extension"):
            self.connection = sqlite3.connect(path)
            self.connection.enable_load_extension(True)
            sqlite_vec.load(self.connection)
        else:
            import apsw

            self.connection = apsw.Connection(path)
            self.connection.enable_load_extension(True)
            self.connection.load_extension(sqlite_vec.loadable_path())

    def rows(self, statement, parameters=()):
        return list(self.connection.execute(statement, parameters))


def read_npy(path):
    with open(path, "rb") as file:
        assert file.read(8) == b"\x93NUMPY\x01\x00"
        header = ast.literal_eval(file.read(struct.unpack("<H", file.read(2))[0]).decode("ascii"))
        assert header["descr"] == "<f4" and not header["fortran_order"]
        count, dim = header["shape"]
        numbers = struct.unpack(f"<{count * dim}f", file.read())
    return [numbers[row * dim : (row + 1) * dim] for row in range(count)]


def dot(one, other):
    return sum(a * b for a, b in zip(one, other))


def distance(metric, one, other):
    if metric == "l2":
        return sum((a - b) ** 2 for a, b in zip(one, other))
    return 1 - dot(one, other) / (dot(one, one) * dot(other, other)) ** 0.5


class Series:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "_CURRENT"), encoding="utf-8") as file:
            ref = json.load(file)["manifest_ref"]
        manifest = Database(self.path(ref))
        [(self.count, custom)] = manifest.rows("SELECT num_dbs, custom FROM build_meta")
        self.vector = json.loads(custom)["vector"]
        urls = manifest.rows("SELECT db_id, db_url FROM shards")
        self.shards = {number: self.open_shard(self.path(url)) for number, url in urls}

    def open_shard(self, folder):
        return Database(os.path.join(folder, "shard.db"))

    def path(self, url):
        # The last parts are the same wherever the series lies.
        root = os.path.basename(os.path.normpath(self.folder))
        return os.path.join(self.folder, url.split(f"/{root}/", 1)[1])

    def targets(self, query, probes):
        strategy = self.vector.get("sharding_strategy")
        probes = probes or self.vector.get("num_probes", 1)
        if strategy == "cluster":
            centroids = read_npy(self.path(self.vector["centroids_ref"]))
            distances = [distance(self.vector["metric"], row, query) for row in centroids]
            return sorted(range(self.count), key=lambda number: distances[number])[:probes]
        if strategy == "lsh":
            planes = read_npy(self.path(self.vector["hyperplanes_ref"]))
            code = sum(1 << bit for bit, plane in enumerate(planes) if dot(plane, query) > 0)
            found = [code % self.count]
            for bit in range(len(planes)):
                number = (code ^ (1 << bit)) % self.count
                if number not in found:
                    found.append(number)
            return found[:probes]
        return range(self.count)

    def search(self, query, k, probes):
        numbers = struct.unpack(f"<{len(query) // 4}f", query)
        hits = []
        asked = [number for number in self.targets(numbers, probes) if number in self.shards]
        for shard in asked:
            hits += self.search_shard(self.shards[shard], query, k)
        return {"asked": len(asked), "hits": sorted(hits, key=lambda hit: hit[1])[:k]}

    def search_shard(self, database, query, k):
        hits = []
        statement = "SELECT rowid, distance FROM vec_index WHERE embedding MATCH ? AND k = ? ORDER BY distance"
        for rowid, score in database.rows(statement, (query, k)):
            [(name,)] = database.rows("SELECT original_id FROM vec_id_map WHERE internal_id = ?", (rowid,))
            payload = database.rows("SELECT payload FROM vec_payloads WHERE rowid = ?", (rowid,))
            hits.append([json.loads(name)["v"], score, json.loads(payload[0][0]) if payload else None])
        return hits

    def vectors_of(self, database):
        return [
            [json.loads(name)["v"], vector.hex()]
            for name, vector in database.rows(
                "SELECT original_id, embedding FROM vec_index JOIN vec_id_map ON rowid = internal_id"
            )
        ]

    def rows_of(self, database):
        return {
            "problems": [text for (text,) in database.rows("PRAGMA integrity_check") if text != "ok"],
            "rows": [[k.hex(), v.hex()] for k, v in database.rows("SELECT k, v FROM kv ORDER BY k")],
        }

    def stored(self):
        for number, shard in sorted(self.shards.items()):
            yield {"shard": number, **self.rows_of(shard), "vectors": self.vectors_of(shard)}


def main(series_class):
    task = json.load(sys.stdin)
    series = series_class(task["folder"])
    searches = [series.search(bytes.fromhex(s["query"]), s["k"], s["probes"]) for s in task["searches"]]
    print(json.dumps({"shards": list(series.stored()), "searches": searches}))


if __name__ == "__main__":
    main(Series)
