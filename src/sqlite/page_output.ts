/**
 * Pages in the making: numbered in the order in which they are allocated, handed on as soon as they are final.
 * @module
 */
import { LOCK_BYTE_OFFSET } from "./format.ts";

/** Bytes of finished pages that are collected before they are handed on. */
export const FLUSH_BYTES: number = 1 << 20;

/** Is told what pages are, as soon as that is known and before they are handed on. */
export interface PageObserver {
  /** An interior page of a tree. Numbers ascend. */
  onInterior(pageNumber: number): void;
  /** All pages of an overflow chain, in order. Heads ascend. */
  onChain(pageNumbers: readonly number[]): void;
}

/**
 * A window over the end of a growing file, from page 2 on. Page 1 is not among them: it is known last.
 *
 * Holds {@linkcode FLUSH_BYTES} plus the pages that are not final yet, twice.
 */
export class PageOutput {
  readonly pageSizeBytes: number;
  /** The pages of the window; pages begin at multiples of the page size. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of the window that are in use. */
  usedBytes = 0;
  readonly observer: PageObserver | undefined;
  #spare: Uint8Array<ArrayBuffer>;
  readonly #windowBytes: number;
  #firstPage = 2;
  readonly #lockPage: number;

  constructor(pageSizeBytes: number, observer?: PageObserver) {
    this.pageSizeBytes = pageSizeBytes;
    this.observer = observer;
    this.#windowBytes = FLUSH_BYTES + 4 * pageSizeBytes;
    this.bytes = new Uint8Array(this.#windowBytes);
    this.#spare = new Uint8Array(this.#windowBytes);
    this.#lockPage = LOCK_BYTE_OFFSET / pageSizeBytes + 1;
  }

  /** Pages in the file so far, page 1 included. */
  get pageCount(): number {
    return this.#firstPage - 1 + this.usedBytes / this.pageSizeBytes;
  }

  /** Where a page that is still in the window begins in `bytes`. */
  offsetOf(pageNumber: number): number {
    return (pageNumber - this.#firstPage) * this.pageSizeBytes;
  }

  /** Appends a page of zeros and gives its number; steps over the page that SQLite locks. */
  allocate(): number {
    if (this.pageCount + 1 === this.#lockPage) this.#append();
    this.#append();
    return this.pageCount;
  }

  /** Appends an overflow chain of this content, of at least a byte, and gives the number of its first page. */
  putChain(content: Uint8Array): number {
    const contentBytes = this.pageSizeBytes - 4;
    const first = this.allocate();
    // Not always numbers in a row: one page of each file is stepped over.
    const chain = [first];
    for (let at = 0, page = first; at < content.length; at += contentBytes) {
      const isLast = at + contentBytes >= content.length;
      const next = isLast ? 0 : this.allocate();
      const offset = this.offsetOf(page);
      this.bytes[offset] = next >>> 24;
      this.bytes[offset + 1] = (next >>> 16) & 0xff;
      this.bytes[offset + 2] = (next >>> 8) & 0xff;
      this.bytes[offset + 3] = next & 0xff;
      this.bytes.set(content.subarray(at, at + contentBytes), offset + 4);
      page = next;
      if (this.observer !== undefined && !isLast) chain.push(next);
    }
    this.observer?.onChain(chain);
    return first;
  }

  /**
   * Takes the pages before `keepFrom` out of the window. The result is valid until the call after the next one,
   * so that it can be written while the window fills again.
   */
  take(keepFrom: number): Uint8Array<ArrayBuffer> {
    const takenBytes = Math.min(this.usedBytes, this.offsetOf(keepFrom));
    const taken = this.bytes.subarray(0, takenBytes);
    const rest = this.bytes.subarray(takenBytes, this.usedBytes);
    // As large as at first, unless the rest needs more: a few huge rows must not make the window huge for good.
    const neededBytes = Math.max(this.#windowBytes, 2 * rest.length);
    if (this.#spare.length !== neededBytes) this.#spare = new Uint8Array(neededBytes);
    this.#spare.set(rest);
    [this.bytes, this.#spare] = [this.#spare, this.bytes];
    this.usedBytes = rest.length;
    this.#firstPage += takenBytes / this.pageSizeBytes;
    return taken;
  }

  #append(): void {
    const end = this.usedBytes + this.pageSizeBytes;
    if (end > this.bytes.length) {
      const larger = new Uint8Array(this.bytes.length * 2);
      larger.set(this.bytes.subarray(0, this.usedBytes));
      this.bytes = larger;
    }
    this.bytes.fill(0, this.usedBytes, end);
    this.usedBytes = end;
  }
}
