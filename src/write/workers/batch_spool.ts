/**
 * Batches put aside on disk as they are sent to a worker, for another one in its place.
 * @module
 */
import type { ByteSpool, ScratchSpace } from "../../bytes/spool.ts";
import type { ShardBatch } from "../../rows.ts";
import { decodePacked, encodePacked } from "../packed_builder.ts";

const SHARD_ID_BYTES = 4;

/** Keeps batches in order. What a broken disk gives back is an error, never a row. */
export class BatchSpool implements AsyncDisposable {
  readonly #space: ScratchSpace;
  /** A spool that was read takes nothing more: reading ends one and the next begins. */
  readonly #spools: ByteSpool[] = [];
  #open: ByteSpool | undefined;

  constructor(space: ScratchSpace) {
    this.#space = space;
  }

  /** Writes a batch; its arrays may be reused afterwards. One call at a time. */
  async append(batch: ShardBatch): Promise<void> {
    if (this.#open === undefined) this.#spools.push(this.#open = await this.#space.openSpool());
    await this.#open.append(new Uint8Array(Uint32Array.of(batch.shardId).buffer), ...encodePacked(batch));
  }

  /** All batches so far, in order of arrival; their arrays are the caller's. @throws {CorruptFileError} */
  async *read(): AsyncGenerator<ShardBatch> {
    this.#open = undefined;
    for (const spool of [...this.#spools]) {
      for await (const piece of spool.read()) {
        const shardId = new Uint32Array(piece.buffer, piece.byteOffset, 1)[0]!;
        yield { shardId, isPaid: true, ...decodePacked(piece.subarray(SHARD_ID_BYTES)) };
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const spool of this.#spools.splice(0)) await spool[Symbol.asyncDispose]();
  }
}
