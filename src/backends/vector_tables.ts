/**
 * The tables of a shard's vectors, as the extension sqlite-vec 0.1.9 keeps them for a virtual table `vec0`: it opens,
 * searches and extends the file, and nothing of it is needed to write one.
 *
 * ```text
 * vec_index                   the virtual table: no pages of its own
 * vec_index_info              the version of the extension that the layout is of
 * vec_index_rowids            rowid → chunk and place in it
 * vec_index_chunks            chunk_id → size, validity (a bit a place, lowest first), rowids (i64, little-endian)
 * vec_index_vector_chunks00   chunk_id → vectors (float32, little-endian), 1024 of them
 * sqlite_sequence             the largest row ids that were given
 * vec_id_map, vec_payloads    rowid → id and payload, as JSON: ordinary tables beside it
 * ```
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import type { RowCursor, SortedRows } from "../rows.ts";
import type { DatabaseWriter } from "../sqlite/database_writer.ts";
import { putVarint, varintBytes } from "../sqlite/format.ts";
import { encodeRecord } from "../sqlite/record_writer.ts";
import type { TreeWriter } from "../sqlite/tree_writer.ts";
import { VectorCell, type VectorSpace } from "../vector/vector_cell.ts";

/** Vectors in a chunk: what sqlite-vec takes where nothing else is said. */
export const CHUNK_ROWS = 1024;
/** The version of sqlite-vec that this layout is of. */
const VERSION = [0, 1, 9] as const;
const NOTHING = new Uint8Array(0);

const SQL = {
  info: 'CREATE TABLE "vec_index_info" (key text primary key, value any)',
  chunks: 'CREATE TABLE "vec_index_chunks"(chunk_id INTEGER PRIMARY KEY AUTOINCREMENT,size INTEGER NOT NULL,' +
    "validity BLOB NOT NULL,rowids BLOB NOT NULL)",
  sequence: "CREATE TABLE sqlite_sequence(name,seq)",
  rowids: 'CREATE TABLE "vec_index_rowids"(rowid INTEGER PRIMARY KEY AUTOINCREMENT,id,chunk_id INTEGER,' +
    "chunk_offset INTEGER)",
  vectors: 'CREATE TABLE "vec_index_vector_chunks00"(rowid PRIMARY KEY,vectors BLOB NOT NULL)',
  payloads: "CREATE TABLE vec_payloads (rowid INTEGER PRIMARY KEY, payload TEXT NOT NULL)",
  ids: "CREATE TABLE vec_id_map (internal_id INTEGER PRIMARY KEY, original_id TEXT NOT NULL)",
};

/** What vectors are written with. */
export interface VectorTablesOptions {
  readonly rows: SortedRows;
  readonly space: VectorSpace;
  readonly signal: AbortSignal;
}

/**
 * Writes all tables; vectors are numbered from 0 in the order of the keys, so that the bytes are a function of the
 * rows. Gives the number of rows, with or without a vector. Holds one chunk, three times, and some of each chunk.
 */
export async function writeVectorTables(writer: DatabaseWriter, options: VectorTablesOptions): Promise<number> {
  const { dim, metric } = options.space;
  const index = `CREATE VIRTUAL TABLE vec_index USING vec0(embedding float[${dim}] distance_metric=${metric})`;
  writer.addVirtualTable("vec_index", index);
  await writeInfo(writer);
  const { rowCount, vectorCount, payloadCount } = await writeTexts(writer, "ids", options);
  await writer.endTable("vec_id_map", SQL.ids);
  if (payloadCount > 0) await writeTexts(writer, "payloads", options);
  else writer.beginTable("rowid");
  await writer.endTable("vec_payloads", SQL.payloads);
  await writeRowids(writer, vectorCount, options.signal);
  await writeSequence(writer, vectorCount);
  await writeChunks(writer, vectorCount);
  await writeVectors(writer, options);
  await writeVectorIndex(writer, vectorCount);
  return rowCount;
}

/** Goes through all rows; `take` may wait. */
async function eachRow(
  { rows, signal }: VectorTablesOptions,
  take: (cursor: RowCursor, cell: VectorCell) => undefined | Promise<void>,
): Promise<void> {
  const cell = new VectorCell();
  await using cursor = await rows.open();
  do {
    while (cursor.next()) {
      cell.read(cursor.bytes, cursor.start + cursor.keyLength + cursor.valueLength);
      const waiting = take(cursor, cell);
      if (waiting === undefined) continue;
      signal.throwIfAborted();
      await waiting;
    }
  } while (await cursor.refill());
}

async function writeInfo(writer: DatabaseWriter): Promise<void> {
  const [major, minor, patch] = VERSION;
  const rows = [
    ["CREATE_VERSION", `v${major}.${minor}.${patch}`],
    ["CREATE_VERSION_MAJOR", major],
    ["CREATE_VERSION_MINOR", minor],
    ["CREATE_VERSION_PATCH", patch],
  ] as const;
  const tree = writer.beginTable("rowid");
  rows.forEach((values, i) => addRow(tree, i + 1, values));
  await writer.endTable("vec_index_info", SQL.info);
  const index = writer.beginTable("withoutRowid");
  rows.forEach(([key], i) => addRow(index, null, [key, i + 1]));
  await writer.endIndex("sqlite_autoindex_vec_index_info_1", "vec_index_info");
}

/** Rows of a text each, the number of the vector being the row id; the text is as it stands in the cell. */
async function writeTexts(
  writer: DatabaseWriter,
  kind: "ids" | "payloads",
  options: VectorTablesOptions,
): Promise<{ rowCount: number; vectorCount: number; payloadCount: number }> {
  const tree = writer.beginTable("rowid");
  const count = { rowCount: 0, vectorCount: 0, payloadCount: 0 };
  await eachRow(options, ({ bytes }, cell) => {
    count.rowCount++;
    if (!cell.hasVector) return;
    const rowid = count.vectorCount++;
    if (cell.payloadBytes > 0) count.payloadCount++;
    const length = kind === "ids" ? cell.idBytes : cell.payloadBytes;
    if (length === 0) return;
    const type = 13 + 2 * length;
    const headerBytes = 2 + varintBytes(type);
    const { head } = tree;
    tree.varintBytes = putVarint(head, putVarint(head, 0, headerBytes + length), rowid);
    head[tree.varintBytes] = headerBytes;
    head[tree.varintBytes + 1] = 0;
    tree.headBytes = putVarint(head, tree.varintBytes + 2, type);
    tree.add(bytes, kind === "ids" ? cell.idStart : cell.payloadStart, length);
    if (tree.isFull) return writer.flush();
  });
  return count;
}

async function writeRowids(writer: DatabaseWriter, vectorCount: number, signal: AbortSignal): Promise<void> {
  const tree = writer.beginTable("rowid");
  for (let rowid = 0; rowid < vectorCount; rowid++) {
    const { head } = tree;
    const chunkId = Math.floor(rowid / CHUNK_ROWS) + 1;
    const offset = rowid % CHUNK_ROWS;
    const [chunkBytes, offsetBytes] = [integerBytes(chunkId), integerBytes(offset)];
    tree.varintBytes = putVarint(head, putVarint(head, 0, 5 + chunkBytes + offsetBytes), rowid);
    head.set([5, 0, 0, integerType(chunkId), integerType(offset)], tree.varintBytes);
    tree.headBytes = putInteger(head, putInteger(head, tree.varintBytes + 5, chunkId), offset);
    tree.add(NOTHING, 0, 0);
    if (!tree.isFull) continue;
    signal.throwIfAborted();
    await writer.flush();
  }
  await writer.endTable("vec_index_rowids", SQL.rowids);
}

async function writeSequence(writer: DatabaseWriter, vectorCount: number): Promise<void> {
  const tree = writer.beginTable("rowid");
  if (vectorCount > 0) {
    addRow(tree, 1, ["vec_index_rowids", vectorCount - 1]);
    addRow(tree, 2, ["vec_index_chunks", Math.ceil(vectorCount / CHUNK_ROWS)]);
  }
  await writer.endTable("sqlite_sequence", SQL.sequence);
}

async function writeChunks(writer: DatabaseWriter, vectorCount: number): Promise<void> {
  const tree = writer.beginLongRows();
  for (let first = 0; first < vectorCount; first += CHUNK_ROWS) {
    const count = Math.min(CHUNK_ROWS, vectorCount - first);
    const validity = new Uint8Array(CHUNK_ROWS / 8);
    const rowids = new DataView(new ArrayBuffer(8 * CHUNK_ROWS));
    for (let i = 0; i < count; i++) {
      validity[i >>> 3]! |= 1 << (i & 7);
      rowids.setBigInt64(8 * i, BigInt(first + i), true);
    }
    const record = encodeRecord([null, CHUNK_ROWS, validity, new Uint8Array(rowids.buffer)]);
    tree.add(first / CHUNK_ROWS + 1, record);
    if (tree.isFull) await writer.flush();
  }
  await writer.endTable("vec_index_chunks", SQL.chunks);
}

/** Room before a chunk's vectors for the head of its record. */
const HEAD_ROOM_BYTES = 24;

async function writeVectors(writer: DatabaseWriter, options: VectorTablesOptions): Promise<void> {
  const { dim } = options.space;
  const chunkBytes = 4 * dim * CHUNK_ROWS;
  const tree = writer.beginLongRows();
  const record = new Uint8Array(HEAD_ROOM_BYTES + chunkBytes);
  let chunkId = 0;
  let filled = HEAD_ROOM_BYTES;
  function addChunk(): Promise<void> | undefined {
    record.fill(0, filled);
    filled = HEAD_ROOM_BYTES;
    const type = 12 + 2 * chunkBytes;
    const headerBytes = 2 + varintBytes(type);
    const start = HEAD_ROOM_BYTES - headerBytes - integerBytes(++chunkId);
    record[start] = headerBytes;
    record[start + 1] = integerType(chunkId);
    putInteger(record, putVarint(record, start + 2, type), chunkId);
    tree.add(chunkId, record.subarray(start));
    return tree.isFull ? writer.flush() : undefined;
  }
  await eachRow(options, ({ bytes }, cell) => {
    if (!cell.hasVector) return;
    if (cell.vectorBytes !== 4 * dim) {
      throw new CorruptFileError(`Cannot store a vector of ${cell.vectorBytes} bytes among those of ${4 * dim}`, -1);
    }
    record.set(bytes.subarray(cell.vectorStart, cell.vectorStart + cell.vectorBytes), filled);
    filled += cell.vectorBytes;
    if (filled === record.length) return addChunk();
  });
  if (filled > HEAD_ROOM_BYTES) await addChunk();
  await writer.endTable("vec_index_vector_chunks00", SQL.vectors);
}

async function writeVectorIndex(writer: DatabaseWriter, vectorCount: number): Promise<void> {
  const tree = writer.beginTable("withoutRowid");
  for (let chunkId = 1; chunkId <= Math.ceil(vectorCount / CHUNK_ROWS); chunkId++) {
    addRow(tree, null, [chunkId, chunkId]);
    if (tree.isFull) await writer.flush();
  }
  await writer.endIndex("sqlite_autoindex_vec_index_vector_chunks00_1", "vec_index_vector_chunks00");
}

/** Appends a row of few, short values; without a row id to an index. */
function addRow(tree: TreeWriter, rowid: number | null, values: readonly (string | number)[]): void {
  const record = encodeRecord(values);
  const end = putVarint(tree.head, 0, record.length);
  tree.headBytes = tree.varintBytes = rowid === null ? end : putVarint(tree.head, end, rowid);
  tree.add(record, 0, record.length);
}

/** Bytes of a whole number from 0 to 2^31-1 in a record. */
function integerBytes(value: number): number {
  return value < 2 ? 0 : value < 0x80 ? 1 : value < 0x8000 ? 2 : value < 0x80_0000 ? 3 : 4;
}

/** Serial type of such a number. */
function integerType(value: number): number {
  return value < 2 ? 8 + value : integerBytes(value);
}

/** Writes such a number and gives where it ends. */
function putInteger(target: Uint8Array, start: number, value: number): number {
  const end = start + integerBytes(value);
  for (let at = end - 1, rest = value; at >= start; at--, rest >>>= 8) target[at] = rest;
  return end;
}
