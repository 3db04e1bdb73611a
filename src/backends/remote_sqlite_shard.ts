/**
 * Looks rows up in a SQLite shard that stays in the store.
 *
 * The first lookup fetches what belongs to the shard: its sidecar (all interior pages) and its guard (which keys are
 * there, and checksums of the pages), in parallel. From then on a row costs the GET of its leaf, one more where the row
 * overflows, and a key that is not there costs none.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { SharedTask } from "../shared_task.ts";
import { parseFileHeader } from "../sqlite/file_header.ts";
import type { KeyValueTable } from "../sqlite/key_value_table.ts";
import { openPlainDatabase } from "../sqlite/plain_database.ts";
import { decodeSidecar, type Sidecar } from "../sqlite/sidecar.ts";
import type { RemotePart, RemoteShard } from "./backend.ts";
import { decodeGuard, type Guard } from "./guard.ts";
import { checkTag, isReplaced, SidecarDeclined, StorePages } from "./store_pages.ts";

/** Names of the objects beside the shard's file. */
export const SIDECAR_FILE = "shard.sidecar";
export const GUARD_FILE = "shard.guard";

/** What is read first where nothing tells how long a page is: one of the usual length. */
const PAGE_BYTES_GUESS = 4096;

/** A shard whose first requests have been made. */
export interface OpenShard {
  readonly table: KeyValueTable;
  readonly pages: StorePages;
  readonly guard: Guard | null;
}

/** Point lookups; scans are added by whoever wants them. */
export class RemoteSqliteShard implements AsyncDisposable {
  readonly #shard: RemoteShard;
  /** The shard's number in the cache: another one each time it is opened, so that pages of two versions never mix. */
  #slot = 0;
  #open: OpenShard | null = null;
  #opening: SharedTask<OpenShard> | null = null;
  /** Which objects beside the file are worth asking for. */
  readonly #uses: { sidecar: boolean; guard: boolean };

  constructor(shard: RemoteShard) {
    const { objects, mayHaveSidecar } = shard;
    const has = (name: string): boolean => objects?.some((object) => object.name === name) ?? false;
    this.#shard = shard;
    // Python's snapshots have no digests at all.
    if (objects && !has(GUARD_FILE)) shard.warn("shards have no guards: their pages are not checked");
    this.#uses = { sidecar: objects === undefined ? mayHaveSidecar : has(SIDECAR_FILE), guard: has(GUARD_FILE) };
  }

  /** As in `ShardReader`. */
  get(key: Uint8Array, signal?: AbortSignal): Uint8Array | null | Promise<Uint8Array | null> {
    const open = this.#open;
    if (open === null) return this.#opened(signal).then((opened) => this.#getFrom(opened, key, signal));
    this.#shard.pages.touch(this.#slot);
    return this.#getFrom(open, key, signal);
  }

  /** As in `ShardReader`. */
  getMany(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<(Uint8Array | null)[]> {
    return this.use(async (open) => {
      const values = new Array<Uint8Array | null>(keys.length).fill(null);
      const places = [...keys.keys()].filter((index) => !this.#isAbsent(open, keys[index]!));
      const found = await open.table.getMany(places.map((index) => keys[index]!), signal);
      places.forEach((place, index) => values[place] = found[index]!);
      return values;
    }, signal);
  }

  /** Does something with the shard; once more, without the sidecar, if that was the reason why it failed. */
  async use<T>(work: (open: OpenShard) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const open = await this.#opened(signal);
    try {
      return await work(open);
    } catch (error) {
      return await this.#recover(error, () => this.use(work, signal));
    }
  }

  /** Fetches what belongs to the shard, unless it is there. */
  async warm(signal?: AbortSignal): Promise<void> {
    await this.#opened(signal);
  }

  /** Lets go of what is held in memory; lookups under way go on, and those to come begin anew. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#forget();
    return Promise.resolve();
  }

  #getFrom(
    open: OpenShard,
    key: Uint8Array,
    signal: AbortSignal | undefined,
  ): Uint8Array | null | Promise<Uint8Array | null> {
    if (this.#isAbsent(open, key)) return null;
    const found = open.table.get(key, signal);
    return found instanceof Promise ? found.catch((error) => this.#recover(error, () => this.get(key, signal))) : found;
  }

  #isAbsent({ guard }: OpenShard, key: Uint8Array): boolean {
    if (guard === null || guard.mayContain(key)) return false;
    this.#shard.tally.filterHits++;
    return true;
  }

  /** Repeats a lookup without the sidecar, if that was the reason why it failed; passes other errors on. */
  async #recover<T>(error: unknown, repeat: () => T | Promise<T>): Promise<T> {
    if (error instanceof SidecarDeclined) {
      if (this.#uses.sidecar) {
        this.#leaveOut("sidecar", error.message);
        this.#forget();
      }
      return await repeat();
    }
    if (isReplaced(error)) this.#forget();
    throw error;
  }

  /** Goes on without an object beside the file. */
  #leaveOut(name: "sidecar" | "guard", reason: string): void {
    this.#uses[name] = false;
    this.#shard.warn(`the ${name} of "${this.#shard.url}" is not used: ${reason}`);
  }

  /** What was read is of another version of the file than what will be read. */
  #forget(): void {
    this.#open = null;
    this.#opening = null;
    this.#shard.pages.drop(this.#slot);
  }

  async #opened(signal?: AbortSignal): Promise<OpenShard> {
    if (this.#open !== null) return this.#open;
    if (this.#opening === null || this.#opening.isAborted) {
      this.#forget();
      const slot = this.#slot = this.#shard.pages.newSlot();
      const opening = this.#opening = new SharedTask(async (signal) => {
        try {
          const open = await this.#openNow(slot, signal);
          if (this.#opening === opening) this.#open = open;
          return open;
        } finally {
          if (this.#opening === opening) this.#opening = null;
        }
      });
    }
    try {
      return await this.#opening.join(signal);
    } catch (error) {
      return await this.#recover(error, () => this.#opened(signal));
    }
  }

  async #openNow(slot: number, signal: AbortSignal): Promise<OpenShard> {
    const { sidecar, guard, first } = await this.#firstRequests(signal);
    const used = this.#hold(slot, { sidecar, guard });
    const known = used.sidecar?.page(1);
    const part = known === undefined ? first ?? await this.#readHead(signal) : first;
    const head = known ?? part!.bytes;
    const { pageSizeBytes } = parseFileHeader(head, this.#shard.sizeBytes);
    const pages = new StorePages(this.#shard, { pageSizeBytes, slot, etag: part?.etag, ...used });
    if (used.sidecar === null && head.length >= pageSizeBytes) {
      pages.keep(1, head.length === pageSizeBytes ? head : head.slice(0, pageSizeBytes));
    }
    const database = await openPlainDatabase(pages, signal);
    return { table: database.keyValueTable("kv"), pages, guard: used.guard };
  }

  /** Sidecar, guard and, where they do not make it needless, the head of the file: at the same time. */
  async #firstRequests(signal: AbortSignal): Promise<Companions & { readonly first: RemotePart | null }> {
    const uses = this.#uses;
    // A sidecar without a recorded digest is believed only when the file is known to be of the same version.
    const isBlind = uses.sidecar && this.#shard.objects === undefined;
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const requests = [
      uses.sidecar ? this.#loadSidecar(either) : null,
      uses.guard ? this.#loadGuard(either) : null,
      isBlind || !uses.sidecar ? this.#readHead(either) : null,
    ] as const;
    try {
      const [sidecar, guard, first] = await Promise.all(requests);
      if (isBlind) checkTag(sidecar, first!.etag);
      return { sidecar, guard, first };
    } catch (error) {
      failed.abort(error);
      await Promise.allSettled(requests);
      throw error;
    }
  }

  #readHead(signal: AbortSignal): Promise<RemotePart> {
    const { sizeBytes, pageSizeHint = PAGE_BYTES_GUESS } = this.#shard;
    return this.#shard.read({ offset: 0, lengthBytes: Math.min(sizeBytes, pageSizeHint) }, signal);
  }

  /** Null when there is none. @throws {SidecarDeclined} when it cannot be used. */
  async #loadSidecar(signal: AbortSignal): Promise<Sidecar | null> {
    try {
      const bytes = await this.#shard.load(SIDECAR_FILE, signal);
      if (bytes === null) {
        this.#uses.sidecar = false;
        return null;
      }
      const sidecar = decodeSidecar(bytes);
      if (sidecar.tag === null) throw new SidecarDeclined("it is not bound to a version of the file");
      const { pageSizeBytes } = parseFileHeader(sidecar.page(1) ?? new Uint8Array(0), this.#shard.sizeBytes);
      if (pageSizeBytes !== sidecar.pageSizeBytes) throw new SidecarDeclined("its pages are of another length");
      return sidecar;
    } catch (error) {
      if (error instanceof CorruptFileError) throw new SidecarDeclined(error.message);
      throw error;
    }
  }

  async #loadGuard(signal: AbortSignal): Promise<Guard | null> {
    const { url, sizeBytes, objects } = this.#shard;
    const bytes = await this.#shard.load(GUARD_FILE, signal);
    if (bytes === null) {
      this.#leaveOut("guard", "it is missing, so that pages are not checked");
      return null;
    }
    const guard = decodeGuard(bytes);
    if (guard.shardXxh3 === objects![0]!.xxh3 && guard.pageCount * guard.pageSizeBytes === sizeBytes) return guard;
    throw new CorruptFileError(`Cannot use the guard of "${url}" as it is one of another file`, -1);
  }

  /** Takes room for both; what does not fit is left out from now on. */
  #hold(slot: number, { sidecar, guard }: Companions): Companions {
    const fits = (guardBytes: number, sidecarBytes: number): boolean =>
      guardBytes + sidecarBytes === 0 ||
      this.#shard.pages.hold(slot, guardBytes + sidecarBytes, () => this.#forget());
    const guardBytes = guard?.sizeBytes ?? 0;
    if (fits(guardBytes, sidecar?.sizeBytes ?? 0)) return { sidecar, guard };
    const reason = "there is no room for it, raise cacheBytesMax";
    if (sidecar !== null) this.#leaveOut("sidecar", reason);
    if (fits(guardBytes, 0)) return { sidecar: null, guard };
    this.#leaveOut("guard", reason);
    return { sidecar: null, guard: null };
  }
}

/** What lies beside the shard's file; null where it is not there or not used. */
interface Companions {
  readonly sidecar: Sidecar | null;
  readonly guard: Guard | null;
}
