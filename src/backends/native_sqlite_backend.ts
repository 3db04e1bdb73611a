/**
 * Shards as SQLite files, written and read by the runtime's own SQLite.
 *
 * The same interface and the same files' content as `sqliteBackend`: a second engine to compare with, and a way to
 * read shards with SQL. Slower in both directions; the bytes of its files depend on the version of SQLite.
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import type { DatabaseSync } from "node:sqlite";
import { createDigest } from "../bytes/fast_digest.ts";
import { DbAdapterError } from "../errors.ts";
import { parseOptions } from "../options.ts";
import type { SortedRows } from "../rows.ts";
import type { SidecarBuilder } from "../sqlite/sidecar_builder.ts";
import type { Backend, BuiltShard, ScanRange, ShardFile, ShardReader, ShardTarget } from "./backend.ts";
import { KV_TABLE_SQL, SHARD_FILE, type ShardLayout, SQLITE_CONTENT_TYPE } from "./build_sqlite_shard.ts";
import { copySqliteShard } from "./copy_sqlite_shard.ts";
import { GuardBuilder } from "./guard_builder.ts";
import { measurePageSize } from "./page_size.ts";
import { sidecarFields, uploadCompanions } from "./shard_companions.ts";
import { type SqliteBackendOptions, sqliteOptions } from "./sqlite_backend.ts";

const COPY_BYTES = 1 << 20;
/** Rows that a scan fetches at a time. */
const SCAN_ROWS = 512;

/**
 * SQLite files built and read by the runtime's own SQLite: `bun:sqlite` on Bun, `node:sqlite` on Deno and Node.
 *
 * Needs a disk: files are built in the folder for temporary files and then uploaded; a shard held in memory is put
 * there to be read.
 *
 * @throws {ConfigValidationError} when the page size is not one that `sqliteBackend` takes.
 */
export function nativeSqliteBackend(options: SqliteBackendOptions = {}): Backend {
  const layout = parseOptions(sqliteOptions, options, "nativeSqliteBackend");
  return {
    spec: { name: "native-sqlite", options: layout },
    module: { url: import.meta.url, factory: "nativeSqliteBackend" },
    fileName: SHARD_FILE,
    opens: ["memory", "file"],
    ...(layout.sidecar ? { customFields: sidecarFields(layout.pageSizeBytes) } : {}),
    async buildShard(rows, target) {
      const pageSizeBytes = layout.pageSizeBytes === "auto" ? await measurePageSize(rows) : layout.pageSizeBytes;
      return await buildNativeShard(rows, target, { ...layout, pageSizeBytes });
    },
    copyShard: copySqliteShard,
    openShard: openNativeShard,
  };
}

async function openDatabase(path: string, isReadOnly: boolean): Promise<DatabaseSync> {
  try {
    if ("Bun" in globalThis) {
      const { Database } = await import("bun:sqlite");
      // What is used of it here has the same names; only a row that is not there is null instead of undefined.
      return new Database(path, isReadOnly ? { readonly: true } : { create: true }) as unknown as DatabaseSync;
    }
    const { DatabaseSync } = await import("node:sqlite");
    return new DatabaseSync(path, { readOnly: isReadOnly });
  } catch (cause) {
    throw new DbAdapterError(`Cannot open "${path}" with the SQLite of this runtime`, { cause });
  }
}

async function buildNativeShard(rows: SortedRows, target: ShardTarget, layout: ShardLayout): Promise<BuiltShard> {
  if (target.scratch === null) throw new DbAdapterError("Cannot build shards with nativeSqliteBackend without a disk");
  const { pageSizeBytes } = layout;
  const { keyEncoding, signal } = target;
  const fs = await import("node:fs/promises");
  const folder = await (await target.scratch()).makeFolder();
  try {
    const path = `${folder}/${SHARD_FILE}`;
    const guard = layout.guard ? new GuardBuilder({ rowCountMax: rows.rowCountMax, pageSizeBytes, keyEncoding }) : null;
    const rowCount = await insertRows(rows, { path, pageSizeBytes, guard, signal });
    const sidecar = layout.sidecar ? await sidecarOfFile(path, signal) : null;
    const uploaded = await uploadFile(path, { target, pageSizeBytes, guard });
    return await uploadCompanions({ sidecar, guard }, { ...uploaded, rowCount }, target);
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

/** Null when there can be none: the shard is complete without it. */
async function sidecarOfFile(path: string, signal: AbortSignal): Promise<SidecarBuilder | null> {
  const [{ filePages }, { sidecarOf }] = await Promise.all([
    import("./file_pages.ts"),
    import("../sqlite/sidecar_walk.ts"),
  ]);
  await using pages = await filePages(path);
  try {
    return await sidecarOf(pages, signal);
  } catch {
    signal.throwIfAborted();
    return null;
  }
}

async function insertRows(
  rows: SortedRows,
  { path, pageSizeBytes, guard, signal }: {
    path: string;
    pageSizeBytes: number;
    guard: GuardBuilder | null;
    signal: AbortSignal;
  },
): Promise<number> {
  const database = await openDatabase(path, false);
  try {
    database.exec(`PRAGMA page_size = ${pageSizeBytes}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF`);
    database.exec(`PRAGMA locking_mode = EXCLUSIVE; ${KV_TABLE_SQL}; BEGIN`);
    const insert = database.prepare("INSERT INTO kv (k, v) VALUES (?, ?)");
    let rowCount = 0;
    await using cursor = await rows.open();
    do {
      while (cursor.next()) {
        const { bytes, start, keyLength, valueLength } = cursor;
        const keyEnd = start + keyLength;
        insert.run(bytes.subarray(start, keyEnd), bytes.subarray(keyEnd, keyEnd + valueLength));
        guard?.addKey(bytes, start, keyLength);
        if (++rowCount % 8192 === 0) signal.throwIfAborted();
      }
    } while (await cursor.refill());
    database.exec("COMMIT");
    return rowCount;
  } finally {
    database.close();
  }
}

async function uploadFile(
  path: string,
  { target, pageSizeBytes, guard }: { target: ShardTarget; pageSizeBytes: number; guard: GuardBuilder | null },
): Promise<{ file: BuiltShard["objects"][number]; etag: string | null }> {
  const fs = await import("node:fs/promises");
  await using file = await fs.open(path, "r");
  await using upload = await target.store.upload(`${target.prefix}/${SHARD_FILE}`, {
    headBytes: pageSizeBytes,
    contentType: SQLITE_CONTENT_TYPE,
    precondition: { ifNoneMatch: "*" },
    signal: target.signal,
  });
  const digest = await createDigest();
  const head = new Uint8Array(pageSizeBytes);
  await file.read(head, 0, pageSizeBytes, 0);
  const chunk = new Uint8Array(COPY_BYTES);
  for (let position = pageSizeBytes;;) {
    const pages = chunk.subarray(0, await readFully(file, chunk, position));
    if (pages.length === 0) break;
    digest.update(pages);
    guard?.addPages(position / pageSizeBytes + 1, pages);
    await upload.write(pages);
    position += pages.length;
  }
  digest.update(head);
  guard?.addPages(1, head);
  const { etag, sizeBytes } = await upload.finish(head);
  return { file: { name: SHARD_FILE, sizeBytes, xxh3: digest.hex(), rotatedBytes: pageSizeBytes }, etag };
}

/** Fills the chunk, but for the end of the file: whole pages. Gives the number of bytes. */
async function readFully(file: FileHandle, chunk: Uint8Array, position: number): Promise<number> {
  let filled = 0;
  while (filled < chunk.length) {
    const { bytesRead } = await file.read(chunk, filled, chunk.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

async function openNativeShard(file: ShardFile): Promise<ShardReader> {
  if (file.kind === "remote") {
    throw new DbAdapterError(`Cannot read "${file.shard.url}" in parts with nativeSqliteBackend: use sqliteBackend`);
  }
  const fs = await import("node:fs/promises");
  let folder: string | null = null;
  let path: string;
  if (file.kind === "memory") {
    const [{ tmpdir }, { join }] = await Promise.all([import("node:os"), import("node:path")]);
    folder = await fs.mkdtemp(join(tmpdir(), "shardyfusion-shard-"));
    path = join(folder, SHARD_FILE);
  } else {
    path = file.path;
  }
  try {
    if (file.kind === "memory") await fs.writeFile(path, file.bytes);
    const database = await openDatabase(path, true);
    return new NativeShardReader(database, async () => {
      if (folder !== null) await fs.rm(folder, { recursive: true, force: true });
    });
  } catch (error) {
    if (folder !== null) await fs.rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class NativeShardReader implements ShardReader {
  readonly #database: DatabaseSync;
  readonly #select: ReturnType<DatabaseSync["prepare"]>;
  readonly #cleanUp: () => Promise<void>;

  constructor(database: DatabaseSync, cleanUp: () => Promise<void>) {
    this.#database = database;
    this.#cleanUp = cleanUp;
    try {
      this.#select = database.prepare("SELECT v FROM kv WHERE k = ?");
    } catch (cause) {
      database.close();
      throw new DbAdapterError("Cannot read the file as a shard with the SQLite of this runtime", { cause });
    }
  }

  get(key: Uint8Array): Uint8Array | null {
    const row = this.#select.get(key);
    return row ? copyOf(row["v"]) : null;
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | null)[]> {
    return Promise.resolve(keys.map((key) => this.get(key)));
  }

  async *scan(range: ScanRange = {}): AsyncGenerator<[key: Uint8Array, value: Uint8Array][], void, undefined> {
    const conditions = [...(range.from ? ["k >= ?"] : []), ...(range.to ? ["k < ?"] : [])];
    const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
    const bounds = [range.from, range.to].filter((bound) => bound !== undefined);
    let rows: [Uint8Array, Uint8Array][] = [];
    const statement = this.#database.prepare(`SELECT k, v FROM kv ${where} ORDER BY k`);
    for (const { k, v } of statement.iterate(...bounds)) {
      rows.push([copyOf(k), copyOf(v)]);
      if (rows.length < SCAN_ROWS) continue;
      range.signal?.throwIfAborted();
      yield await Promise.resolve(rows);
      rows = [];
    }
    if (rows.length > 0) yield rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#database.close();
    await this.#cleanUp();
  }
}

/** Runtimes differ in what they give for a blob: a Buffer, a view, a fresh array. */
function copyOf(value: unknown): Uint8Array {
  return new Uint8Array(value as Uint8Array);
}
