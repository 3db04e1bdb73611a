/**
 * The extension sqlite-vec itself, the judge of files with vectors.
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import type { TestContext } from "node:test";
import { getLoadablePath } from "sqlite-vec";

/** Opens a file with the extension; null, and says so, where SQLite cannot load it. */
export function openWithExtension(path: string, t: TestContext): DatabaseSync | null {
  let problem: unknown;
  try {
    const database = new DatabaseSync(path, { allowExtension: true });
    database.loadExtension(getLoadablePath());
    return database;
  } catch (error) {
    problem = error;
  }
  const reason = `the extension sqlite-vec cannot be loaded here: ${problem}`;
  t.diagnostic(reason);
  t.skip(reason);
  return null;
}

/** What the extension finds. */
export interface NativeHit {
  readonly rowid: number;
  readonly distance: number;
}

/** The nearest vectors by the extension. */
export function nativeSearch(database: DatabaseSync, query: Float32Array, topK: number): NativeHit[] {
  return database.prepare("SELECT rowid, distance FROM vec_index WHERE embedding MATCH ? AND k = ? ORDER BY distance")
    .all(new Uint8Array(query.buffer), topK) as unknown as NativeHit[];
}

/** What is wrong with the file; empty for nothing. */
export function integrityProblems(database: DatabaseSync): unknown[] {
  return database.prepare("PRAGMA integrity_check").all().map((row) => Object.values(row)[0])
    .filter((text) => text !== "ok");
}
