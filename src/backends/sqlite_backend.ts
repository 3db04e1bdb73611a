/**
 * Shards as SQLite files, written and read in TypeScript: no native code, the same on every runtime.
 * @module
 */
import * as v from "valibot";
import type { Digest } from "../bytes/digest.ts";
import { createDigest } from "../bytes/fast_digest.ts";
import { parseOptions } from "../options.ts";
import type { SortedRows } from "../rows.ts";
import { DatabaseWriter } from "../sqlite/database_writer.ts";
import { PAGE_SIZES } from "../sqlite/format.ts";
import { putKeyValueHead } from "../sqlite/record_writer.ts";
import type { TreeWriter } from "../sqlite/tree_writer.ts";
import type { Backend, BuiltShard, ShardTarget } from "./backend.ts";
import { measurePageSize } from "./page_size.ts";
import { openSqliteShard } from "./sqlite_shard_reader.ts";

/** The one table of a shard. */
export const KV_TABLE_SQL = "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID";
/** Name of the file below the shard's folder. */
export const SHARD_FILE = "shard.db";
/** Content type of SQLite files. */
export const SQLITE_CONTENT_TYPE = "application/x-sqlite3";

/** How SQLite shards are written. */
export interface SqliteBackendOptions {
  /** 4096, 8192, 16384, 32768, 65536, or `"auto"`: what suits each shard's rows. @default {4096} */
  readonly pageSizeBytes?: number | "auto" | undefined;
  /** Page-cache sidecars beside the shards; this version does not write them yet. @default {false} */
  readonly sidecar?: false | undefined;
}

/** Checks the options of the SQLite backends. */
export const sqliteOptions: v.GenericSchema<SqliteBackendOptions, { pageSizeBytes: number | "auto" }> = v.strictObject({
  pageSizeBytes: v.optional(
    v.picklist([...PAGE_SIZES, "auto" as const], `one of ${PAGE_SIZES.join(", ")} or "auto"`),
    4096,
  ),
  sidecar: v.optional(v.literal(false, "false, as sidecars are not written yet"), false),
});

/**
 * SQLite files written bottom-up from sorted rows, and read by our own b-tree reader.
 *
 * Any SQLite opens them. The same rows give the same bytes, whatever their order of arrival and the runtime.
 *
 * @throws {ConfigValidationError} when the page size is not one of those.
 *
 * @example
 * ```ts
 * import { sqliteBackend } from "./sqlite_backend.ts";
 *
 * const backend = sqliteBackend({ pageSizeBytes: 8192 });
 * if (backend.spec.name !== "sqlite") throw new Error("unexpected backend");
 * ```
 */
export function sqliteBackend(options: SqliteBackendOptions = {}): Backend {
  const { pageSizeBytes } = parseOptions(sqliteOptions, options, "sqliteBackend");
  return {
    spec: { name: "sqlite", options: { pageSizeBytes } },
    fileName: SHARD_FILE,
    opens: ["memory", "file"],
    async buildShard(rows, target) {
      const size = pageSizeBytes === "auto" ? await measurePageSize(rows) : pageSizeBytes;
      return await buildSqliteShard(rows, target, size);
    },
    openShard: openSqliteShard,
  };
}

async function buildSqliteShard(rows: SortedRows, target: ShardTarget, pageSizeBytes: number): Promise<BuiltShard> {
  const digest = await createDigest();
  await using upload = await target.store.upload(`${target.prefix}/${SHARD_FILE}`, {
    headBytes: pageSizeBytes,
    contentType: SQLITE_CONTENT_TYPE,
    precondition: { ifNoneMatch: "*" },
    signal: target.signal,
  });
  const { scratch } = target;
  await using writer = new DatabaseWriter(pageSizeBytes, {
    sink(pages) {
      digest.update(pages);
      return upload.write(pages);
    },
    ...(scratch === null ? {} : { openSpool: async () => (await scratch()).openSpool() }),
  });
  const rowCount = await addRows(writer.beginTable("withoutRowid"), { rows, writer, signal: target.signal });
  await writer.endTable("kv", KV_TABLE_SQL);
  const head = await writer.finish();
  digest.update(head);
  const { sizeBytes } = await upload.finish(head);
  return { dbBytes: sizeBytes, rowCount, objects: [describe(digest, sizeBytes, pageSizeBytes)] };
}

function describe(digest: Digest, sizeBytes: number, rotatedBytes: number): BuiltShard["objects"][number] {
  return { name: SHARD_FILE, sizeBytes, xxh3: digest.hex(), rotatedBytes };
}

/** Puts all rows into the table; gives their number. */
async function addRows(
  tree: TreeWriter,
  { rows, writer, signal }: { rows: SortedRows; writer: DatabaseWriter; signal: AbortSignal },
): Promise<number> {
  await using cursor = await rows.open();
  let rowCount = 0;
  let keyLength = -1;
  let valueLength = -1;
  do {
    while (cursor.next()) {
      if (cursor.keyLength !== keyLength || cursor.valueLength !== valueLength) {
        ({ keyLength, valueLength } = cursor);
        putKeyValueHead(tree, keyLength, valueLength);
      }
      tree.add(cursor.bytes, cursor.start, keyLength + valueLength);
      rowCount++;
      if (!tree.isFull) continue;
      signal.throwIfAborted();
      await writer.flush();
    }
  } while (await cursor.refill());
  return rowCount;
}
