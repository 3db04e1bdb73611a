/**
 * Page-cache sidecars, format 8: all interior pages of a file and its overflow chains, for readers of files that lie
 * far away (WIRE_FORMATS 10 draws the layout).
 * @module
 */
import { decompressFrame } from "../bytes/zstd.ts";
import { CorruptFileError } from "../errors.ts";
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
  check(bytes.length > SIDECAR_PREFIX_BYTES, "it is cut short");
  check(
    view.getUint32(0) === SIDECAR_MAGIC && bytes[4] === SIDECAR_VERSION,
    `it must begin with "SQPC" and version ${SIDECAR_VERSION}`,
  );
  const bodyBytes = view.getUint32(9, true) * 2 ** 32 + view.getUint32(5, true);
  check(bodyBytes <= sizeBytesMax, `it takes ${bodyBytes} bytes: ${sizeBytesMax} at most are taken`);
  const pageSizeBytes = view.getUint32(13, true);
  check(
    pageSizeBytes >= 512 && pageSizeBytes <= 65536 && (pageSizeBytes & (pageSizeBytes - 1)) === 0,
    `its page size must be a power of two from 512 to 65536: current value is ${pageSizeBytes}`,
  );
  const tagEnd = SIDECAR_PREFIX_BYTES + bytes[17]!;
  const tag = tagEnd === SIDECAR_PREFIX_BYTES ? null : decodeTag(bytes.subarray(SIDECAR_PREFIX_BYTES, tagEnd));
  const body = decompressFrame(bytes.subarray(tagEnd), bodyBytes);
  return new DecodedSidecar(body, { tag, pageSizeBytes, sizeBytesMax });
}

class DecodedSidecar implements Sidecar {
  readonly tag: string | null;
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  readonly sizeBytes: number;
  readonly #pageNumbers: Uint32Array;
  readonly #pages: Uint8Array;
  readonly #heads: Uint32Array;
  readonly #chainStarts: Uint32Array;
  readonly #chainPages: Uint32Array;

  constructor(body: Uint8Array, about: { tag: string | null; pageSizeBytes: number; sizeBytesMax: number }) {
    const { pageSizeBytes } = about;
    const read = new WordReader(body);
    const pageNumbers = read.words(read.words(1)[0]!);
    const pageCount = pageNumbers.length;
    const offsets = read.words(pageCount + 1);
    const heads = read.words(read.words(1)[0]!);
    const starts = read.words(heads.length + 1);
    const chainPages = read.words(starts.at(-1)!);
    check(isAscending(pageNumbers, 1) && isAscending(heads, 1), "page numbers must ascend");
    check(isAscending(offsets, 0) && offsets[0] === 0, "the offsets of its pages must ascend from 0");
    check(offsets.at(-1) === body.length - read.at, "its pages must end where it ends");
    check(isAscending(starts, 1) && starts[0] === 0, "the offsets of its chains must ascend from 0");
    check(heads.every((head, i) => chainPages[starts[i]!] === head), "chains must begin with their heads");
    check(pageCount * pageSizeBytes <= about.sizeBytesMax, `it has ${pageCount} pages, which are too many`);
    this.#pages = new Uint8Array(pageCount * pageSizeBytes);
    for (let i = 0; i < pageCount; i++) {
      const stored = body.subarray(read.at + offsets[i]!, read.at + offsets[i + 1]!);
      const page = this.#pages.subarray(i * pageSizeBytes, (i + 1) * pageSizeBytes);
      const [gapStart, gapEnd] = pageGap(stored, pageNumbers[i]!, pageSizeBytes);
      check(
        gapStart <= gapEnd && gapStart <= stored.length && stored.length + gapEnd - gapStart === pageSizeBytes,
        `page ${pageNumbers[i]} is not ${pageSizeBytes} bytes long`,
      );
      page.set(stored.subarray(0, gapStart));
      page.set(stored.subarray(gapStart), gapEnd);
    }
    this.tag = about.tag;
    this.pageSizeBytes = pageSizeBytes;
    this.pageCount = pageCount;
    this.sizeBytes = this.#pages.length + 4 * (pageCount + 2 * heads.length + 1 + chainPages.length);
    this.#pageNumbers = pageNumbers;
    this.#heads = heads;
    this.#chainStarts = starts;
    this.#chainPages = chainPages;
  }

  page(pageNumber: number): Uint8Array | undefined {
    const i = indexOf(this.#pageNumbers, pageNumber);
    return i < 0 ? undefined : this.#pages.subarray(i * this.pageSizeBytes, (i + 1) * this.pageSizeBytes);
  }

  chain(head: number): ArrayLike<number> | undefined {
    const i = indexOf(this.#heads, head);
    return i < 0 ? undefined : this.#chainPages.subarray(this.#chainStarts[i], this.#chainStarts[i + 1]);
  }
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

/** Reads little-endian numbers of 32 bits, front to back. */
class WordReader {
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Allocates nothing that is not there. */
  words(count: number): Uint32Array {
    check(4 * count <= this.#view.byteLength - this.at, "it ends before its tables do");
    const words = new Uint32Array(count);
    for (let i = 0; i < count; i++, this.at += 4) words[i] = this.#view.getUint32(this.at, true);
    return words;
  }
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

function decodeTag(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CorruptFileError("Cannot use the sidecar: its tag is no text", SIDECAR_PREFIX_BYTES);
  }
}

function check(isRight: boolean, reason: string): asserts isRight {
  if (!isRight) throw new CorruptFileError(`Cannot use the sidecar: ${reason}`, -1);
}
