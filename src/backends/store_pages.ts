/**
 * Pages of a database file that stays in the store.
 *
 * Pages of the sidecar are at hand from the start; others are fetched when they are asked for, each at most once at a
 * time, near ones with one request, and kept as long as the reader's cache has room. With a guard every page is checked
 * before anyone sees it.
 * @module
 */
import { CorruptFileError, StoreError } from "../errors.ts";
import { SharedTask } from "../shared_task.ts";
import type { PageSource } from "../sqlite/page_source.ts";
import type { Sidecar } from "../sqlite/sidecar.ts";
import { replacedError } from "../stores/store.ts";
import type { RemoteShard } from "./backend.ts";
import type { Guard } from "./guard.ts";

/** The longest range of one request. */
const REQUEST_BYTES_MAX = 1 << 25;

/** Some pages, by number. */
type Pages = ReadonlyMap<number, Uint8Array>;

/** What is known of the file before its pages are read. */
export interface StorePagesOptions {
  readonly pageSizeBytes: number;
  /** The shard's own number in the cache. */
  readonly slot: number;
  readonly sidecar: Sidecar | null;
  readonly guard: Guard | null;
  /** Version of the file, where some of it was read already. */
  readonly etag: string | null | undefined;
}

/** The sidecar is of another version of the file: what was read of both must not be mixed. */
export class SidecarDeclined extends Error {}

/** Pages over ranges of an object. */
export class StorePages implements PageSource {
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  readonly #shard: RemoteShard;
  readonly #about: StorePagesOptions;
  /** Version that all pages are of, the sidecar's too; undefined until an answer of the store tells. */
  #etag: string | null | undefined;
  readonly #underWay = new Map<number, SharedTask<Pages>>();

  constructor(shard: RemoteShard, about: StorePagesOptions) {
    this.pageSizeBytes = about.pageSizeBytes;
    this.pageCount = Math.floor(shard.sizeBytes / about.pageSizeBytes);
    this.#shard = shard;
    this.#about = about;
    if (about.etag !== undefined) this.accept(about.etag);
  }

  peek(pageNumber: number): Uint8Array | undefined {
    const { sidecar, slot } = this.#about;
    const page = sidecar?.page(pageNumber) ?? this.#shard.pages.get(slot, pageNumber);
    if (page !== undefined) this.#shard.tally.cacheHits++;
    return page;
  }

  async load(pageNumber: number, signal?: AbortSignal): Promise<Uint8Array> {
    return (await this.loadMany([pageNumber], signal))[0]!;
  }

  async loadMany(pageNumbers: readonly number[], signal?: AbortSignal): Promise<Uint8Array[]> {
    const found = new Map<number, Uint8Array>();
    const tasks = new Set<SharedTask<Pages>>();
    const missing: number[] = [];
    for (const pageNumber of pageNumbers) {
      const page = this.peek(pageNumber);
      const task = this.#underWay.get(pageNumber);
      if (page !== undefined) found.set(pageNumber, page);
      else if (task !== undefined && !task.isAborted) tasks.add(task);
      else missing.push(pageNumber);
    }
    for (const run of this.#runs(missing)) tasks.add(this.#fetch(run));
    // All have ended before one's failure is told: nothing goes on behind the caller's back.
    const outcomes = await Promise.allSettled(Array.from(tasks, (task) => task.join(signal)));
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") throw outcome.reason;
      for (const [pageNumber, page] of outcome.value) found.set(pageNumber, page);
    }
    return pageNumbers.map((pageNumber) => found.get(pageNumber)!);
  }

  /** As the sidecar says; else chains are taken to lie in one piece, as writers put them there. */
  chain(firstPage: number, pageCount: number): readonly number[] {
    const known = this.#about.sidecar?.chain(firstPage);
    if (known !== undefined) return Array.from(known).slice(0, pageCount);
    const length = Math.min(pageCount, this.pageCount - firstPage + 1);
    return Array.from({ length }, (_, index) => firstPage + index);
  }

  /** Finds out whether the sidecar belongs to the file, with one request if none has shown it yet. */
  async bind(signal?: AbortSignal): Promise<void> {
    if (this.#about.sidecar === null || this.#etag !== undefined) return;
    this.accept((await this.#shard.read({ offset: 0, lengthBytes: this.pageSizeBytes }, signal)).etag);
  }

  /** Takes a page that was read. @throws {CorruptFileError} when it is not what was written. */
  keep(pageNumber: number, page: Uint8Array): void {
    const { guard, slot } = this.#about;
    if (guard?.isSound(pageNumber, page) === false) {
      throw new CorruptFileError(
        `Cannot use page ${pageNumber} of "${this.#shard.url}" as its bytes do not have the recorded checksum`,
        (pageNumber - 1) * this.pageSizeBytes,
      );
    }
    this.#shard.pages.set(slot, pageNumber, page);
  }

  /** Pages that are worth one request each: what lies between two of them is shorter than a request is long. */
  #runs(missing: number[]): number[][] {
    const runs: number[][] = [];
    const gapPagesMax = Math.floor(this.#shard.gapBytesMax() / this.pageSizeBytes);
    const runPagesMax = REQUEST_BYTES_MAX / this.pageSizeBytes;
    for (const pageNumber of missing.sort((one, other) => one - other)) {
      const run = runs.at(-1);
      const isNear = run !== undefined && pageNumber - run.at(-1)! <= gapPagesMax + 1;
      if (isNear && pageNumber - run[0]! < runPagesMax) run.push(pageNumber);
      else runs.push([pageNumber]);
    }
    return runs;
  }

  #fetch(run: readonly number[]): SharedTask<Pages> {
    const task = new SharedTask((signal) =>
      this.#read(run, signal).finally(() => {
        // An aborted one may have been replaced already.
        for (const pageNumber of run) if (this.#underWay.get(pageNumber) === task) this.#underWay.delete(pageNumber);
      })
    );
    for (const pageNumber of run) this.#underWay.set(pageNumber, task);
    return task;
  }

  async #read(run: readonly number[], signal: AbortSignal): Promise<Pages> {
    const { pageSizeBytes } = this;
    const first = run[0]!;
    const lengthBytes = (run.at(-1)! - first + 1) * pageSizeBytes;
    const { bytes, etag } = await this.#shard.read({ offset: (first - 1) * pageSizeBytes, lengthBytes }, signal);
    this.accept(etag);
    const pages = new Map<number, Uint8Array>();
    for (const pageNumber of run) {
      const start = (pageNumber - first) * pageSizeBytes;
      // A copy, so that one page in the cache does not keep the others of its answer in memory.
      const page = lengthBytes === pageSizeBytes ? bytes : bytes.slice(start, start + pageSizeBytes);
      this.keep(pageNumber, page);
      pages.set(pageNumber, page);
    }
    return pages;
  }

  /**
   * Takes note of the version that an answer is of.
   *
   * @throws {SidecarDeclined} when the sidecar is not one of the file that the store has.
   * @throws {StoreError} retryable, when the file was replaced since the first answer.
   */
  accept(etag: string | null): void {
    if (this.#etag === undefined) {
      checkTag(this.#about.sidecar, etag);
      this.#etag = etag;
    }
    if (etag !== this.#etag) throw replacedError(this.#shard.url);
  }
}

/**
 * Checks that a sidecar, if there is one, is of the version of the file that an answer is of. Some clients strip the
 * quotes of a tag.
 *
 * @throws {SidecarDeclined}
 */
export function checkTag(sidecar: Sidecar | null, etag: string | null): void {
  if (sidecar === null || (etag !== null && sidecar.tag?.replaceAll('"', "") === etag.replaceAll('"', ""))) return;
  throw new SidecarDeclined(
    etag === null ? "the store tells no strong ETag" : `it is of version ${sidecar.tag}, the file of ${etag}`,
  );
}

/** Whether an error says that the file was replaced between two requests. */
export function isReplaced(error: unknown): boolean {
  return error instanceof StoreError && error.status === 412;
}
