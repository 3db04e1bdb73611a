/**
 * Overflow chains: payloads that go on behind their b-tree page. Each page of a chain is `u32 next page or 0`, then
 * content. Source: https://www.sqlite.org/fileformat2.html, section 1.6.
 *
 * Chains cannot loop: their number of pages follows from the payload's length, and the last page must say 0.
 * @module
 */
import { checkLink, copyOf, corruptPage, type Payload, type TreeShape, u32At } from "./tree_shape.ts";

/** Something that is given one page after the other until it wants no more. */
export interface PageConsumer {
  /** The page to give next; 0 when done. */
  readonly wanted: number;
  /** How many pages of an overflow chain are likely to be wanted from there on; 1 for a page of the tree. */
  readonly chainPages: number;
  /** Takes the page wanted, which begins at `bytes[pageStart]`. */
  advance(bytes: Uint8Array, pageStart: number): void;
}

/** Gives a consumer its pages as far as they are at hand: among those that were just loaded, or in the source. */
export function feedAtHand(shape: TreeShape, consumer: PageConsumer, loaded?: ReadonlyMap<number, Uint8Array>): void {
  const { source, pageSizeBytes } = shape;
  const whole = source.contiguous;
  while (consumer.wanted !== 0) {
    if (whole !== undefined) {
      consumer.advance(whole, (consumer.wanted - 1) * pageSizeBytes);
      continue;
    }
    const page = loaded?.get(consumer.wanted) ?? source.peek(consumer.wanted);
    if (page === undefined) return;
    consumer.advance(checkedPage(shape, consumer.wanted, page), 0);
  }
}

/** Gives a consumer its pages; returns a promise only from the first page on that is not at hand. */
export function feed(shape: TreeShape, consumer: PageConsumer, signal?: AbortSignal): undefined | Promise<void> {
  feedAtHand(shape, consumer);
  return consumer.wanted === 0 ? undefined : feedLater(shape, consumer, signal);
}

async function feedLater(shape: TreeShape, consumer: PageConsumer, signal?: AbortSignal): Promise<void> {
  while (consumer.wanted !== 0) {
    signal?.throwIfAborted();
    feedAtHand(shape, consumer, await loadTogether(shape, likelyPages(shape, consumer), signal));
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

/** A part of a payload, complete when no page is wanted any more. */
export interface PayloadCopy extends PageConsumer {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Copies a part of a payload, which is allocated at once and must lie inside the payload.
 *
 * @param span First byte of the part in the payload, and its length; where it is to go, if that is there already.
 */
export function payloadCopy(
  shape: TreeShape,
  payload: Payload,
  [from, length, bytes = new Uint8Array(length)]: readonly [from: number, length: number, Uint8Array<ArrayBuffer>?],
): PayloadCopy {
  const contentBytes = shape.usableBytes - 4;
  const copy = { bytes, wanted: 0, chainPages: 0, advance };
  /** Offset in the payload of what comes next. */
  let position = 0;

  function advance(page: Uint8Array, pageStart: number): void {
    const count = Math.min(contentBytes, payload.sizeBytes - position);
    const next = u32At(page, pageStart);
    if (position + count < payload.sizeBytes) checkLink(shape, copy.wanted, next);
    else if (next !== 0) throw corruptPage(shape, [copy.wanted, 0], "an overflow chain goes on behind its last page");
    take(page.subarray(pageStart + 4, pageStart + 4 + count), next);
  }

  /** Takes the next bytes of the payload, and the page behind them. */
  function take(content: Uint8Array, next: number): void {
    const start = Math.max(from - position, 0);
    const part = content.subarray(start, Math.max(from + length - position, start));
    if (part.length > 0) copy.bytes.set(part, position + start - from);
    position += content.length;
    copy.wanted = position < from + length ? next : 0;
    copy.chainPages = Math.ceil((payload.sizeBytes - position) / contentBytes);
  }

  take(payload.bytes.subarray(payload.start, payload.start + payload.localBytes), payload.overflowPage);
  return copy;
}

/** Copies a part of a payload; returns a promise only when a page is not at hand. */
export function copyPart(
  shape: TreeShape,
  payload: Payload,
  part: { readonly span: readonly [from: number, length: number]; readonly signal: AbortSignal | undefined },
): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  const [from, length] = part.span;
  const start = payload.start + from;
  if (from + length <= payload.localBytes) return copyOf(payload.bytes, start, start + length);
  const copy = payloadCopy(shape, payload, part.span);
  return feed(shape, copy, part.signal)?.then(() => copy.bytes) ?? copy.bytes;
}
