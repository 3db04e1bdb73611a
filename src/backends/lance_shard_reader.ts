/**
 * Searches a shard's Lance table with LanceDB: in a copy on disk that is made for the first search, or where it lies.
 * @module
 */
import { parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError, CorruptFileError, DbAdapterError, ShardyfusionError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { orAborted, SharedTask } from "../shared_task.ts";
import type { VectorMetric, VectorSpace } from "../vector/vector_cell.ts";
import type { SearchHit, SearchOptions, ShardReader } from "./backend.ts";
import { fetchLanceTable, LANCE_TABLE, lanceFolderUrl, type LancePlace } from "./lance_folder.ts";
import { importLance, type LanceMetric, type LanceRow, type LanceTable } from "./lance_library.ts";

/** Up to so many vectors a search goes through all of them, which takes some milliseconds. */
const EXACT_ROWS_MAX = 10_000;
/** With an index, so many times as many vectors are measured anew as are wanted. */
const REFINE_FACTOR = 4;
/** Candidates that a search in the graph keeps, for each wanted one, and at least. */
const EF_FACTOR = 8;
const EF_MIN = 128;
/** The most vectors that one search gives. */
const TOP_K_MAX = 4096;

/** How LanceDB is to read shards where they lie. */
export interface NativeLanceAccess {
  /**
   * What LanceDB needs to reach an object store, such as `aws_access_key_id`, `aws_secret_access_key`, `aws_region`,
   * `aws_endpoint`, and `allow_http` for one without TLS. Never recorded.
   */
  readonly storageOptions?: Readonly<Record<string, string>> | undefined;
  /** Where LanceDB finds what the manifest calls by this URL. @default the same */
  readonly urlOf?: ((url: string) => string) | undefined;
}

/** LanceDB's names of metrics. */
export const LANCE_METRICS: Readonly<Record<VectorMetric, LanceMetric>> = {
  cosine: "cosine",
  l2: "l2",
  "dot_product": "dot",
};

/** What a reader reads. */
export interface LanceShard {
  readonly shard: LancePlace;
  readonly space: VectorSpace;
  /** Undefined: a copy is made. */
  readonly native: NativeLanceAccess | undefined;
}

/** An open table. */
interface OpenTable {
  readonly table: LanceTable;
  readonly rowCount: number;
  close(): Promise<void>;
}

/** Vectors without rows: no key has a value. */
export class LanceShardReader implements ShardReader {
  readonly #shard: LanceShard;
  /** Null for a shard without vectors. */
  #opening: SharedTask<OpenTable | null> | null = null;
  /** Searches under way. */
  #searching = 0;
  #isDisposed = false;

  constructor(shard: LanceShard) {
    this.#shard = shard;
  }

  get(): null {
    return null;
  }

  getMany(keys: readonly Uint8Array[]): Promise<null[]> {
    return Promise.resolve(keys.map(() => null));
  }

  async *scan(): AsyncGenerator<never, void, undefined> {}

  async warm(signal?: AbortSignal): Promise<void> {
    await this.#withTable(() => Promise.resolve(), signal);
  }

  async search(query: Float32Array, { topK, signal }: SearchOptions): Promise<SearchHit[]> {
    const { space } = this.#shard;
    checkSearch(query, topK, space);
    const rows = await this.#withTable(async ({ table, rowCount }) => {
      const nearest = table.query().nearestTo(query.slice()).distanceType(LANCE_METRICS[space.metric]);
      const search = rowCount <= EXACT_ROWS_MAX
        ? nearest.bypassVectorIndex()
        : nearest.refineFactor(REFINE_FACTOR).ef(Math.max(EF_MIN, topK * EF_FACTOR));
      const found = search.select(["id", "payload", "_distance"]).withRowId().limit(topK).toArray();
      return await (signal === undefined ? found : orAborted(found, signal));
    }, signal);
    return rows === null ? [] : hitsOf(rows);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    if (this.#searching === 0) await this.#close();
  }

  /** Null when there is no table. */
  async #withTable<T>(use: (table: OpenTable) => Promise<T>, signal: AbortSignal | undefined): Promise<T | null> {
    this.#searching++;
    try {
      if (this.#opening === null || this.#opening.isAborted) this.#opening = this.#open();
      const opened = await this.#opening.join(signal);
      return opened === null ? null : await use(opened);
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof ShardyfusionError ? error : this.#error(error);
    } finally {
      // Lookups may come after disposal: what they open goes with the last of them.
      if (--this.#searching === 0 && this.#isDisposed) await this.#close();
    }
  }

  #open(): SharedTask<OpenTable | null> {
    const { native } = this.#shard;
    const opening = new SharedTask((signal) =>
      native === undefined ? openCopy(this.#shard, signal) : openInPlace(this.#shard, native)
    );
    // What failed is tried anew by the next search.
    opening.join().catch(() => {
      if (this.#opening === opening) this.#opening = null;
    });
    return opening;
  }

  async #close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = null;
    const opened = await opening?.join().catch(() => null);
    await opened?.close();
  }

  #error(cause: unknown): CorruptFileError | DbAdapterError {
    const { shard, native } = this.#shard;
    const message = `Cannot search "${lanceFolderUrl(shard)}" with LanceDB: ${messageOf(cause)}`;
    // A copy was complete and is on our own disk: only its content can be wrong.
    return native === undefined ? new CorruptFileError(message, -1, { cause }) : new DbAdapterError(message, { cause });
  }
}

/** First line of what the native library says. */
function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}

function checkSearch(query: Float32Array, topK: number, { dim, metric }: VectorSpace): void {
  const wrong = (rule: string, value: unknown): ConfigValidationError =>
    new ConfigValidationError(`Cannot search for a vector as ${rule}: current value is ${shown(value)}`, "query");
  if (!(query instanceof Float32Array)) throw wrong("it must be a Float32Array", query);
  if (query.length !== dim) throw wrong(`it must have ${dim} numbers`, query.length);
  const infinite = query.find((number) => !Number.isFinite(number));
  if (infinite !== undefined) throw wrong("its numbers must be finite", infinite);
  if (metric === "cosine" && query.every((number) => number === 0)) {
    throw wrong('with metric "cosine" it must not be zero', "a vector of no length");
  }
  if (Number.isInteger(topK) && topK >= 1 && topK <= TOP_K_MAX) return;
  throw new ConfigValidationError(
    `Cannot use option "topK" as it must be a whole number from 1 to ${TOP_K_MAX}: current value is ${shown(topK)}`,
    "topK",
  );
}

/** Of equally near ones LanceDB gives any first. */
function hitsOf(rows: readonly LanceRow[]): SearchHit[] {
  const ordered = rows.map(({ id, payload, _distance, _rowid }) => ({ id, payload, _distance, place: BigInt(_rowid) }));
  ordered.sort((a, b) => a._distance - b._distance || (a.place < b.place ? -1 : 1));
  return ordered.map(({ id, payload, _distance: score }) => ({
    id: id ?? "",
    score,
    payload: payload === null ? null : payloadOf(payload),
  }));
}

function payloadOf(text: string): SearchHit["payload"] {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new CorruptFileError(`Cannot read ${shown(text)} as the payload of a vector`, -1, { cause });
  }
}

async function openCopy({ shard, space }: LanceShard, signal: AbortSignal): Promise<OpenTable | null> {
  const [library, fs, { tmpdir }, { join }] = await Promise.all([
    importLance(),
    import("node:fs/promises"),
    import("node:os"),
    import("node:path"),
  ]);
  const folder = await fs.mkdtemp(join(tmpdir(), "shardyfusion-lance-"));
  const remove = (): Promise<void> => fs.rm(folder, { recursive: true, force: true });
  try {
    if (!await fetchLanceTable(shard, folder, signal)) {
      await remove();
      return null;
    }
    const database = await library.connect(folder);
    try {
      const table = await openTable(await database.openTable(LANCE_TABLE), { shard, space });
      return {
        ...table,
        async close() {
          table.table.close();
          database.close();
          await remove();
        },
      };
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (cause) {
    await remove();
    signal.throwIfAborted();
    if (cause instanceof ShardyfusionError) throw cause;
    const message = `Cannot open "${lanceFolderUrl(shard)}" with LanceDB: ${messageOf(cause)}`;
    throw new CorruptFileError(message, -1, { cause });
  }
}

async function openInPlace(
  { shard, space }: LanceShard,
  { storageOptions = {}, urlOf = (url) => url }: NativeLanceAccess,
): Promise<OpenTable | null> {
  const library = await importLance();
  const url = urlOf(lanceFolderUrl(shard));
  const path = url.startsWith("file:") ? (await import("node:url")).fileURLToPath(url) : url;
  const database = await library.connect(path, { storageOptions });
  try {
    // The one failure that says nothing of the table: LanceDB does not tell a missing table from others by a code.
    if (!(await database.tableNames()).includes(LANCE_TABLE)) {
      database.close();
      return null;
    }
    const table = await openTable(await database.openTable(LANCE_TABLE), { shard, space });
    return {
      ...table,
      close() {
        table.table.close();
        database.close();
        return Promise.resolve();
      },
    };
  } catch (cause) {
    database.close();
    if (cause instanceof ShardyfusionError) throw cause;
    throw new DbAdapterError(`Cannot open "${path}" with LanceDB: ${messageOf(cause)}`, { cause });
  }
}

async function openTable(
  table: LanceTable,
  { shard, space }: Pick<LanceShard, "shard" | "space">,
): Promise<{ table: LanceTable; rowCount: number }> {
  const { fields } = await table.schema();
  const dim = fields.find(({ name }) => name === "vector")?.type.listSize;
  const isTable = ["id", "payload"].every((name) => fields.some((field) => field.name === name));
  if (isTable && dim === space.dim) return { table, rowCount: await table.countRows() };
  table.close();
  throw new CorruptFileError(
    `Cannot search "${
      lanceFolderUrl(shard)
    }" as its table must have the columns id, payload and vector, of ${space.dim} ` +
      `numbers each: current value is ${fields.map(({ name }) => name).join(", ")}, of ${dim ?? "no"} numbers`,
    -1,
  );
}
