/**
 * Databases that SlateDB itself made, and what it read from them (tests/fixtures/slatedb/make_databases.py).
 * @module
 */
import { CorruptFileError, ObjectNotFoundError } from "../../src/errors.ts";
import type { SlateDatabase } from "../../src/slatedb/database.ts";
import type { DatabaseFolder } from "../../src/slatedb/folder.ts";
import { PagePool } from "../../src/read/page_pool.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";

/** A database as the fixtures have it. */
export interface MadeDatabase {
  /** Objects in base64 by their names. */
  readonly files: Readonly<Record<string, string>>;
  /** Keys and values in hex, as SlateDB's reader gives them; null where it cannot read it. */
  readonly rows: readonly (readonly [key: string, value: string])[] | null;
}

export const madeDatabases: Readonly<Record<string, MadeDatabase>> = fixtureJson("slatedb/databases.json").databases;

/** Objects by name. */
export type Files = Map<string, Uint8Array>;

export function filesOf(name: string): Files {
  const { files } = madeDatabases[name]!;
  return new Map(
    Object.entries(files).map(([file, base64]) => [file, new Uint8Array(Buffer.from(base64, "base64"))]),
  );
}

/** What was asked of a folder in memory. */
export interface AskedFolder extends DatabaseFolder {
  /** Names that were asked for, in that order. */
  readonly asked: string[];
  readonly warnings: string[];
}

/** A folder in memory. */
export function folderOf(files: Files, { cacheBytes = 1 << 26, gapBytes = 0, names }: {
  cacheBytes?: number;
  gapBytes?: number;
  names?: readonly string[];
} = {}): AskedFolder {
  const asked: string[] = [];
  const warnings: string[] = [];
  return {
    url: "memory:///made",
    names,
    asked,
    warnings,
    blocks: new PagePool(cacheBytes),
    tally: { cacheHits: 0, filterHits: 0 },
    load(name) {
      asked.push(name);
      return Promise.resolve(files.get(name) ?? null);
    },
    read(name, { offset, lengthBytes }) {
      asked.push(name);
      const bytes = files.get(name);
      if (bytes === undefined) {
        throw new ObjectNotFoundError(`Cannot find "${name}"`, { url: `memory:///made/${name}` });
      }
      if (offset + lengthBytes > bytes.length) throw new CorruptFileError(`Cannot read "${name}" so far`, offset);
      return Promise.resolve(bytes.slice(offset, offset + lengthBytes));
    },
    gapBytesMax: () => gapBytes,
    warn: (message) => void warnings.push(message),
  };
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

export function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

/** All rows of a scan in hex. */
export async function scanned(
  database: SlateDatabase,
  range?: { from?: Uint8Array; to?: Uint8Array },
): Promise<[string, string][]> {
  const rows = (await Array.fromAsync(database.scan(range))).flat();
  return rows.map(([key, value]) => [hexOf(key), hexOf(value)]);
}
