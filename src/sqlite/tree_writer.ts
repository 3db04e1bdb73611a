/**
 * Writes one b-tree bottom-up: sorted cells come in, full pages come out, nothing is ever moved or split.
 *
 * Leaves are filled to the brim in the order of the cells, each followed by the overflow chains of its cells. What
 * separates two leaves is put aside; when the last leaf is done, the interior levels follow as one run of pages at the
 * end, lowest level first, and the last of them is the root. In an index b-tree the separating cell is a row of its
 * own, which then lives on the interior page only; in a table b-tree it is a copy of the largest row id to its left.
 * @module
 */
import type { SpoolFactory } from "../bytes/spool.ts";
import { DividerList, eachEntry } from "./divider_list.ts";
import {
  indexLocalMax,
  INTERIOR_INDEX,
  INTERIOR_TABLE,
  LEAF_INDEX,
  LEAF_TABLE,
  localBytes,
  tableLocalMax,
} from "./format.ts";
import { FLUSH_BYTES, type PageOutput } from "./page_output.ts";

/** Index b-trees hold rows ordered by their record; table b-trees hold records ordered by row id. */
export type TreeKind = "index" | "table";

/** Fills pages for one b-tree. Cells must come in ascending order; that is the caller's promise. */
export class TreeWriter implements AsyncDisposable {
  /**
   * Scratch for the head of the next cell: first its varints (payload size; on tables also the row id), then the
   * beginning of the payload (a record header), which is followed by the body given to `add`.
   */
  readonly head: Uint8Array = new Uint8Array(64);
  /** Bytes of `head` that are in use. */
  headBytes = 0;
  /** Bytes at the beginning of `head` that are not payload. */
  varintBytes = 0;
  readonly #output: PageOutput;
  readonly #kind: TreeKind;
  readonly #localMax: number;
  readonly #flush: () => Promise<void>;
  readonly #openSpool: SpoolFactory | undefined;
  #level: DividerList;
  #leafPage: number;
  #base: number;
  #top: number;
  #cellCount = 0;
  /** The row between the last two leaves: kept back, as the last leaf may need it. Index b-trees only. */
  #pending: { child: number; cell: Uint8Array } | undefined;

  /** @param flush Called between pages, when the output has enough of them. */
  constructor(output: PageOutput, kind: TreeKind, io: { flush: () => Promise<void>; openSpool?: SpoolFactory }) {
    this.#output = output;
    this.#kind = kind;
    this.#flush = io.flush;
    this.#openSpool = io.openSpool;
    this.#localMax = kind === "index" ? indexLocalMax(output.pageSizeBytes) : tableLocalMax(output.pageSizeBytes);
    this.#level = new DividerList(io.openSpool);
    this.#leafPage = output.allocate();
    this.#base = output.offsetOf(this.#leafPage);
    this.#top = output.pageSizeBytes;
  }

  /** True when enough pages are final to be worth a flush; ask after each `add`. */
  get isFull(): boolean {
    return this.#base >= FLUSH_BYTES;
  }

  /** First page that may still change. */
  get keepFrom(): number {
    return this.#pending === undefined ? this.#leafPage : this.#pending.child;
  }

  /** To be called after pages were taken out of the output. */
  async relieve(): Promise<void> {
    this.#base = this.#output.offsetOf(this.#leafPage);
    await this.#level.relieve();
  }

  /** Appends a cell: what `head` holds, then `length` bytes of `body` from `start` on. */
  add(body: Uint8Array, start: number, length: number): void {
    const { headBytes } = this;
    const fits = headBytes - this.varintBytes + length <= this.#localMax;
    const cellBytes = fits ? headBytes + length : this.#overflowingCellBytes(length);
    if (8 + 2 * this.#cellCount + 2 + cellBytes > this.#top || this.#isLong()) {
      if (this.#kind === "index") {
        this.#promote(body.subarray(start, start + length), fits);
        return;
      }
      this.#nextTableLeaf();
    }
    this.#top -= cellBytes;
    const at = this.#base + this.#top;
    const pointerAt = this.#base + 8 + 2 * this.#cellCount;
    this.#cellCount++;
    const page = this.#output.bytes;
    page[pointerAt] = this.#top >>> 8;
    page[pointerAt + 1] = this.#top & 0xff;
    if (!fits) {
      const cell = this.#overflowingCell(body.subarray(start, start + length));
      this.#output.bytes.set(cell, at);
      return;
    }
    const head = this.head;
    for (let i = 0; i < headBytes; i++) page[at + i] = head[i]!;
    const bodyAt = at + headBytes;
    // A call into the engine's copy costs about as much as 24 steps of a loop.
    if (length > 24) page.set(body.subarray(start, start + length), bodyAt);
    else for (let i = 0; i < length; i++) page[bodyAt + i] = body[start + i]!;
  }

  /** Appends a cell of a table b-tree that is complete, its overflow chain written. */
  addCell(cell: Uint8Array): void {
    if (8 + 2 * this.#cellCount + 2 + cell.length > this.#top) this.#nextTableLeaf();
    this.#top -= cell.length;
    this.#output.bytes.set(cell, this.#base + this.#top);
    putUint16(this.#output.bytes, this.#base + 8 + 2 * this.#cellCount++, this.#top);
  }

  /** Writes the interior levels; gives the number of the root page. */
  async finish(): Promise<number> {
    this.#borrowForLastLeaf();
    this.#closeLeaf();
    let lastChild = this.#leafPage;
    this.#settlePending();
    while (this.#level.count > 0) lastChild = await this.#writeLevel(lastChild);
    return lastChild;
  }

  /** Removes temporary files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#level[Symbol.asyncDispose]();
  }

  /**
   * A leaf with long overflow chains ends early, as all of it waits in memory. Two cells it must have,
   * as the last leaf may have to borrow one.
   */
  #isLong(): boolean {
    return this.#cellCount >= 2 && this.#output.usedBytes - this.#base > FLUSH_BYTES;
  }

  #overflowingCellBytes(length: number): number {
    const { headBytes, varintBytes } = this;
    const payloadBytes = headBytes - varintBytes + length;
    return varintBytes + localBytes(this.#output.pageSizeBytes, this.#localMax, payloadBytes) + 4;
  }

  /** Appends the overflow chain and gives the cell that points to it. */
  #overflowingCell(body: Uint8Array): Uint8Array {
    const { headBytes } = this;
    const cell = new Uint8Array(this.#overflowingCellBytes(body.length));
    cell.set(this.head.subarray(0, headBytes));
    const bodyLocal = cell.length - 4 - headBytes;
    cell.set(body.subarray(0, bodyLocal), headBytes);
    putUint32(cell, cell.length - 4, this.#output.putChain(body.subarray(bodyLocal)));
    return cell;
  }

  /** The row does not fit on the leaf: it becomes the divider between this leaf and the next. */
  #promote(body: Uint8Array, fits: boolean): void {
    const { headBytes } = this;
    this.#settlePending();
    this.#closeLeaf();
    const child = this.#leafPage;
    if (fits) {
      const cell = new Uint8Array(headBytes + body.length);
      cell.set(this.head.subarray(0, headBytes));
      cell.set(body, headBytes);
      this.#pending = { child, cell };
    } else {
      this.#pending = { child, cell: this.#overflowingCell(body) };
    }
    this.#openLeaf();
  }

  #nextTableLeaf(): void {
    this.#closeLeaf();
    this.#level.push(this.#leafPage, this.#lastRowid());
    this.#openLeaf();
  }

  /** Varint of the row id of the leaf's last cell: what an interior table cell consists of. */
  #lastRowid(): Uint8Array {
    const page = this.#output.bytes;
    let at = this.#base + this.#top;
    while (page[at]! >= 0x80) at++;
    const start = ++at;
    while (page[at]! >= 0x80 && at - start < 8) at++;
    return page.slice(start, at + 1);
  }

  #openLeaf(): void {
    this.#leafPage = this.#output.allocate();
    this.#base = this.#output.offsetOf(this.#leafPage);
    this.#top = this.#output.pageSizeBytes;
    this.#cellCount = 0;
  }

  #closeLeaf(): void {
    const kind = this.#kind === "index" ? LEAF_INDEX : LEAF_TABLE;
    putPageHeader(this.#output.bytes, this.#base, { kind, cellCount: this.#cellCount, top: this.#top });
  }

  #settlePending(): void {
    if (this.#pending !== undefined) this.#level.push(this.#pending.child, this.#pending.cell);
    this.#pending = undefined;
  }

  /** A divider with nothing to its right: it moves into the last leaf, and the row before it takes its place. */
  #borrowForLastLeaf(): void {
    if (this.#pending === undefined || this.#cellCount > 0) return;
    const { child, cell } = this.#pending;
    const { bytes, pageSizeBytes } = this.#output;
    this.#top = pageSizeBytes - cell.length;
    this.#cellCount = 1;
    bytes.set(cell, this.#base + this.#top);
    putUint16(bytes, this.#base + 8, this.#top);
    const base = this.#output.offsetOf(child);
    const cellCount = getUint16(bytes, base + 3) - 1;
    const top = getUint16(bytes, base + 8 + 2 * cellCount);
    const end = getUint16(bytes, base + 8 + 2 * (cellCount - 1));
    this.#pending = { child, cell: bytes.slice(base + top, base + end) };
    bytes.fill(0, base + top, base + end);
    putUint16(bytes, base + 8 + 2 * cellCount, 0);
    putPageHeader(bytes, base, { kind: LEAF_INDEX, cellCount, top: end });
  }

  /** Turns the dividers of a level into pages; gives the last of them. Their own dividers become the next level. */
  async #writeLevel(lastChild: number): Promise<number> {
    await using level = this.#level;
    this.#level = new DividerList(this.#openSpool);
    const kind = this.#kind === "index" ? INTERIOR_INDEX : INTERIOR_TABLE;
    const page = new InteriorPage(this.#output, kind);
    let rest = level.count;
    for await (const chunk of level.read()) {
      for (const { child, cell } of eachEntry(chunk)) {
        rest--;
        if (!page.add(child, cell)) {
          // The entry that does not fit closes the page, unless that left the next page without any entry.
          const closing = rest === 0 ? page.removeLast() : { child, cell };
          this.#level.push(page.close(closing.child), closing.cell);
          page.open();
          if (rest === 0) page.add(child, cell);
        }
      }
      this.#leafPage = page.pageNumber;
      await this.#flush();
    }
    return page.close(lastChild);
  }
}

/** One interior page being filled. */
class InteriorPage {
  readonly #output: PageOutput;
  readonly #kind: number;
  pageNumber = 0;
  #top = 0;
  #cellCount = 0;
  #last: { child: number; cell: Uint8Array } = { child: 0, cell: new Uint8Array(0) };

  constructor(output: PageOutput, kind: number) {
    this.#output = output;
    this.#kind = kind;
    this.open();
  }

  open(): void {
    this.pageNumber = this.#output.allocate();
    this.#top = this.#output.pageSizeBytes;
    this.#cellCount = 0;
  }

  /** False when there is no room. */
  add(child: number, cell: Uint8Array): boolean {
    const pointerAt = 12 + 2 * this.#cellCount;
    if (pointerAt + 2 + 4 + cell.length > this.#top) return false;
    const { bytes } = this.#output;
    const base = this.#output.offsetOf(this.pageNumber);
    this.#top -= 4 + cell.length;
    putUint32(bytes, base + this.#top, child);
    bytes.set(cell, base + this.#top + 4);
    putUint16(bytes, base + pointerAt, this.#top);
    this.#cellCount++;
    this.#last = { child, cell };
    return true;
  }

  /** Takes the last entry off the page again. */
  removeLast(): { child: number; cell: Uint8Array } {
    const { bytes } = this.#output;
    const base = this.#output.offsetOf(this.pageNumber);
    const end = this.#top + 4 + this.#last.cell.length;
    bytes.fill(0, base + this.#top, base + end);
    this.#cellCount--;
    putUint16(bytes, base + 12 + 2 * this.#cellCount, 0);
    this.#top = end;
    return this.#last;
  }

  /** Writes the header and gives the page's number. */
  close(rightChild: number): number {
    const { bytes } = this.#output;
    const base = this.#output.offsetOf(this.pageNumber);
    putPageHeader(bytes, base, { kind: this.#kind, cellCount: this.#cellCount, top: this.#top });
    putUint32(bytes, base + 8, rightChild);
    this.#output.observer?.onInterior(this.pageNumber);
    return this.pageNumber;
  }
}

function putPageHeader(
  bytes: Uint8Array,
  base: number,
  { kind, cellCount, top }: { kind: number; cellCount: number; top: number },
): void {
  bytes[base] = kind;
  putUint16(bytes, base + 3, cellCount);
  putUint16(bytes, base + 5, top & 0xffff);
}

function getUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function putUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value & 0xff;
}

function putUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = (value >>> 16) & 0xff;
  bytes[at + 2] = (value >>> 8) & 0xff;
  bytes[at + 3] = value & 0xff;
}
