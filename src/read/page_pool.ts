/**
 * The memory of a reader that reads ranges: one budget for the pages of all its shards, their sidecars and guards.
 * @module
 */
import type { SharedPages } from "../backends/backend.ts";
import { PageCache } from "../sqlite/page_cache.ts";

/** Pages of two shards never have the same number: beyond a slot's own 2^32. */
const SLOT_PAGES = 2 ** 32;
/** Sidecars and guards take three quarters at most, as without any page every lookup would fetch. */
const HELD_PART = 0.75;

interface Held {
  readonly sizeBytes: number;
  readonly release: () => void;
}

/** What was used last stays: pages by themselves, sidecar and guard of a shard as one. */
export class PagePool implements SharedPages {
  readonly #bytesMax: number;
  readonly #pages: PageCache;
  readonly #held = new Map<number, Held>();
  #heldBytes = 0;
  #lastSlot = 0;
  #lastTouched = 0;

  /** @param bytesMax For everything together. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#pages = new PageCache(bytesMax);
  }

  /** Bytes in use. */
  get sizeBytes(): number {
    return this.#heldBytes + this.#pages.sizeBytes;
  }

  get(slot: number, pageNumber: number): Uint8Array | undefined {
    return this.#pages.get(slot * SLOT_PAGES + pageNumber);
  }

  set(slot: number, pageNumber: number, page: Uint8Array): void {
    this.#pages.set(slot * SLOT_PAGES + pageNumber, page);
  }

  newSlot(): number {
    return ++this.#lastSlot;
  }

  hold(slot: number, sizeBytes: number, release: () => void): boolean {
    this.drop(slot);
    const heldMax = this.#bytesMax * HELD_PART;
    if (sizeBytes > heldMax) return false;
    for (const [oldest, held] of this.#held) {
      if (this.#heldBytes + sizeBytes <= heldMax) break;
      this.drop(oldest);
      held.release();
    }
    this.#held.set(slot, { sizeBytes, release });
    this.#lastTouched = slot;
    this.#resize(sizeBytes);
    return true;
  }

  touch(slot: number): void {
    if (slot === this.#lastTouched) return;
    this.#lastTouched = slot;
    const held = this.#held.get(slot);
    if (held === undefined) return;
    this.#held.delete(slot);
    this.#held.set(slot, held);
  }

  drop(slot: number): void {
    const held = this.#held.get(slot);
    if (held === undefined) return;
    this.#held.delete(slot);
    this.#resize(-held.sizeBytes);
  }

  #resize(heldBytes: number): void {
    this.#heldBytes += heldBytes;
    this.#pages.limit(this.#bytesMax - this.#heldBytes);
  }
}
