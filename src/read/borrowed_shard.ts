/**
 * A handle on one shard of one snapshot.
 * @module
 */
import { ReaderStateError } from "../errors.ts";
import { encodeKey, type Key } from "../routing/key.ts";
import type { Generation } from "./generation.ts";

/** What a handle has to give back; apart from it, so that it can be given back when the handle is forgotten. */
interface Loan {
  readonly snapshot: Generation;
  readonly onReturn: () => void;
  isReturned: boolean;
}

/**
 * Reads one shard of the snapshot that was active when the handle was taken, whatever is refreshed or closed since.
 * Keys that are bytes are taken as encoded keys; others are encoded as the snapshot's keys are. No key is routed.
 *
 * Dispose of it, with `await using`, so that the snapshot can be closed. A handle that is forgotten is given back when
 * it is collected as garbage, whenever that may be.
 */
export class BorrowedShard implements AsyncDisposable {
  /** The shard, from 0. */
  readonly shardId: number;
  readonly #loan: Loan;

  /** Use `reader.borrow`. */
  constructor(snapshot: Generation, shardId: number, onReturn: () => void) {
    snapshot.borrow();
    this.shardId = shardId;
    this.#loan = { snapshot, onReturn, isReturned: false };
    watch(this, this.#loan);
  }

  /** The snapshot that the handle keeps open. */
  get manifestRef(): string {
    return this.#loan.snapshot.manifestRef;
  }

  /**
   * The value of a key in this shard, or null. The value is a copy.
   *
   * @throws {ConfigValidationError} when the snapshot cannot have such a key.
   * @throws {CorruptFileError} when the shard is damaged.
   * @throws {ReaderStateError} when the handle was given back.
   */
  async get(key: Key, signal?: AbortSignal): Promise<Uint8Array | null> {
    const [value] = await this.getMany([key], signal);
    return value!;
  }

  /**
   * One entry per key, in the order of the keys.
   *
   * @throws as `get`.
   */
  async getMany(keys: readonly Key[], signal?: AbortSignal): Promise<(Uint8Array | null)[]> {
    const { snapshot, isReturned } = this.#loan;
    if (isReturned) throw new ReaderStateError("Cannot use the handle of a shard as it was given back");
    signal?.throwIfAborted();
    const { keyEncoding } = snapshot.manifest;
    const encoded = keys.map((key) => key instanceof Uint8Array ? key : encodeKey(keyEncoding, key));
    // Its own borrow, as the handle may be given back meanwhile.
    return await snapshot.whileOpen(async () => {
      const reader = await snapshot.readerAt(this.shardId, signal);
      return reader === null ? keys.map(() => null) : await reader.getMany(encoded, signal);
    });
  }

  /** Gives the snapshot back. Calling it again does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    giveBack(this.#loan);
    forgottenHandles?.unregister(this.#loan);
    return Promise.resolve();
  }
}

/** Made with the first handle; not every runtime has such registries. */
let forgottenHandles: FinalizationRegistry<Loan> | undefined;

function watch(handle: BorrowedShard, loan: Loan): void {
  if (typeof FinalizationRegistry === "undefined") return;
  forgottenHandles ??= new FinalizationRegistry(giveBack);
  forgottenHandles.register(handle, loan, loan);
}

function giveBack(loan: Loan): void {
  if (loan.isReturned) return;
  loan.isReturned = true;
  loan.snapshot.release();
  loan.onReturn();
}
