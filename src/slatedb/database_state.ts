/**
 * The manifest of a database: which sorted tables are part of it, and where its log goes on.
 * @module
 */
import { FlatTable, listed } from "./flat_table.ts";
import { decoded, unsupported } from "./folder.ts";
import { readTableInfo, type TableInfo, type TableVersion, tableVersion } from "./table_info.ts";
import { ulidText } from "./ulid.ts";

/** A sorted table, or the part of it that counts. */
export interface TableView {
  /** Name of the object in the folder of the database. */
  readonly name: string;
  readonly info: TableInfo;
  readonly version: TableVersion;
  /** Keys that count; undefined for all. */
  readonly visible: VisibleRange | undefined;
}

/** The keys of a table that count. */
export interface VisibleRange {
  readonly from: KeyBound | undefined;
  readonly to: KeyBound | undefined;
}

/** Where a range begins or ends. */
export interface KeyBound {
  readonly key: Uint8Array;
  readonly isIncluded: boolean;
}

/** What a database is made of. */
export interface DatabaseState {
  /** Tables that may overlap, the newest first. */
  readonly level0: readonly TableView[];
  /** Runs of tables that do not overlap in ascending order, the newest run first. */
  readonly runs: readonly (readonly TableView[])[];
  /** Log files up to this one are in the tables. */
  readonly replayedWalId: number;
  /** The last log file that the writer of the manifest knew of. */
  readonly lastWalId: number;
  /** Rows of the log up to this sequence number are in the tables. */
  readonly lastSequence: number;
}

/** Numbers of the fields that the two versions of the format do not have in common; -1 where one has none. */
interface Layout {
  readonly tables: number;
  readonly level0: number;
  readonly runs: number;
  readonly lastSequence: number;
  readonly logPlace: number;
  readonly segments: number;
  readonly fieldCount: number;
}

const LAYOUTS: Readonly<Record<number, Layout>> = {
  1: { tables: -1, level0: 8, runs: 9, lastSequence: 12, logPlace: 13, segments: -1, fieldCount: 16 },
  2: { tables: 8, level0: 9, runs: 10, lastSequence: 13, logPlace: -1, segments: 16, fieldCount: 18 },
};
const EXTERNAL_DATABASES = 1;
const IS_INITIALIZED = 2;
const REPLAYED_WAL_ID = 5;
const LAST_WAL_ID = 6;
/** What tables are of whose version nothing says. */
const VERSION_DEFAULT = 1;
const VERSION_BYTES = 2;

/**
 * Reads a manifest.
 *
 * @throws {DbAdapterError} when it needs what this library does not have, or is of an unknown version.
 * @throws {CorruptFileError} when it is malformed.
 */
export function readDatabaseState(bytes: Uint8Array, url: string): DatabaseState {
  return decoded(url, () => {
    const version = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint16(0);
    const layout = LAYOUTS[version];
    if (layout === undefined) throw unsupported(url, `a manifest of format version ${version}`);
    const manifest = FlatTable.root(bytes.subarray(VERSION_BYTES));
    refuseUnknown(manifest, layout, url);
    const shared = layout.tables < 0 ? null : sharedTables(manifest, layout, url);
    const viewOf = (entry: FlatTable): TableView =>
      shared === null ? plainView(entry, url) : sharedView(entry, { shared, url });
    const trees = [{ tree: manifest, ...layout }, ...segmentsOf(manifest, layout)];
    return {
      level0: trees.flatMap(({ tree, level0 }) => listed(tree.tables(level0)).map(viewOf)),
      runs: trees.flatMap(({ tree, runs }) =>
        listed(tree.tables(runs)).map((run) => listed(run.tables(1)).map(viewOf)).filter((run) => run.length > 0)
      ),
      replayedWalId: manifest.uint64(REPLAYED_WAL_ID),
      lastWalId: manifest.uint64(LAST_WAL_ID),
      lastSequence: manifest.uint64(layout.lastSequence),
    };
  });
}

function refuseUnknown(manifest: FlatTable, { logPlace, fieldCount }: Layout, url: string): void {
  if (manifest.hasFrom(fieldCount)) throw unsupported(url, "fields of a newer version");
  if (manifest.tables(EXTERNAL_DATABASES).length > 0) {
    throw unsupported(url, "tables that lie in another database, as clones have");
  }
  if (manifest.uint8(IS_INITIALIZED) === 0) throw unsupported(url, "a clone that was begun and not finished");
  if (logPlace >= 0 && manifest.has(logPlace)) throw unsupported(url, "a log that lies in another store");
}

/** Trees of their own for keys of some prefix. */
function segmentsOf(manifest: FlatTable, { segments }: Layout): { tree: FlatTable; level0: number; runs: number }[] {
  if (segments < 0) return [];
  return listed(manifest.tables(segments)).map((tree) => ({ tree, level0: 2, runs: 3 }));
}

type SharedTables = ReadonlyMap<string, Omit<TableView, "visible">>;

function sharedTables(manifest: FlatTable, { tables }: Layout, url: string): SharedTables {
  return new Map(
    listed(manifest.tables(tables)).map((table) => [tableId(table.table(0)), tableOf(table, { versionField: 2, url })]),
  );
}

/** An entry of version 1, which is the table itself. */
function plainView(entry: FlatTable, url: string): TableView {
  return { ...tableOf(entry, { versionField: 3, url }), visible: visibleRange(entry.table(2)) };
}

/** An entry of version 2, which refers to a table. */
function sharedView(entry: FlatTable, { shared, url }: { shared: SharedTables; url: string }): TableView {
  const id = tableId(entry.table(1));
  const table = shared.get(id);
  if (table === undefined) throw new RangeError(`table ${id} of "${url}" is not described`);
  return { ...table, visible: visibleRange(entry.table(2)) };
}

function tableOf(
  table: FlatTable,
  { versionField, url }: { versionField: number; url: string },
): Omit<TableView, "visible"> {
  const name = `compacted/${tableId(table.table(0))}.sst`;
  const info = table.table(1);
  if (info === undefined) throw new RangeError(`table "${name}" is not described`);
  return {
    name,
    info: readTableInfo(info, url),
    version: tableVersion(table.uint16(versionField) ?? VERSION_DEFAULT, url),
  };
}

function tableId(id: FlatTable | undefined): string {
  if (id === undefined) throw new RangeError("a table has no identifier");
  return ulidText(id.bits64(0), id.bits64(1));
}

function visibleRange(range: FlatTable | undefined): VisibleRange | undefined {
  return range && { from: keyBound(range.table(0)), to: keyBound(range.table(1)) };
}

/** The kinds of bounds: 1 none, 2 with the key, 3 without it. */
function keyBound(bound: FlatTable | undefined): KeyBound | undefined {
  const kind = bound?.uint8(1);
  if (kind === 1) return undefined;
  const key = bound?.bytes(0);
  if (key === undefined || (kind !== 2 && kind !== 3)) throw new RangeError("a range has no bounds");
  return { key: key.slice(), isIncluded: kind === 2 };
}
