/**
 * Page-cache sidecars, format 8: all interior pages of a file and its overflow chains, for readers of files that lie
 * far away (WIRE_FORMATS 10 draws the layout).
 * @module
 */
import { decompressFrame } from "../bytes/zstd.ts";
import { CorruptFileError } from "../errors.ts";
import { isPageSize } from "./format.ts";
import { u16At } from "./tree_shape.ts";

/** "SQPC", and the version. */
export const SIDECAR_MAGIC = 0x53515043;
/** @see SIDECAR_MAGIC */
export const SIDECAR_VERSION = 8;
/** Bytes before the tag. */
export const SIDECAR_PREFIX_BYTES = 18;
/** Most that a sidecar's content, and the pages rebuilt from it, may take. */
const SIZE_BYTES_MAX = 1 << 28;

/** What a sidecar holds. */
export interface Sidecar {
  /** ETag of the file that the pages are from; null when it is bound to none, and therefore of no use. */
  readonly tag: string | null;
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  /** Memory that it takes. */
  readonly sizeBytes: number;
  /** A page, in which bytes that SQLite does not use are 0; undefined when it is not in here. */
  page(pageNumber: number): Uint8Array | undefined;
  /** All pages of the overflow chain that begins with a page, `head` first; undefined when none does. */
  chain(head: number): ArrayLike<number> | undefined;
}

/**
 * Decodes a sidecar. Whether it belongs to the file is for the caller to find out, by its `tag`.
 *
 * @param sizeBytesMax Most that its content may take, and the same again for its pages.
 * @throws {CorruptFileError} when it is damaged, of another version, or too large.
 */
export function decodeSidecar(bytes: Uint8Array, sizeBytesMax: number = SIZE_BYTES_MAX): Sidecar {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  check(
    bytes.length > SIDECAR_PREFIX_BYTES && view.getUint32(0) === SIDECAR_MAGIC && bytes[4] === SIDECAR_VERSION,
    `it must begin with "SQPC" and version ${SIDECAR_VERSION}`,
  );
  const bodyBytes = view.getUint32(9, true) * 2 ** 32 + view.getUint32(5, true);
  const pageSizeBytes = view.getUint32(13, true);
  check(isPageSize(pageSizeBytes), `its pages cannot be ${pageSizeBytes} bytes long`);
  check(bodyBytes <= sizeBytesMax, `it takes ${bodyBytes} bytes: ${sizeBytesMax} at most are taken`);
  const tagEnd = SIDECAR_PREFIX_BYTES + bytes[17]!;
  const tag = new TextDecoder().decode(bytes.subarray(SIDECAR_PREFIX_BYTES, tagEnd)) || null;
  const tables = readTables(decompressFrame(bytes.subarray(tagEnd), bodyBytes));
  const { pageNumbers, heads, starts, chainPages } = tables;
  const pageCount = pageNumbers.length;
  check(pageCount * pageSizeBytes <= sizeBytesMax, `it has ${pageCount} pages, which are too many`);
  const pages = rebuildPages(tables, pageSizeBytes);
  return {
    tag,
    pageSizeBytes,
    pageCount,
    sizeBytes: pages.length + 4 * (pageCount + 2 * heads.length + 1 + chainPages.length),
    page(pageNumber) {
      const at = pageSizeBytes * indexOf(pageNumbers, pageNumber);
      return at < 0 ? undefined : pages.subarray(at, at + pageSizeBytes);
    },
    chain(head) {
      const i = indexOf(heads, head);
      return i < 0 ? undefined : chainPages.subarray(starts[i], starts[i + 1]);
    },
  };
}

/** What a sidecar's content is made of. */
interface Tables {
  readonly pageNumbers: Uint32Array;
  /** Where each page begins in `stored`, and where the last one ends. */
  readonly offsets: Uint32Array;
  /** Pages without their gaps. */
  readonly stored: Uint8Array;
  readonly heads: Uint32Array;
  /** Where each chain begins in `chainPages`, and where the last one ends. */
  readonly starts: Uint32Array;
  readonly chainPages: Uint32Array;
}

function readTables(body: Uint8Array): Tables {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  let at = 0;
  /** Allocates nothing that is not there. */
  function words(count: number): Uint32Array {
    check(4 * count <= body.length - at, "its tables are cut short");
    return new Uint32Array(count).map(() => view.getUint32((at += 4) - 4, true));
  }
  const pageNumbers = words(words(1)[0]!);
  const offsets = words(pageNumbers.length + 1);
  const heads = words(words(1)[0]!);
  const starts = words(heads.length + 1);
  const chainPages = words(starts.at(-1)!);
  const stored = body.subarray(at);
  check(
    isAscending(pageNumbers, 1) && isAscending(heads, 1) &&
      isAscending(offsets, 0) && offsets[0] === 0 && offsets.at(-1) === stored.length &&
      isAscending(starts, 1) && starts[0] === 0 && heads.every((head, i) => chainPages[starts[i]!] === head),
    "its tables contradict each other",
  );
  return { pageNumbers, offsets, stored, heads, starts, chainPages };
}

/** All pages, with zeros in their gaps. */
function rebuildPages({ pageNumbers, offsets, stored }: Tables, pageSizeBytes: number): Uint8Array {
  const pages = new Uint8Array(pageNumbers.length * pageSizeBytes);
  pageNumbers.forEach((pageNumber, i) => {
    const bytes = stored.subarray(offsets[i], offsets[i + 1]);
    const [gapStart, gapEnd] = pageGap(bytes, pageNumber, pageSizeBytes);
    check(
      gapStart <= gapEnd && gapStart <= bytes.length && bytes.length + gapEnd - gapStart === pageSizeBytes,
      `page ${pageNumber} is not ${pageSizeBytes} bytes long`,
    );
    pages.set(bytes.subarray(0, gapStart), i * pageSizeBytes);
    pages.set(bytes.subarray(gapStart), i * pageSizeBytes + gapEnd);
  });
  return pages;
}

/**
 * The bytes of a b-tree page between its cell pointers and its cells, which mean nothing and are not stored: from the
 * first number up to the second. Nothing of pages of any other kind.
 *
 * @param page The page with or without its gap.
 */
export function pageGap(page: Uint8Array, pageNumber: number, pageSizeBytes: number): [start: number, end: number] {
  const base = pageNumber === 1 ? 100 : 0;
  const headBytes = [0, 0, 12, 0, 0, 12, 0, 0, 0, 0, 8, 0, 0, 8][page[base]!];
  if (!headBytes) return [pageSizeBytes, pageSizeBytes];
  return [base + headBytes + 2 * u16At(page, base + 3), u16At(page, base + 5) || 65536];
}

/** Whether each number is larger than the one before by at least `step`. */
function isAscending(numbers: Uint32Array, step: number): boolean {
  return numbers.every((number, i) => i === 0 || number >= numbers[i - 1]! + step);
}

/** Position of a number among ascending ones; -1 when it is not among them. */
function indexOf(numbers: Uint32Array, wanted: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return numbers[low] === wanted ? low : -1;
}

function check(isRight: boolean, reason: string): asserts isRight {
  if (!isRight) throw new CorruptFileError(`Cannot use the sidecar: ${reason}`, -1);
}
