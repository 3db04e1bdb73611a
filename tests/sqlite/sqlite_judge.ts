/**
 * Files that SQLite wrote, and what SQLite reads from them.
 * @module
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { KeyValueRow, PageSource, SqlValue } from "../../src/sqlite/mod.ts";

/** How SQLite shall lay a file out. */
export interface Layout {
  readonly pageSizeBytes?: number;
  /** 0 off, 1 full, 2 incremental. */
  readonly autoVacuum?: number;
  /** Bytes at the end of each page that SQLite leaves alone. */
  readonly reservedBytes?: number;
  readonly setUp?: string;
}

export const KV_TABLE = "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID";

/** The file that SQLite writes when `build` has run on an empty database. */
export function databaseBytes(layout: Layout, build: (database: DatabaseSync) => void): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-test-"));
  const path = join(folder, "test.db");
  try {
    if (layout.reservedBytes !== undefined) writeFileSync(path, reservedFile(path, layout));
    const database = open(path, layout);
    build(database);
    database.close();
    return new Uint8Array(readFileSync(path));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function open(path: string, layout: Layout): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA page_size=${layout.pageSizeBytes ?? 4096}; PRAGMA auto_vacuum=${layout.autoVacuum ?? 0};
    PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE; ${layout.setUp ?? ""}`);
  return database;
}

/** SQLite has no pragma for it, but follows the header of a file without tables. */
function reservedFile(path: string, layout: Layout): Uint8Array {
  const database = open(path, layout);
  database.exec("PRAGMA user_version=1");
  database.close();
  const bytes = new Uint8Array(readFileSync(path));
  const usableBytes = (layout.pageSizeBytes ?? 4096) - layout.reservedBytes!;
  bytes[20] = layout.reservedBytes!;
  bytes[105] = usableBytes >> 8;
  bytes[106] = usableBytes & 0xff;
  return bytes;
}

/** Pages of a file in memory that come late, unless `isAtHand` says otherwise; counts what is read. */
export class LatePages implements PageSource {
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  readonly #bytes: Uint8Array;
  readonly #isAtHand: (pageNumber: number) => boolean;
  /** Pages given by `peek` and by the others. */
  peeks = 0;
  loads = 0;
  /** Page numbers of each call of `loadMany`. */
  readonly manyLoads: number[][] = [];
  loadMany?: (pageNumbers: readonly number[], signal?: AbortSignal) => Promise<Uint8Array[]>;

  constructor(bytes: Uint8Array, isAtHand: (pageNumber: number) => boolean, hasLoadMany: boolean = false) {
    this.pageSizeBytes = ((bytes[16]! << 8) | bytes[17]!) === 1 ? 65536 : (bytes[16]! << 8) | bytes[17]!;
    this.pageCount = bytes.byteLength / this.pageSizeBytes;
    this.#bytes = bytes;
    this.#isAtHand = isAtHand;
    if (hasLoadMany) {
      this.loadMany = async (pageNumbers, signal) => {
        this.manyLoads.push([...pageNumbers]);
        return await Promise.all(pageNumbers.map((pageNumber) => this.load(pageNumber, signal)));
      };
    }
  }

  peek(pageNumber: number): Uint8Array | undefined {
    if (!this.#isAtHand(pageNumber)) return undefined;
    this.peeks++;
    return this.#page(pageNumber);
  }

  async load(pageNumber: number, signal?: AbortSignal): Promise<Uint8Array> {
    await Promise.resolve();
    signal?.throwIfAborted();
    this.loads++;
    return this.#page(pageNumber);
  }

  #page(pageNumber: number): Uint8Array {
    ok(Number.isInteger(pageNumber) && pageNumber >= 1 && pageNumber <= this.pageCount, `asked for page ${pageNumber}`);
    return this.#bytes.slice((pageNumber - 1) * this.pageSizeBytes, pageNumber * this.pageSizeBytes);
  }
}

/** Numbers from 0 up to 1 that are the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Compares bytes; `deepEqual` takes seconds for a megabyte. */
export function equalBytes(actual: unknown, expected: Uint8Array | null, label: string): void {
  if (expected === null) return equal(actual, null, label);
  ok(actual instanceof Uint8Array, `${label}: must be bytes`);
  ok(Buffer.compare(actual, expected) === 0, `${label}: other bytes`);
}

/** Compares rows of a key-value table. */
export function equalRows(actual: readonly KeyValueRow[], expected: readonly KeyValueRow[], label: string): void {
  equal(actual.length, expected.length, label);
  expected.forEach(([key, value], i) => {
    equalBytes(actual[i]![0], key, `${label}, key ${i}`);
    equalBytes(actual[i]![1], value, `${label}, value ${i}`);
  });
}

/** Compares a value with what SQLite gave, which has bigints for all integers. */
export function equalValue(actual: SqlValue | undefined, expected: unknown, label: string): void {
  if (expected instanceof Uint8Array) return equalBytes(actual, expected, label);
  if (typeof expected !== "bigint") return ok(Object.is(actual, expected), `${label}: ${actual} is not ${expected}`);
  ok(typeof actual === "number" ? Number.isSafeInteger(actual) : typeof actual === "bigint", label);
  equal(BigInt(actual as number | bigint), expected, label);
}

/** All that an asynchronous source of arrays gives. */
export async function allOf<T>(batches: AsyncIterable<T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) {
    ok(batch.length > 0, "an array must not be empty");
    all.push(...batch);
  }
  return all;
}

/** Rows of the table `kv` as SQLite orders them. */
export function rowsOf(database: DatabaseSync, where: string = ""): KeyValueRow[] {
  return database.prepare(`SELECT k, v FROM kv ${where} ORDER BY k`).all()
    .map((row) => [bytesOf(row["k"]), bytesOf(row["v"])]);
}

function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  deepEqual(value instanceof Uint8Array, true);
  return new Uint8Array(value as Uint8Array);
}
