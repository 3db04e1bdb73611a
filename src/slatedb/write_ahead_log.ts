/**
 * The log of a database: rows that are not in its tables yet.
 * @module
 */
import { compareBytes } from "../routing/key.ts";
import { type Row, rowsOf } from "./block.ts";
import { decompress } from "./compression.ts";
import type { DatabaseState } from "./database_state.ts";
import { type DatabaseFolder, decoded } from "./folder.ts";
import { FlatTable } from "./flat_table.ts";
import { checked, infoOfTable } from "./table_info.ts";

/** Log files that are asked for at the same time. */
const AT_ONCE_MAX = 16;

/** Rows of the log in ascending order of their keys, each key once. */
export interface LogRows {
  readonly rows: readonly Row[];
  readonly sizeBytes: number;
}

/**
 * Reads what the tables do not have. Log files are numbered without gaps; the first one that is missing ends the log.
 *
 * @throws {CorruptFileError} when one is damaged; {@linkcode DbAdapterError} when it is of an unknown format.
 */
export async function replayLog(
  folder: DatabaseFolder,
  { replayedWalId, lastWalId, lastSequence }: DatabaseState,
  signal?: AbortSignal,
): Promise<LogRows> {
  const newest = new Map<string, Row>();
  let sizeBytes = 0;
  if (folder.names !== undefined && !folder.names.some((name) => name.startsWith("wal/"))) {
    return { rows: [], sizeBytes };
  }
  for (let id = replayedWalId + 1;;) {
    // Those that the manifest knows of, and the one behind.
    const count = Math.min(AT_ONCE_MAX, Math.max(1, lastWalId + 2 - id));
    const names = Array.from({ length: count }, (_, i) => `wal/${String(id + i).padStart(20, "0")}.sst`);
    const files = await Promise.all(names.map((name) => folder.load(name, signal)));
    for (const [i, file] of files.entries()) {
      if (file === null) return { rows: sorted(newest), sizeBytes };
      for (const row of await rowsOfLogFile(file, `${folder.url}/${names[i]}`)) {
        if (row.sequence <= lastSequence) continue;
        const name = latin(row.key);
        if ((newest.get(name)?.sequence ?? -1) > row.sequence) continue;
        newest.set(name, row);
      }
      sizeBytes += file.length;
    }
    id += count;
  }
}

function sorted(rows: ReadonlyMap<string, Row>): Row[] {
  return [...rows.values()].sort((one, other) => compareBytes(one.key, other.key));
}

/** Bytes as a key of a map. */
function latin(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

async function rowsOfLogFile(bytes: Uint8Array, url: string): Promise<Row[]> {
  // Only says that another writer has taken over, since SlateDB 0.17.
  if (bytes.length === 0) return [];
  const { info, version } = infoOfTable(bytes, url);
  const { indexOffset, indexBytes, filterOffset, filterBytes, compression } = info;
  // Old log files have filters.
  const blocksEnd = filterBytes > 0 ? filterOffset : indexOffset;
  const end = indexOffset + indexBytes;
  const part = async (from: number, to: number): Promise<Uint8Array> =>
    await decompress(compression, checked(bytes.subarray(from, to), { url, offset: from }));
  const index = await part(indexOffset, end);
  const offsets = decoded(url, () => {
    const blocks = FlatTable.root(index).tables(0);
    return Array.from({ length: blocks.length }, (_, block) => blocks.at(block).uint64(0));
  });
  const rows: Row[] = [];
  for (const [block, offset] of offsets.entries()) {
    const content = await part(offset, offsets[block + 1] ?? blocksEnd);
    for (const row of decoded(url, () => rowsOf(content, version, url))) rows.push(row);
  }
  return rows;
}
