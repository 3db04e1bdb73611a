/**
 * SQLite shards as readers at the edge need them: lookups over ranges, nothing else.
 * @module
 */
import { DbAdapterError } from "../errors.ts";
import type { ShardOpener } from "./backend.ts";
import { RemoteSqliteShard } from "./remote_sqlite_shard.ts";

/** Opens SQLite shards without what would make a bundle large: no scans, no files, no index of the rows in memory. */
export const edgeSqlite: ShardOpener = {
  fileName: "shard.db",
  opens: ["remote"],
  // deno-lint-ignore require-await -- the interface is for openers that wait
  async openShard(file) {
    if (file.kind !== "remote") return refuse();
    return Object.assign(new RemoteSqliteShard(file.shard), { scan: refuse });
  },
};

function refuse(): never {
  throw new DbAdapterError("Cannot read whole shards at the edge: import openSnapshot from the package itself");
}
