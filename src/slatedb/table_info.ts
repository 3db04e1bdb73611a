/**
 * What is stored about a sorted table ("SST"): where its parts are, and of which format.
 * @module
 */
import { crc32 } from "../bytes/crc32.ts";
import { CorruptFileError } from "../errors.ts";
import { FlatTable } from "./flat_table.ts";
import { decoded, unsupported } from "./folder.ts";

/** Where the parts of a sorted table are. Blocks come first, then filter, index, statistics and this. */
export interface TableInfo {
  /** Smallest key; undefined where none is recorded. */
  readonly firstKey: Uint8Array | undefined;
  /** Largest key; undefined where none is recorded. */
  readonly lastKey: Uint8Array | undefined;
  readonly indexOffset: number;
  readonly indexBytes: number;
  readonly filterOffset: number;
  /** 0 without filters. */
  readonly filterBytes: number;
  readonly compression: Compression;
  /** Whether filters are said to stand one behind the other, each with its name. */
  readonly isComposite: boolean;
}

/** How blocks, index and filters are compressed. */
export type Compression = "none" | "snappy" | "zlib" | "lz4" | "zstd";
/** As the numbers of the format. */
export const COMPRESSIONS: readonly Compression[] = ["none", "snappy", "zlib", "lz4", "zstd"];

/** Two encodings of rows in blocks: keys shortened against the block's first key, or against the one before. */
export type TableVersion = 1 | 2;

/** Offset of the information, and version of the format. */
const FOOTER_BYTES = 10;
const CHECKSUM_BYTES = 4;
/** Fields of the schema up to SlateDB 0.17. Any other one may change what the others mean, as the last of them did. */
const KNOWN_FIELDS = 11;

/** Reads the information about a table from where it is recorded. @throws {DbAdapterError} for what is unknown. */
export function readTableInfo(info: FlatTable, url: string): TableInfo {
  if (info.hasFrom(KNOWN_FIELDS)) throw unsupported(url, "fields of a newer version");
  const compression = COMPRESSIONS[info.uint8(5)];
  if (compression === undefined) throw unsupported(url, `compression number ${info.uint8(5)}`);
  const filterFormat = info.uint8(10);
  if (filterFormat > 1) throw unsupported(url, `filters of format ${filterFormat}`);
  const firstKey = info.bytes(0);
  const lastKey = info.bytes(7);
  return {
    firstKey: firstKey?.slice(),
    lastKey: lastKey?.slice(),
    indexOffset: info.uint64(1),
    indexBytes: info.uint64(2),
    filterOffset: info.uint64(3),
    filterBytes: info.uint64(4),
    compression,
    isComposite: filterFormat === 1,
  };
}

/** The information at the end of a whole table. @throws {CorruptFileError} {@linkcode DbAdapterError} */
export function infoOfTable(bytes: Uint8Array, url: string): { info: TableInfo; version: TableVersion } {
  return decoded(url, () => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = bytes.length - FOOTER_BYTES;
    const version = tableVersion(view.getUint16(end + 8), url);
    const start = view.getUint32(end) * 2 ** 32 + view.getUint32(end + 4);
    if (start >= end) throw new RangeError("the information begins behind its end");
    const content = checked(bytes.subarray(start, end), { url, offset: start });
    return { info: readTableInfo(FlatTable.root(content), url), version };
  });
}

/** @throws {DbAdapterError} for a version that this library does not know. */
export function tableVersion(version: number, url: string): TableVersion {
  if (version === 1 || version === 2) return version;
  throw unsupported(url, `tables of format version ${version}`);
}

/** Bytes without the checksum behind them. @throws {CorruptFileError} when it does not fit. */
export function checked(bytes: Uint8Array, { url, offset }: { url: string; offset: number }): Uint8Array {
  const length = bytes.length - CHECKSUM_BYTES;
  const content = bytes.subarray(0, Math.max(0, length));
  if (length >= 0) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (crc32(content) === view.getUint32(length)) return content;
  }
  throw new CorruptFileError(`Cannot use the part of "${url}" at ${offset} as its checksum does not fit`, offset);
}
