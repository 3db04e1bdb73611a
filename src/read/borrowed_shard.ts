/**
 * A handle on one shard of one snapshot.
 * @module
 */
import { ReaderStateError } from "../errors.ts";
import { encodeKey, type Key } from "../routing/key.ts";
import type { Generation } from "./generation.ts";

/**
 * Reads one shard of the snapshot that was active when the handle was taken, whatever is refreshed or closed since.
 * Keys that are bytes are taken as encoded keys; others are encoded as the snapshot's keys are. No key is routed.
 */
export class BorrowedShard implements AsyncDisposable {
  /** The shard, from 0. */
  readonly shardId: number;
  readonly #snapshot: Generation;
  readonly #onReturn: () => void;
  #isReturned = false;

  /** Use `reader.borrow`. */
  constructor(snapshot: Generation, shardId: number, onReturn: () => void) {
    snapshot.borrow();
    this.#snapshot = snapshot;
    this.#onReturn = onReturn;
    this.shardId = shardId;
  }

  /** The snapshot that the handle keeps open. */
  get manifestRef(): string {
    return this.#snapshot.manifestRef;
  }

  /** The value of a key in this shard, or null. */
  async get(key: Key, signal?: AbortSignal): Promise<Uint8Array | null> {
    return await this.#reader()?.get(this.#encode(key), signal) ?? null;
  }

  /** One entry per key, in the order of the keys. */
  async getMany(keys: readonly Key[], signal?: AbortSignal): Promise<(Uint8Array | null)[]> {
    const reader = this.#reader();
    const encoded = keys.map((key) => this.#encode(key));
    return reader === null ? keys.map(() => null) : await reader.getMany(encoded, signal);
  }

  /** Gives the snapshot back. Calling it again does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isReturned) {
      this.#isReturned = true;
      this.#snapshot.release();
      this.#onReturn();
    }
    return Promise.resolve();
  }

  #reader(): Generation["readers"][number] {
    if (this.#isReturned) throw new ReaderStateError("Cannot use the handle of a shard as it was given back");
    return this.#snapshot.readers[this.shardId]!;
  }

  #encode(key: Key): Uint8Array {
    return key instanceof Uint8Array ? key : encodeKey(this.#snapshot.manifest.keyEncoding, key);
  }
}
