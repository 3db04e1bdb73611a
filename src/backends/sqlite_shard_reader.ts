/**
 * Reads a SQLite shard, over whatever its pages come from.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { openDatabase } from "../sqlite/database_reader.ts";
import { keyIndexBuilder } from "../sqlite/key_index_builder.ts";
import type { KeyValueTable } from "../sqlite/key_value_table.ts";
import { memoryPages, type PageSource } from "../sqlite/page_source.ts";
import { scanTable } from "../sqlite/scan_table.ts";
import type { ScanRange, ShardFile, ShardReader } from "./backend.ts";
import { RemoteSqliteShard } from "./remote_sqlite_shard.ts";

/** Opens a shard's file with our own b-tree reader. @throws {CorruptFileError} when it is no shard. */
export async function openSqliteShard(file: ShardFile): Promise<ShardReader> {
  if (file.kind === "memory") return new SqliteShardReader(await openTable(memoryPages(file.bytes)), null);
  if (file.kind === "remote") return new ScannableRemoteShard(file.shard);
  const { filePages } = await import("./file_pages.ts");
  const pages = await filePages(file.path);
  try {
    return new SqliteShardReader(await openTable(pages), pages);
  } catch (error) {
    await pages[Symbol.asyncDispose]();
    throw error;
  }
}

/** Apart from its lookups, which bundles for the edge have without it. */
class ScannableRemoteShard extends RemoteSqliteShard implements ShardReader {
  async *scan(range: ScanRange = {}): AsyncGenerator<[key: Uint8Array, value: Uint8Array][], void, undefined> {
    yield* scanTable(await this.table(range.signal), range);
  }
}

async function openTable(source: PageSource): Promise<KeyValueTable> {
  const database = await openDatabase(source);
  if (database.table("kv") === undefined) {
    throw new CorruptFileError('Cannot read a shard as it must have a table "kv": the file is some other database', -1);
  }
  return database.keyValueTable("kv", { indexed: keyIndexBuilder });
}

class SqliteShardReader implements ShardReader {
  readonly #table: KeyValueTable;
  readonly #resource: AsyncDisposable | null;

  constructor(table: KeyValueTable, resource: AsyncDisposable | null) {
    this.#table = table;
    this.#resource = resource;
  }

  get(key: Uint8Array, signal?: AbortSignal): Uint8Array | null | Promise<Uint8Array | null> {
    return this.#table.get(key, signal);
  }

  getMany(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<(Uint8Array | null)[]> {
    return this.#table.getMany(keys, signal);
  }

  scan(range?: ScanRange): AsyncIterable<[key: Uint8Array, value: Uint8Array][]> {
    return scanTable(this.#table, range);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resource?.[Symbol.asyncDispose]();
  }
}
