/**
 * The first 100 bytes of a database file; `format.ts` draws the layout.
 * Source: https://www.sqlite.org/fileformat2.html, section 1.3.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { FILE_HEADER_BYTES } from "./format.ts";

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
  if (head.byteLength < FILE_HEADER_BYTES || fileBytes < FILE_HEADER_BYTES) {
    const length = Math.min(head.byteLength, fileBytes);
    throw new CorruptFileError(
      `Cannot read ${length} bytes as a SQLite database as there must be ${FILE_HEADER_BYTES} at least`,
      length,
    );
  }
  for (let i = 0; i < MAGIC.length; i++) {
    if (head[i] !== MAGIC.charCodeAt(i)) {
      throw new CorruptFileError(
        `Cannot read the file as a SQLite database as it must begin with "SQLite format 3"`,
        i,
      );
    }
  }
  const view = new DataView(head.buffer, head.byteOffset, FILE_HEADER_BYTES);
  const sizeField = view.getUint16(16);
  const pageSizeBytes = sizeField === 1 ? 65536 : sizeField;
  if (pageSizeBytes < 512 || (pageSizeBytes & (pageSizeBytes - 1)) !== 0) {
    throw wrongField("page size", "a power of two from 512 to 65536", [pageSizeBytes, 16]);
  }
  const reservedBytes = view.getUint8(20);
  const usableBytes = pageSizeBytes - reservedBytes;
  if (usableBytes < USABLE_BYTES_MIN) {
    throw wrongField("size of the reserved space", `at most ${pageSizeBytes - USABLE_BYTES_MIN}`, [reservedBytes, 20]);
  }
  checkVersions(view);
  return { pageSizeBytes, reservedBytes, usableBytes, pageCount: pageCountOf(view, { fileBytes, pageSizeBytes }) };
}

function checkVersions(view: DataView): void {
  const readVersion = view.getUint8(19);
  if (readVersion !== 1 && readVersion !== 2) throw wrongField("read version", "1 or 2", [readVersion, 19]);
  for (const [offset, expected] of [[21, 64], [22, 32], [23, 32]] as const) {
    const fraction = view.getUint8(offset);
    if (fraction !== expected) throw wrongField("payload fraction", `${expected}`, [fraction, offset]);
  }
  const schemaFormat = view.getUint32(44);
  if (schemaFormat > 4) throw wrongField("schema format", "4 at most", [schemaFormat, 44]);
  // 0 stands in files that have no table yet.
  const encoding = view.getUint32(56);
  if (encoding > 1) throw wrongField("text encoding", "1, which is UTF-8 (2 and 3 are UTF-16)", [encoding, 56]);
}

/** The header's count is trusted only when the last writer knew of the field; older versions left it as it was. */
function pageCountOf(view: DataView, file: { fileBytes: number; pageSizeBytes: number }): number {
  const inFile = Math.floor(file.fileBytes / file.pageSizeBytes);
  const inHeader = view.getUint32(28);
  const isValid = inHeader > 0 && view.getUint32(24) === view.getUint32(92);
  const pageCount = isValid ? inHeader : inFile;
  if (pageCount > inFile || inFile === 0) {
    throw new CorruptFileError(
      `Cannot read a database of ${Math.max(pageCount, 1)} pages of ${file.pageSizeBytes} bytes ` +
        `from a file of ${file.fileBytes} bytes: it is cut short`,
      file.fileBytes,
    );
  }
  return pageCount;
}

function wrongField(field: string, expected: string, [value, offset]: readonly [number, number]): CorruptFileError {
  return new CorruptFileError(
    `Cannot read the file as a SQLite database as its ${field} must be ${expected}: current value is ${value}`,
    offset,
  );
}
