/**
 * Overflow chains: payloads that go on behind their b-tree page. Each page of a chain is `u32 next page or 0`, then
 * content. Source: https://www.sqlite.org/fileformat2.html, section 1.6.
 *
 * Chains cannot loop: their number of pages follows from the payload's length, and the last page must say 0.
 * @module
 */
import { corruptLink, corruptPage, type Payload, type TreeShape, u32At } from "./tree_shape.ts";

/** Something that is given one page after the other until it wants no more. */
export interface PageConsumer {
  /** The page to give next; 0 when done. */
  readonly wanted: number;
  /** How many pages of an overflow chain are wanted from there on; 1 for a page of the tree. */
  readonly chainPages: number;
  /** Takes the page wanted, which begins at `bytes[pageStart]`. */
  advance(bytes: Uint8Array, pageStart: number): void;
}

/** Gives a consumer its pages; returns a promise only from the first page on that is not at hand. */
export function feed(shape: TreeShape, consumer: PageConsumer, signal?: AbortSignal): undefined | Promise<void> {
  const { source, pageSizeBytes } = shape;
  const whole = source.contiguous;
  while (consumer.wanted !== 0) {
    if (whole !== undefined) {
      consumer.advance(whole, (consumer.wanted - 1) * pageSizeBytes);
      continue;
    }
    const page = source.peek(consumer.wanted);
    if (page === undefined) return feedLater(shape, consumer, signal);
    consumer.advance(checkedPage(shape, consumer.wanted, page), 0);
  }
  return undefined;
}

async function feedLater(shape: TreeShape, consumer: PageConsumer, signal?: AbortSignal): Promise<void> {
  const { source } = shape;
  let loaded = new Map<number, Uint8Array>();
  while (consumer.wanted !== 0) {
    signal?.throwIfAborted();
    let page = loaded.get(consumer.wanted) ?? source.peek(consumer.wanted);
    if (page === undefined) {
      loaded = await loadTogether(shape, likelyPages(shape, consumer), signal);
      page = loaded.get(consumer.wanted)!;
    }
    consumer.advance(checkedPage(shape, consumer.wanted, page), 0);
  }
}

/** The page that a consumer wants, and what it will probably want after it. */
export function likelyPages({ source }: TreeShape, { wanted, chainPages }: PageConsumer): readonly number[] {
  return chainPages > 1 && source.chain !== undefined ? source.chain(wanted, chainPages) : [wanted];
}

/** Distinct pages by number, in as few requests as the source can do with. */
export async function loadTogether(
  { source }: TreeShape,
  pageNumbers: readonly number[],
  signal?: AbortSignal,
): Promise<Map<number, Uint8Array>> {
  const pages = source.loadMany === undefined
    ? await Promise.all(pageNumbers.map((pageNumber) => source.load(pageNumber, signal)))
    : await source.loadMany(pageNumbers, signal);
  return new Map(pageNumbers.map((pageNumber, index) => [pageNumber, pages[index] ?? new Uint8Array(0)]));
}

/** The page itself. @throws {CorruptFileError} when the source gave less than a page. */
export function checkedPage(shape: TreeShape, pageNumber: number, page: Uint8Array): Uint8Array {
  if (page.byteLength >= shape.pageSizeBytes) return page;
  throw corruptPage(shape, [pageNumber, page.byteLength], `it is cut short to ${page.byteLength} bytes`);
}

/** The position in a chain. */
class Chain {
  readonly #shape: TreeShape;
  readonly #payload: Payload;
  wanted: number;
  /** Offset in the payload of what the page wanted holds. */
  position: number;

  constructor(shape: TreeShape, payload: Payload) {
    this.#shape = shape;
    this.#payload = payload;
    this.wanted = payload.overflowPage;
    this.position = payload.localBytes;
  }

  /** Pages from `wanted` on that hold the payload up to `end`. */
  pagesTo(end: number): number {
    return Math.ceil((end - this.position) / (this.#shape.usableBytes - 4));
  }

  /** Moves behind the page given; tells how many bytes of content it holds, from `pageStart + 4` on. */
  take(bytes: Uint8Array, pageStart: number): number {
    const { usableBytes, pageCount } = this.#shape;
    const length = Math.min(usableBytes - 4, this.#payload.sizeBytes - this.position);
    this.position += length;
    const next = u32At(bytes, pageStart);
    const isLast = this.position === this.#payload.sizeBytes;
    if (isLast ? next !== 0 : next < 2 || next > pageCount) {
      if (isLast) throw corruptPage(this.#shape, [this.wanted, 0], "an overflow chain goes on behind its last page");
      throw corruptLink(this.#shape, this.wanted, next);
    }
    this.wanted = next;
    return length;
  }
}

/** Copies a part of a payload, of which `byteLength` bytes are allocated at once. */
export class PayloadCopy implements PageConsumer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #chain: Chain;
  readonly #from: number;

  /** @param span First byte of the part in the payload, and its length; must lie inside the payload. */
  constructor(shape: TreeShape, payload: Payload, [from, length]: readonly [number, number]) {
    this.bytes = new Uint8Array(length);
    this.#from = from;
    this.#chain = new Chain(shape, payload);
    const to = Math.min(from + length, payload.localBytes);
    if (from < to) this.bytes.set(payload.bytes.subarray(payload.start + from, payload.start + to));
  }

  get wanted(): number {
    return this.#chain.position >= this.#from + this.bytes.byteLength ? 0 : this.#chain.wanted;
  }

  get chainPages(): number {
    return this.#chain.pagesTo(this.#from + this.bytes.byteLength);
  }

  advance(bytes: Uint8Array, pageStart: number): void {
    const position = this.#chain.position;
    const end = position + this.#chain.take(bytes, pageStart);
    const from = Math.max(position, this.#from);
    const to = Math.min(end, this.#from + this.bytes.byteLength);
    if (from >= to) return;
    const content = pageStart + 4 - position;
    this.bytes.set(bytes.subarray(content + from, content + to), from - this.#from);
  }
}

/** Compares a key with a part of a payload bytewise, and wants no page more than it takes to decide. */
export class PayloadCompare implements PageConsumer {
  /** Negative when the key comes before the part, 0 when they are equal, positive when it comes after it. */
  order = 0;
  wanted: number;
  readonly #key: Uint8Array;
  readonly #chain: Chain;
  readonly #from: number;
  readonly #length: number;
  readonly #sizeBytes: number;

  /** @param span First byte of the part in the payload, and its length. The local bytes must be known to be equal. */
  constructor([shape, payload]: readonly [TreeShape, Payload], key: Uint8Array, span: readonly [number, number]) {
    this.#key = key;
    [this.#from, this.#length] = span;
    this.#chain = new Chain(shape, payload);
    this.wanted = this.#chain.wanted;
    this.#sizeBytes = payload.sizeBytes;
  }

  /** The rest of the row too: if the keys are equal it is wanted next. */
  get chainPages(): number {
    return this.#chain.pagesTo(this.#sizeBytes);
  }

  advance(bytes: Uint8Array, pageStart: number): void {
    const position = this.#chain.position;
    const end = position + this.#chain.take(bytes, pageStart);
    const from = Math.max(position - this.#from, 0);
    const to = Math.min(end - this.#from, this.#length, this.#key.byteLength);
    const content = pageStart + 4 - position + this.#from;
    for (let i = from; i < to; i++) {
      if (this.#key[i] !== bytes[content + i]) {
        this.order = this.#key[i]! < bytes[content + i]! ? -1 : 1;
        this.wanted = 0;
        return;
      }
    }
    this.wanted = this.#chain.wanted;
    if (to !== Math.min(this.#length, this.#key.byteLength)) return;
    this.order = Math.sign(this.#key.byteLength - this.#length);
    this.wanted = 0;
  }
}
