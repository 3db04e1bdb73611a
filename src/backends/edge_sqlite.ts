/**
 * SQLite shards as readers at the edge need them: lookups in memory and over ranges, nothing else.
 * @module
 */
import { DbAdapterError } from "../errors.ts";
import { openDatabase } from "../sqlite/database_reader.ts";
import { memoryPages } from "../sqlite/page_source.ts";
import type { ShardOpener, ShardReader } from "./backend.ts";
import { RemoteSqliteShard } from "./remote_sqlite_shard.ts";

/** Opens SQLite shards without what would make a bundle large: no scans, no disk, no index of the rows in memory. */
export const edgeSqlite: ShardOpener = {
  fileName: "shard.db",
  opens: ["memory", "remote"],
  async openShard(file) {
    if (file.kind === "remote") return Object.assign(new RemoteSqliteShard(file.shard), { scan: noScan });
    if (file.kind === "file") throw new DbAdapterError("Cannot read files with the reader for the edge");
    const table = (await openDatabase(memoryPages(file.bytes))).keyValueTable("kv");
    const shard: ShardReader = {
      get: (key, signal) => table.get(key, signal),
      getMany: (keys, signal) => table.getMany(keys, signal),
      scan: noScan,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    return shard;
  },
};

function noScan(): never {
  throw new DbAdapterError("Cannot scan with the reader for the edge: import openSnapshot from the package itself");
}
