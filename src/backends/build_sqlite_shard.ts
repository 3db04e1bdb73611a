/**
 * Builds a SQLite shard from sorted rows and uploads it while it is being built.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import type { SortedRows } from "../rows.ts";
import { DatabaseWriter } from "../sqlite/database_writer.ts";
import { putKeyValueHead } from "../sqlite/record_writer.ts";
import { SidecarBuilder } from "../sqlite/sidecar_builder.ts";
import type { TreeWriter } from "../sqlite/tree_writer.ts";
import type { BuiltShard, ShardTarget } from "./backend.ts";
import { GuardBuilder } from "./guard_builder.ts";
import { uploadCompanions } from "./shard_companions.ts";

/** The table of a shard's rows. */
export const KV_TABLE_SQL = "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID";
/** Name of the file below the shard's folder. */
export const SHARD_FILE = "shard.db";
/** Content type of SQLite files. */
export const SQLITE_CONTENT_TYPE = "application/x-sqlite3";

/** How a shard is written. */
export interface ShardLayout {
  readonly pageSizeBytes: number;
  readonly sidecar: boolean;
  readonly guard: boolean;
  /** Writes further tables behind the rows. */
  readonly addTables?: ((writer: DatabaseWriter) => Promise<void>) | undefined;
}

/** Writes a shard with what belongs to it; nothing is left in the store when it throws. */
export async function buildSqliteShard(
  rows: SortedRows,
  target: ShardTarget,
  layout: ShardLayout,
): Promise<BuiltShard> {
  const { pageSizeBytes } = layout;
  const { keyEncoding, scratch, signal } = target;
  const digest = await createDigest();
  const sidecar = layout.sidecar ? new SidecarBuilder(pageSizeBytes) : null;
  const guard = layout.guard ? new GuardBuilder({ rowCountMax: rows.rowCountMax, pageSizeBytes, keyEncoding }) : null;
  await using upload = await target.store.upload(`${target.prefix}/${SHARD_FILE}`, {
    headBytes: pageSizeBytes,
    contentType: SQLITE_CONTENT_TYPE,
    precondition: { ifNoneMatch: "*" },
    signal,
  });
  let nextPage = 2;
  function look(firstPageNumber: number, pages: Uint8Array): void {
    digest.update(pages);
    sidecar?.addPages(firstPageNumber, pages);
    guard?.addPages(firstPageNumber, pages);
  }
  await using writer = new DatabaseWriter(pageSizeBytes, {
    sink(pages) {
      look(nextPage, pages);
      nextPage += pages.length / pageSizeBytes;
      return upload.write(pages);
    },
    ...(sidecar === null ? {} : { observer: sidecar }),
    ...(scratch === null ? {} : { openSpool: async () => (await scratch()).openSpool() }),
  });
  const rowCount = await addRows(rows, { tree: writer.beginTable("withoutRowid"), writer, guard, signal });
  await writer.endTable("kv", KV_TABLE_SQL);
  await layout.addTables?.(writer);
  const head = await writer.finish();
  look(1, head);
  const { etag, sizeBytes } = await upload.finish(head);
  const file = { name: SHARD_FILE, sizeBytes, xxh3: digest.hex(), rotatedBytes: pageSizeBytes };
  return await uploadCompanions({ sidecar, guard }, { file, etag, rowCount }, target);
}

interface RowTarget {
  readonly tree: TreeWriter;
  readonly writer: DatabaseWriter;
  readonly guard: GuardBuilder | null;
  readonly signal: AbortSignal;
}

/** Puts all rows into the table; gives their number. */
async function addRows(rows: SortedRows, { tree, writer, guard, signal }: RowTarget): Promise<number> {
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
      guard?.addKey(cursor.bytes, cursor.start, keyLength);
      rowCount++;
      if (!tree.isFull) continue;
      signal.throwIfAborted();
      await writer.flush();
    }
  } while (await cursor.refill());
  return rowCount;
}
