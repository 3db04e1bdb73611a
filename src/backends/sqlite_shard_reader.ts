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
  return file.kind === "remote" ? new ScannableRemoteShard(file.shard) : (await openWholeShard(file)).reader;
}

/** Opens a shard's file that is at hand, and gives its pages, too. @throws {CorruptFileError} when it is no shard. */
export async function openWholeShard(
  file: Exclude<ShardFile, { readonly kind: "remote" }>,
): Promise<{ reader: ShardReader; pages: PageSource }> {
  if (file.kind === "memory") {
    const pages = memoryPages(file.bytes);
    return { reader: new SqliteShardReader(await openTable(pages), null), pages };
  }
  const { filePages } = await import("./file_pages.ts");
  const pages = await filePages(file.path);
  try {
    return { reader: new SqliteShardReader(await openTable(pages), pages), pages };
  } catch (error) {
    await pages[Symbol.asyncDispose]();
    throw error;
  }
}

/** Apart from its lookups, which bundles for the edge have without it. */
export class ScannableRemoteShard extends RemoteSqliteShard implements ShardReader {
  async *scan(range: ScanRange = {}): AsyncGenerator<[key: Uint8Array, value: Uint8Array][], void, undefined> {
    // Unlike a lookup, a scan that has begun cannot begin anew: first it is found out what belongs to the file.
    const table = await this.use(async ({ table, pages }) => {
      await pages.bind(range.signal);
      return table;
    }, range.signal);
    yield* scanTable(table, range);
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
