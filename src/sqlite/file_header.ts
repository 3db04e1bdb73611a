/**
 * The first 100 bytes of a database file; `format.ts` draws the layout.
 * Source: https://www.sqlite.org/fileformat2.html, section 1.3.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { FILE_HEADER_BYTES, isPageSize } from "./format.ts";

const MAGIC = "SQLite format 3\0";
/** Smallest usable size: SQLite refuses pages with less room, whatever the page size. */
const USABLE_BYTES_MIN = 480;

/** What the file header says, as far as reading needs it. */
export interface FileHeader {
  /** A power of two from 512 to 65536. */
  readonly pageSizeBytes: number;
  /** Bytes at the end of each page that the format does not use. */
  readonly reservedBytes: number;
  /** `pageSizeBytes - reservedBytes`. */
  readonly usableBytes: number;
  /** Pages of the database; a file may be longer. */
  readonly pageCount: number;
}

/**
 * Reads and checks the file header. Auto-vacuum files are fine, and so are files in WAL mode: their `-wal` file is
 * taken to be empty or absent.
 *
 * @param head At least the first 100 bytes of the file.
 * @param fileBytes Length of the whole file.
 * @throws {CorruptFileError} when the file is no SQLite database, is shorter than its header says, is of a newer
 * format, or holds text as UTF-16.
 */
export function parseFileHeader(head: Uint8Array, fileBytes: number): FileHeader {
  const length = Math.min(head.byteLength, fileBytes);
  if (length < FILE_HEADER_BYTES) throw corrupt(`there must be ${FILE_HEADER_BYTES} bytes at least`, length, length);
  const view = new DataView(head.buffer, head.byteOffset, length);
  const wrongAt = Array.from(MAGIC).findIndex((letter, index) => head[index] !== letter.charCodeAt(0));
  if (wrongAt >= 0) throw corrupt('it must begin with "SQLite format 3"', wrongAt, head[wrongAt]!);
  const sizeField = view.getUint16(16);
  const pageSizeBytes = sizeField === 1 ? 65536 : sizeField;
  const reservedBytes = head[20]!;
  const reservedMax = pageSizeBytes - USABLE_BYTES_MIN;
  const readVersion = head[19]!;
  const fractions = view.getUint32(20) & 0xffffff;
  const schemaFormat = view.getUint32(44);
  // 0 stands in files that have no table yet.
  const encoding = view.getUint32(56);
  for (
    const [isRight, offset, value, expected] of [
      [isPageSize(pageSizeBytes), 16, pageSizeBytes, "page size must be a power of two from 512 to 65536"],
      [reservedBytes <= reservedMax, 20, reservedBytes, `reserved space must be at most ${reservedMax}`],
      [readVersion === 1 || readVersion === 2, 19, readVersion, "read version must be 1 or 2"],
      [fractions === 0x402020, 21, fractions, "payload fractions must be 64, 32 and 32"],
      [schemaFormat <= 4, 44, schemaFormat, "schema format must be 4 at most"],
      [encoding <= 1, 56, encoding, "text encoding must be 1, for UTF-8"],
    ] as const
  ) {
    if (!isRight) throw corrupt(`its ${expected}`, offset, value);
  }
  // The header's count is trusted only when the last writer knew of the field; older versions left it as it was.
  const inFile = Math.floor(fileBytes / pageSizeBytes);
  const inHeader = view.getUint32(24) === view.getUint32(92) ? view.getUint32(28) : 0;
  const pageCount = inHeader || inFile || 1;
  if (pageCount > inFile) {
    throw corrupt(`it is cut short: there must be ${pageCount} pages of ${pageSizeBytes} bytes`, fileBytes, fileBytes);
  }
  return { pageSizeBytes, reservedBytes, usableBytes: pageSizeBytes - reservedBytes, pageCount };
}

function corrupt(problem: string, offset: number, value: number): CorruptFileError {
  return new CorruptFileError(
    `Cannot read the file as a SQLite database as ${problem}: current value is ${value}`,
    offset,
  );
}
