/**
 * Pages that were read lately, bounded in bytes.
 * @module
 */

/** Keeps the pages used last. Holds at most `bytesMax` bytes, but always one page. */
export class PageCache {
  readonly #pages = new Map<number, Uint8Array>();
  #bytesMax: number;
  #sizeBytes = 0;
  /** The page given last: asked for again so often that it skips the map. */
  #lastNumber = 0;
  #lastPage: Uint8Array | undefined;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of all pages held. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The page if it is held; it then counts as the one used last. */
  get(pageNumber: number): Uint8Array | undefined {
    if (pageNumber === this.#lastNumber) return this.#lastPage;
    const page = this.#pages.get(pageNumber);
    if (page === undefined) return undefined;
    this.#pages.delete(pageNumber);
    this.#pages.set(pageNumber, page);
    this.#lastNumber = pageNumber;
    this.#lastPage = page;
    return page;
  }

  /** Holds a page, and lets go of those unused for longest. Buffers are never reused: readers may still hold them. */
  set(pageNumber: number, page: Uint8Array): void {
    this.#sizeBytes += page.byteLength - (this.#pages.get(pageNumber)?.byteLength ?? 0);
    this.#pages.delete(pageNumber);
    this.#pages.set(pageNumber, page);
    this.#lastNumber = pageNumber;
    this.#lastPage = page;
    this.#shrink();
  }

  #shrink(): void {
    for (const [oldest, bytes] of this.#pages) {
      if (this.#sizeBytes <= this.#bytesMax || this.#pages.size === 1) break;
      this.#pages.delete(oldest);
      this.#sizeBytes -= bytes.byteLength;
    }
  }

  /** Changes what it may hold from now on. */
  limit(bytesMax: number): void {
    this.#bytesMax = bytesMax;
    this.#shrink();
  }

  /** Lets go of everything. */
  clear(): void {
    this.#pages.clear();
    this.#sizeBytes = 0;
    this.#lastNumber = 0;
    this.#lastPage = undefined;
  }
}
