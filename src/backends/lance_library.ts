/**
 * What is used of `@lancedb/lancedb`, an optional package: said here, as its own types are not there for those who do
 * without it.
 * @module
 */
import { MissingLibraryError } from "../errors.ts";

/** Name of the package, in a form that compilers and bundlers do not look for. */
const PACKAGE: string = "@lancedb/lancedb";

/** How far apart LanceDB says vectors are. */
export type LanceMetric = "cosine" | "l2" | "dot";

/** An Arrow type by its number: 3 floats, 5 texts, 13 structures, 16 lists of one length. */
export interface ArrowType {
  readonly typeId: number;
  readonly precision?: number;
  readonly listSize?: number;
  readonly children?: readonly ArrowField[];
}

/** A column of a table. */
export interface ArrowField {
  readonly name: string;
  readonly type: ArrowType;
  readonly nullable: boolean;
  readonly metadata: ReadonlyMap<string, string>;
}

/** The columns of a table. */
export interface ArrowSchema {
  readonly fields: readonly ArrowField[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** A part of a column. */
export interface ArrowData {
  readonly type: ArrowType;
  readonly offset: number;
  readonly length: number;
  readonly nullCount: number;
  readonly valueOffsets?: Int32Array;
  readonly values?: Uint8Array | Float32Array;
  readonly nullBitmap?: Uint8Array;
  readonly children: readonly ArrowData[];
}

/** Rows as the package takes them, whatever version of Arrow they come from: it copies what has this shape. */
export interface ArrowTable {
  readonly schema: ArrowSchema;
  readonly batches: readonly { readonly schema: ArrowSchema; readonly data: ArrowData }[];
}

/** A row that a search found. */
export interface LanceRow {
  readonly id: string | null;
  readonly payload: string | null;
  readonly _distance: number;
  readonly _rowid: bigint | number;
}

/** A search in the making. */
export interface LanceQuery {
  nearestTo(vector: Float32Array): LanceQuery;
  distanceType(metric: LanceMetric): LanceQuery;
  select(columns: string[]): LanceQuery;
  withRowId(): LanceQuery;
  bypassVectorIndex(): LanceQuery;
  refineFactor(factor: number): LanceQuery;
  ef(candidates: number): LanceQuery;
  limit(count: number): LanceQuery;
  toArray(): Promise<LanceRow[]>;
}

/** A table of a database. */
export interface LanceTable {
  add(rows: ArrowTable): Promise<unknown>;
  countRows(): Promise<number>;
  schema(): Promise<{
    readonly fields: readonly { readonly name: string; readonly type: { readonly listSize?: number } }[];
  }>;
  createIndex(column: string, options: { config: unknown; replace?: boolean }): Promise<void>;
  version(): Promise<number>;
  query(): LanceQuery;
  close(): void;
}

/** A folder of tables. */
export interface LanceDatabase {
  createTable(name: string, rows: ArrowTable): Promise<LanceTable>;
  openTable(name: string): Promise<LanceTable>;
  tableNames(): Promise<string[]>;
  close(): void;
}

/** How the graph of an index is made. */
export interface LanceGraph {
  readonly distanceType: LanceMetric;
  readonly numPartitions: number;
  readonly numSubVectors?: number;
  readonly m: number;
  readonly efConstruction: number;
}

/** The package. */
export interface LanceLibrary {
  connect(uri: string, options?: { storageOptions?: Readonly<Record<string, string>> }): Promise<LanceDatabase>;
  readonly Index: { hnswSq(graph: LanceGraph): unknown; hnswPq(graph: LanceGraph): unknown };
}

/**
 * Imports the package: as modules here see it, else as the program's working folder does.
 *
 * @throws {MissingLibraryError} where it is not installed, or does not load.
 */
export async function importLance(): Promise<LanceLibrary> {
  let cause: unknown;
  try {
    return await import(PACKAGE);
  } catch (error) {
    cause = error;
  }
  try {
    // Deno imports only what is named in the configuration of the program, but requires what is in `node_modules`.
    const [{ createRequire }, { cwd }] = await Promise.all([import("node:module"), import("node:process")]);
    return createRequire(`${cwd()}/package.json`)(PACKAGE);
  } catch (error) {
    // Then it is there.
    if ((error as { code?: unknown } | null)?.code !== "MODULE_NOT_FOUND") throw brokenError(error);
  }
  throw new MissingLibraryError(
    `Cannot use lancedbBackend without the package "${PACKAGE}": install it ("npm install ${PACKAGE}", ` +
      `"bun add ${PACKAGE}" or "deno add npm:${PACKAGE}")`,
    PACKAGE,
    { cause },
  );
}

function brokenError(cause: unknown): MissingLibraryError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new MissingLibraryError(
    `Cannot use lancedbBackend as the package "${PACKAGE}" does not load: install the one for this system, and on ` +
      `Deno allow --allow-env and --allow-ffi; it says ${JSON.stringify(message.split("\n")[0])}`,
    PACKAGE,
    { cause },
  );
}
