/**
 * Builds page-cache sidecars, format 8, while a file is being written (WIRE_FORMATS 10 draws the layout).
 * @module
 */
import { compressFrame } from "../bytes/zstd_compress.ts";
import type { PageObserver } from "./page_output.ts";
import { pageGap, SIDECAR_MAGIC, SIDECAR_PREFIX_BYTES, SIDECAR_VERSION } from "./sidecar.ts";

/** Largest sidecar that is worth having: pages with their gaps, and four bytes for each page of a chain. */
const HELD_BYTES_MAX = 1 << 26;

/** A list of page numbers that grows. */
class PageNumbers {
  words: Uint32Array<ArrayBuffer> = new Uint32Array(256);
  length = 0;

  push(pageNumber: number): void {
    if (this.length === this.words.length) {
      const larger = new Uint32Array(2 * this.length);
      larger.set(this.words);
      this.words = larger;
    }
    this.words[this.length++] = pageNumber;
  }
}

/**
 * Collects interior pages, page 1 and overflow chains. Holds 64 MiB at most: a larger sidecar is given up, as no reader
 * would want it.
 */
export class SidecarBuilder implements PageObserver {
  readonly #pageSizeBytes: number;
  #pages: { readonly pageNumber: number; readonly stored: Uint8Array }[] = [];
  /** Interior pages that were announced and have not come by yet, ascending. */
  #expected: number[] = [];
  #chainPages: PageNumbers = new PageNumbers();
  /** Where each chain begins in `#chainPages`. */
  #chainStarts: PageNumbers = new PageNumbers();
  #heldBytes = 0;
  #isGivenUp = false;

  constructor(pageSizeBytes: number) {
    this.#pageSizeBytes = pageSizeBytes;
  }

  /** Announces an interior page, whose bytes come later. Page numbers ascend. */
  onInterior(pageNumber: number): void {
    if (this.#hold(this.#pageSizeBytes)) this.#expected.push(pageNumber);
  }

  /** Takes an overflow chain, head first. */
  onChain(pageNumbers: readonly number[]): void {
    if (!this.#hold(4 * pageNumbers.length + 8)) return;
    this.#chainStarts.push(this.#chainPages.length);
    for (const pageNumber of pageNumbers) this.#chainPages.push(pageNumber);
  }

  /** Takes copies of what it wants of pages that pass by in file order; page 1 comes whenever it likes. */
  addPages(firstPageNumber: number, pages: Uint8Array): void {
    if (this.#isGivenUp) return;
    const size = this.#pageSizeBytes;
    if (firstPageNumber === 1 && this.#hold(size)) this.#store(1, pages.subarray(0, size));
    const endPageNumber = firstPageNumber + pages.length / size;
    let taken = 0;
    for (; this.#expected[taken]! < endPageNumber; taken++) {
      const at = (this.#expected[taken]! - firstPageNumber) * size;
      this.#store(this.#expected[taken]!, pages.subarray(at, at + size));
    }
    if (taken > 0) this.#expected = this.#expected.slice(taken);
  }

  /** Takes a copy of a page that was not announced: an interior one, or one of the schema. */
  addPage(pageNumber: number, page: Uint8Array): void {
    if (this.#hold(this.#pageSizeBytes)) this.#store(pageNumber, page);
  }

  /**
   * The sidecar; null when it was given up.
   *
   * @param tag ETag of the file, with its quotes; null, or one of more than 255 bytes, leaves the sidecar unbound.
   */
  async encode(tag: string | null): Promise<Uint8Array | null> {
    if (this.#isGivenUp) return null;
    const body = this.#body();
    let tagBytes = new TextEncoder().encode(tag ?? "");
    if (tagBytes.length > 255) tagBytes = new Uint8Array(0);
    const frame = await compressFrame(body);
    const bytes = new Uint8Array(SIDECAR_PREFIX_BYTES + tagBytes.length + frame.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, SIDECAR_MAGIC);
    bytes[4] = SIDECAR_VERSION;
    view.setUint32(5, body.length, true);
    view.setUint32(13, this.#pageSizeBytes, true);
    bytes[17] = tagBytes.length;
    bytes.set(tagBytes, SIDECAR_PREFIX_BYTES);
    bytes.set(frame, SIDECAR_PREFIX_BYTES + tagBytes.length);
    return bytes;
  }

  #body(): Uint8Array {
    const pages = this.#pages.sort((left, right) => left.pageNumber - right.pageNumber);
    const chains = this.#chainOrder();
    const { words: chainPages, length: chainPageCount } = this.#chainPages;
    const starts = this.#chainStarts.words;
    const endOf = (chain: number) => chain + 1 < chains.length ? starts[chain + 1]! : chainPageCount;
    const storedBytes = pages.reduce((sum, { stored }) => sum + stored.length, 0);
    const body = new Uint8Array(4 * (4 + 2 * pages.length + 2 * chains.length + chainPageCount) + storedBytes);
    const view = new DataView(body.buffer);
    let at = 0;
    function put(word: number): void {
      view.setUint32(at, word, true);
      at += 4;
    }
    let end = 0;
    put(pages.length);
    for (const { pageNumber } of pages) put(pageNumber);
    put(0);
    for (const { stored } of pages) put(end += stored.length);
    put(chains.length);
    for (const chain of chains) put(chainPages[starts[chain]!]!);
    put(end = 0);
    for (const chain of chains) put(end += endOf(chain) - starts[chain]!);
    for (const chain of chains) chainPages.subarray(starts[chain], endOf(chain)).forEach(put);
    for (const { stored } of pages) {
      body.set(stored, at);
      at += stored.length;
    }
    return body;
  }

  /** Numbers of the chains, ascending by head. In our own files they come so; to sort millions takes seconds. */
  #chainOrder(): Uint32Array {
    const { words: starts, length } = this.#chainStarts;
    const heads = Uint32Array.from(starts.subarray(0, length), (start) => this.#chainPages.words[start]!);
    const order = Uint32Array.from(heads, (_, i) => i);
    const isSorted = heads.every((head, i) => i === 0 || head > heads[i - 1]!);
    return isSorted ? order : order.sort((left, right) => heads[left]! - heads[right]!);
  }

  #store(pageNumber: number, page: Uint8Array): void {
    const [gapStart, gapEnd] = pageGap(page, pageNumber, page.length);
    const stored = new Uint8Array(gapStart + page.length - gapEnd);
    stored.set(page.subarray(0, gapStart));
    stored.set(page.subarray(gapEnd), gapStart);
    this.#pages.push({ pageNumber, stored });
  }

  /** False when there is no room; then nothing is held any more. */
  #hold(bytes: number): boolean {
    this.#heldBytes += bytes;
    if (this.#heldBytes <= HELD_BYTES_MAX) return true;
    this.#isGivenUp = true;
    this.#pages = [];
    this.#expected = [];
    this.#chainPages = new PageNumbers();
    this.#chainStarts = new PageNumbers();
    return false;
  }
}
