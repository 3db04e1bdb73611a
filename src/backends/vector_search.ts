/**
 * Searches the vectors of a shard: exact, chunk by chunk over the tables of sqlite-vec, on pages from wherever.
 *
 * `vector_tables.ts` draws the tables.
 * @module
 */
import { parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError, CorruptFileError, DbAdapterError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { type Database, openDatabase } from "../sqlite/database_reader.ts";
import { type LongRow, longRows } from "../sqlite/long_rows.ts";
import type { PageSource } from "../sqlite/page_source.ts";
import type { RowidTable } from "../sqlite/rowid_table.ts";
import { exactInteger } from "../sqlite/varint.ts";
import { type Scorer, scorerOf, type SearchedSpace } from "../vector/distance.ts";
import { Nearest, type Scored } from "../vector/nearest.ts";
import { decodeId } from "../vector/vector_cell.ts";
import type { SearchHit, SearchOptions } from "./backend.ts";

/** sqlite-vec takes no more at once, and so more are refused that a search with it would have to refuse. */
const TOP_K_MAX = 4096;
/** After so many bytes of vectors timers and signals have their turn. */
const BYTES_AT_ONCE = 1 << 25;

/** The vectors of a shard. Holds the schema, and nothing of the vectors. */
export class VectorIndex {
  readonly space: SearchedSpace;
  readonly #database: Database;

  /** Use {@linkcode openVectorIndex}. */
  constructor(database: Database, space: SearchedSpace) {
    this.#database = database;
    this.space = space;
  }

  /** As in `ShardReader`. Holds two pieces of 8 MiB of vectors, or of a chunk where that is longer, and one chunk. */
  async search(query: Float32Array, { topK, signal }: SearchOptions): Promise<SearchHit[]> {
    const score = scorerOf(query, this.space);
    if (!Number.isInteger(topK) || topK < 1 || topK > TOP_K_MAX) {
      throw new ConfigValidationError(
        `Cannot use option "topK" as it must be a whole number from 1 to ${TOP_K_MAX}: current value is ${shown(topK)}`,
        "topK",
      );
    }
    const nearest = new Nearest<number | bigint>(topK);
    await this.#scan(score, nearest, signal);
    return await this.#hits(nearest.sorted(), signal);
  }

  /** Goes through the chunks, and through what says which places of them are taken. */
  async #scan(score: Scorer, nearest: Nearest<number | bigint>, signal?: AbortSignal): Promise<void> {
    const { dim } = this.space;
    const buffers = new ChunkBuffers(dim);
    const places = longRows(this.#database.rowidTable("vec_index_chunks").tree, signal);
    const vectors = longRows(this.#database.rowidTable("vec_index_vector_chunks00").tree, signal);
    let bytesLeft = BYTES_AT_ONCE;
    try {
      for await (const place of places) {
        const { value: chunk } = await vectors.next();
        if (chunk === undefined || chunk.rowid !== place.rowid) {
          throw corruptChunk(place.rowid, "its vectors are missing");
        }
        await buffers.load(place, chunk, signal);
        scoreChunk(buffers, score, nearest);
        if ((bytesLeft -= buffers.vectors.byteLength) > 0) continue;
        bytesLeft = BYTES_AT_ONCE;
        await new Promise((resolve) => setTimeout(resolve));
        signal?.throwIfAborted();
      }
    } finally {
      await vectors.return();
    }
  }

  async #hits(winners: readonly Scored<number | bigint>[], signal?: AbortSignal): Promise<SearchHit[]> {
    const rowids = winners.map(({ key }) => key);
    const [ids, payloads] = await Promise.all([
      this.#texts(["vec_id_map", "original_id"], rowids, signal),
      this.#texts(["vec_payloads", "payload"], rowids, signal),
    ]);
    return winners.map(({ key, score }) => {
      const id = ids.get(key);
      const payload = payloads.get(key);
      if (id === undefined) {
        throw new CorruptFileError(`Cannot tell the id of vector ${key} as "vec_id_map" lacks it`, -1);
      }
      try {
        return { id: decodeId(id), score, payload: payload === undefined ? null : parseJson(payload) };
      } catch (cause) {
        throw new CorruptFileError(`Cannot read id and payload of vector ${key} as they must be JSON`, -1, { cause });
      }
    });
  }

  async #texts(
    [name, column]: readonly [table: string, column: string],
    rowids: readonly (number | bigint)[],
    signal?: AbortSignal,
  ): Promise<Map<number | bigint, string>> {
    const table: RowidTable = this.#database.rowidTable(name);
    const index = table.columnIndex(column);
    const rows = await table.getManyByRowid(rowids, signal);
    const texts = new Map<number | bigint, string>();
    for (const [rowid, values] of rows) {
      const text = values[index];
      if (typeof text !== "string") throw new CorruptFileError(`Cannot read row ${rowid} of "${name}" as text`, -1);
      texts.set(rowid, text);
    }
    return texts;
  }
}

/** What a chunk is copied to. */
class ChunkBuffers {
  readonly #dim: number;
  /** Which places are taken, a bit each, lowest first. */
  validity: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  rowids = new DataView(new ArrayBuffer(0));
  vectors: Float32Array<ArrayBuffer> = new Float32Array(0);
  scores: Float32Array<ArrayBuffer> = new Float32Array(0);
  #vectorBytes = new Uint8Array(0);

  constructor(dim: number) {
    this.#dim = dim;
  }

  async load(place: LongRow, chunk: LongRow, signal?: AbortSignal): Promise<void> {
    // Columns: chunk_id, size, validity, rowids; rowid, vectors.
    const [validityBytes, rowidBytes] = place.columnBytes.slice(2);
    const rows = (rowidBytes ?? -1) / 8;
    if (!Number.isInteger(rows) || validityBytes !== Math.ceil(rows / 8)) {
      throw corruptChunk(place.rowid, "its row ids and their validity must be of one length");
    }
    if (chunk.columnBytes[1] !== 4 * this.#dim * rows) {
      throw corruptChunk(place.rowid, `its ${rows} vectors must have ${this.#dim} numbers each`);
    }
    if (this.scores.length !== rows) this.#resize(rows);
    await place.copy(2, this.validity, signal);
    await place.copy(3, new Uint8Array(this.rowids.buffer), signal);
    await chunk.copy(1, this.#vectorBytes, signal);
  }

  #resize(rows: number): void {
    this.validity = new Uint8Array(Math.ceil(rows / 8));
    this.rowids = new DataView(new ArrayBuffer(8 * rows));
    this.scores = new Float32Array(rows);
    this.vectors = new Float32Array(rows * this.#dim);
    this.#vectorBytes = new Uint8Array(this.vectors.buffer);
  }
}

function scoreChunk(
  { validity, rowids, vectors, scores }: ChunkBuffers,
  score: Scorer,
  nearest: Nearest<number | bigint>,
): void {
  let used = scores.length;
  while (used > 0 && (validity[(used - 1) >>> 3]! >>> ((used - 1) & 7) & 1) === 0) used--;
  score(vectors, scores.subarray(0, used));
  let { worst } = nearest;
  for (let i = 0; i < used; i++) {
    if (scores[i]! > worst || (validity[i >>> 3]! >>> (i & 7) & 1) === 0) continue;
    nearest.offer(scores[i]!, exactInteger(rowids.getBigInt64(8 * i, true)));
    worst = nearest.worst;
  }
}

function corruptChunk(chunkId: number | bigint, reason: string): CorruptFileError {
  return new CorruptFileError(`Cannot search chunk ${chunkId} of the vectors as ${reason}`, -1);
}

const DEFINITION = /^create virtual table (?:if not exists )?"?vec_index"? using vec0\s*\((.*)\)\s*$/is;
const COLUMN = /^\w+\s+(?:float|f32)\[(\d+)\](?:\s+distance_metric\s*=\s*(\w+))?$/i;

/**
 * Opens the vectors of a shard; reads its schema.
 *
 * @throws {DbAdapterError} when it has none, or such as only the extension itself can search.
 * @throws {CorruptFileError} when the file is damaged.
 */
export async function openVectorIndex(source: PageSource, signal?: AbortSignal): Promise<VectorIndex> {
  const database = await openDatabase(source, signal);
  const sql = database.table("vec_index")?.sql;
  if (typeof sql !== "string") {
    throw new DbAdapterError('Cannot search a shard that has no vectors: its file has no table "vec_index"');
  }
  const columns = DEFINITION.exec(sql)?.[1]?.split(",").map((part) => part.trim()) ?? [];
  const [, dim, metric = "l2"] = COLUMN.exec(columns.find((part) => !/^chunk_size\s*=/i.test(part)) ?? "") ?? [];
  const known = metric.toLowerCase();
  const isAlone = columns.filter((part) => !/^chunk_size\s*=/i.test(part)).length === 1;
  if (dim === undefined || !isAlone || (known !== "l2" && known !== "cosine")) {
    throw new DbAdapterError(
      `Cannot search a shard whose vectors are defined by ${
        shown(sql)
      }: only one column of float32 by l2 or cosine is read`,
    );
  }
  return new VectorIndex(database, { dim: Number(dim), metric: known });
}
