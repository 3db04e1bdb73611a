/**
 * Walks through the cells of an index b-tree in order.
 *
 * A walk visits no more pages, overflow pages included, than the file has, so that damaged links cannot make it
 * endless; whoever reads the rows checks that keys ascend, which a page visited twice would break.
 * @module
 */
import { INTERIOR_INDEX, LEAF_INDEX } from "./format.ts";
import type { PathStep } from "./lookup.ts";
import { checkedPage } from "./overflow.ts";
import {
  corruptLink,
  corruptPage,
  DEPTH_MAX,
  type Payload,
  payloadAt,
  type TreeShape,
  u16At,
  u32At,
} from "./tree_shape.ts";
import { varintAt, varintEnd } from "./varint.ts";

/** How many sibling pages are asked for together, when a walk has to wait and the source can load several. */
const AHEAD_MAX = 32;

/** A page that the walk is in. */
interface Frame {
  readonly bytes: Uint8Array;
  readonly pageStart: number;
  readonly pageNumber: number;
  readonly isLeaf: boolean;
  readonly cellCount: number;
  /** Where the cell pointers begin in `bytes`. */
  readonly pointers: number;
  /** What comes next: on leaves a cell; on interior pages an even number for a child, an odd one for a cell. */
  next: number;
}

/** What {@linkcode Cursor.step} came to. */
export type Step = "row" | "end" | "wait";

/** A position in an index b-tree, which holds rows on every level. */
export class Cursor {
  readonly #shape: TreeShape;
  readonly #frames: Frame[] = [];
  /** Pages that may still be visited. */
  #pagesLeft: number;
  /** The page that `step` waits for, and the pages that are likely to be next. */
  #wanted: number;
  readonly #ahead = new Map<number, Uint8Array>();
  #aheadCount = 1;
  /** The frame and the cell of the current row. */
  #frame: Frame | undefined;
  #cell = 0;

  constructor(shape: TreeShape, rootPage: number) {
    this.#shape = shape;
    this.#pagesLeft = shape.pageCount;
    this.#wanted = rootPage;
  }

  /** A walk that begins where a seek ended. */
  static from(shape: TreeShape, path: readonly PathStep[]): Cursor {
    const cursor = new Cursor(shape, 0);
    for (const step of path) {
      const frame = cursor.#enter(step.bytes, [step.pageStart, step.pageNumber]);
      // On interior pages the child before the cell was entered, or the cell itself is the row that was found.
      frame.next = frame.isLeaf ? step.cellIndex : 2 * step.cellIndex + 1;
    }
    return cursor;
  }

  /** Steps to the next row as far as pages are at hand; `"wait"` asks for {@linkcode wait}. */
  step(): Step {
    for (;;) {
      if (this.#wanted !== 0 && !this.#enterWanted()) return "wait";
      const frame = this.#frames.at(-1);
      if (frame === undefined) return "end";
      const position = frame.next++;
      if (frame.isLeaf) {
        if (position < frame.cellCount) return this.#rowAt(frame, position);
        this.#frames.pop();
      } else if (position > 2 * frame.cellCount) {
        this.#frames.pop();
      } else if (position % 2 === 0) {
        this.#wanted = this.#childOf(frame, position / 2);
      } else {
        return this.#rowAt(frame, (position - 1) / 2);
      }
    }
  }

  /** Loads the page that the walk needs, and some behind it where the source can do that in one go. */
  async wait(signal?: AbortSignal): Promise<void> {
    const { source } = this.#shape;
    const parent = this.#frames.at(-1);
    if (source.loadMany === undefined || parent === undefined) {
      this.#ahead.set(this.#wanted, await source.load(this.#wanted, signal));
      return;
    }
    this.#aheadCount = Math.min(this.#aheadCount * 2, AHEAD_MAX);
    const wanted = new Set([this.#wanted]);
    for (let child = parent.next / 2 | 0; child < parent.cellCount && wanted.size < this.#aheadCount;) {
      wanted.add(this.#childOf(parent, ++child));
    }
    const numbers = [...wanted];
    const pages = await source.loadMany(numbers, signal);
    numbers.forEach((pageNumber, i) => this.#ahead.set(pageNumber, pages[i] ?? new Uint8Array(0)));
  }

  /** Where the current cell says how long its payload is. */
  cell(): number {
    return this.#payloadStart();
  }

  /** Payload of the current row, of which nothing beyond the page has been read yet. */
  payload(): Payload {
    const start = this.#payloadStart();
    const frame = this.#currentFrame();
    const payload = payloadAt(this.#shape, {
      bytes: frame.bytes,
      pageStart: frame.pageStart,
      pageNumber: frame.pageNumber,
      start: this.#varintEnd(start),
      sizeBytes: varintAt(frame.bytes, start),
      localMax: this.#shape.indexLocalMax,
    });
    this.#pagesLeft -= payload.overflowCount;
    if (this.#pagesLeft < 0) throw this.#corruptWalk(frame.pageNumber);
    return payload;
  }

  /** An error about the current row. */
  corruptRow(message: string): Error {
    const frame = this.#currentFrame();
    return corruptPage(this.#shape, [frame.pageNumber, this.#cell - frame.pageStart], message);
  }

  #rowAt(frame: Frame, cellIndex: number): "row" {
    this.#frame = frame;
    this.#cell = this.#cellAt(frame, cellIndex);
    return "row";
  }

  /** Enters the page wanted; false when it is not at hand. */
  #enterWanted(): boolean {
    const { source, pageSizeBytes, pageCount } = this.#shape;
    const pageNumber = this.#wanted;
    if (pageNumber < 1 || pageNumber > pageCount) throw corruptLink(this.#shape, 0, pageNumber);
    if (source.contiguous !== undefined) {
      this.#enter(source.contiguous, [(pageNumber - 1) * pageSizeBytes, pageNumber]);
    } else {
      const page = this.#ahead.get(pageNumber) ?? source.peek(pageNumber);
      if (page === undefined) return false;
      this.#ahead.delete(pageNumber);
      this.#enter(checkedPage(this.#shape, pageNumber, page), [0, pageNumber]);
    }
    this.#wanted = 0;
    return true;
  }

  #enter(bytes: Uint8Array, [pageStart, pageNumber]: readonly [number, number]): Frame {
    if (--this.#pagesLeft < 0 || this.#frames.length >= DEPTH_MAX) throw this.#corruptWalk(pageNumber);
    const head = pageNumber === 1 ? pageStart + 100 : pageStart;
    const kind = bytes[head];
    const isLeaf = kind === LEAF_INDEX;
    if (!isLeaf && kind !== INTERIOR_INDEX) {
      throw corruptPage(this.#shape, [pageNumber, head - pageStart], "it must be a page of an index tree");
    }
    const cellCount = u16At(bytes, head + 3);
    const pointers = head + (isLeaf ? 8 : 12);
    if (pointers + 2 * cellCount > pageStart + this.#shape.usableBytes) {
      throw corruptPage(this.#shape, [pageNumber, head - pageStart + 3], "its cells must fit the page");
    }
    const frame = { bytes, pageStart, pageNumber, isLeaf, cellCount, pointers, next: 0 };
    this.#frames.push(frame);
    return frame;
  }

  #childOf(frame: Frame, childIndex: number): number {
    const at = childIndex === frame.cellCount ? frame.pointers - 4 : this.#cellAt(frame, childIndex);
    const child = u32At(frame.bytes, at);
    if (child < 2 || child > this.#shape.pageCount) throw corruptLink(this.#shape, frame.pageNumber, child);
    return child;
  }

  /** Where a cell begins in the frame's bytes; 4 bytes of it at least are on the page. */
  #cellAt(frame: Frame, cellIndex: number): number {
    const pointer = frame.pointers + 2 * cellIndex;
    const cell = frame.pageStart + u16At(frame.bytes, pointer);
    const min = frame.pointers + 2 * frame.cellCount;
    // The shortest cell is that of a leaf with a record of no columns.
    const max = frame.pageStart + this.#shape.usableBytes - (frame.isLeaf ? 3 : 5);
    if (cell >= min && cell <= max) return cell;
    throw corruptPage(this.#shape, [frame.pageNumber, pointer - frame.pageStart], "a cell must lie inside the page");
  }

  #payloadStart(): number {
    return this.#currentFrame().isLeaf ? this.#cell : this.#cell + 4;
  }

  #currentFrame(): Frame {
    if (this.#frame === undefined) throw new Error("unreachable: there is no current row");
    return this.#frame;
  }

  #varintEnd(at: number): number {
    const frame = this.#currentFrame();
    const end = varintEnd(frame.bytes, at, frame.pageStart + this.#shape.usableBytes);
    if (end < 0) throw this.corruptRow("a number reaches past the end of the page");
    return end;
  }

  #corruptWalk(pageNumber: number): Error {
    return corruptPage(this.#shape, [pageNumber, 0], "a page is reached more than once, or at too great a depth");
  }
}
