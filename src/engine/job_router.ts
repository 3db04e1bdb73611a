/**
 * The router of a job: the very code that readers route lookups and searches with.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { celRouter } from "../routing/cel_router.ts";
import { hashRouter } from "../routing/hash_router.ts";
import { keyPacker, maxKeyBytes } from "../routing/key.ts";
import { routePackedByHash } from "../routing/packed_hash_router.ts";
import type { Router } from "../routing/router.ts";
import type { ReadableStore } from "../stores/store.ts";
import { VectorCellPacker } from "../vector/vector_cell.ts";
import { PackedBuilder } from "../write/packed_builder.ts";
import type { Job, JobSpec } from "./job.ts";
import type { JobBatch } from "./job_rows.ts";
import { vectorJobRouter } from "./job_vectors.ts";

/** @throws {ConfigValidationError} with path `job.spec.sharding`, when the expression is not supported. */
export function jobRouter({ sharding, shardCount, celNul }: JobSpec): Router {
  if (sharding.strategy === "hash") return hashRouter(shardCount);
  try {
    return celRouter(sharding, shardCount, { nul: celNul });
  } catch (error) {
    if (!(error instanceof ConfigValidationError)) throw error;
    throw new ConfigValidationError(error.message, "job.spec.sharding", { cause: error });
  }
}

/**
 * The same for jobs whose vectors tell the shard, too.
 *
 * @param place.store The place that the job names; only needed for centroids and hyperplanes.
 */
export async function openJobRouter(
  job: Job,
  place: { readonly store: ReadableStore | undefined; readonly signal: AbortSignal },
): Promise<Router> {
  const { vector } = job.spec;
  const sharding = vector?.sharding ?? null;
  if (vector === null || sharding === null) return jobRouter(job.spec);
  return await vectorJobRouter(job, { ...vector, sharding }, place);
}

/** What an error about a row becomes, given the row's place in the batch. */
export type Located = (error: unknown, index: number) => unknown;

/** Packed vectors are so many at a time, however large a batch is. */
const VECTORS_AT_ONCE = 512;

/** Routes whole batches; what is packed of rows goes into arrays that are used again. */
export class BatchRouter {
  readonly #spec: JobSpec;
  readonly #router: Router;
  readonly #packed = new PackedBuilder({ rows: 1024, bytes: 1 << 14 });
  readonly #vectors: VectorCellPacker | null;

  constructor(spec: JobSpec, router: Router) {
    this.#spec = spec;
    this.#router = router;
    this.#vectors = router.routePacked === undefined || spec.vector === null ? null : new VectorCellPacker(spec.vector);
  }

  /** The shard of each row. */
  route(batch: JobBatch, located: Located): Int32Array<ArrayBuffer> {
    const shardIds = new Uint32Array(batch.rowCount);
    const { sharding, vector } = this.#spec;
    if (this.#vectors !== null) this.#routeByVectors(batch, { shardIds, located });
    else if (vector?.sharding == null && sharding.strategy === "hash") this.#routeByKeys(batch, { shardIds, located });
    else {
      for (let index = 0; index < batch.rowCount; index++) {
        try {
          shardIds[index] = this.routeRow(batch, index);
        } catch (error) {
          throw located(error, index);
        }
      }
    }
    return new Int32Array(shardIds.buffer);
  }

  /** The shard of one row. */
  routeRow(batch: JobBatch, index: number): number {
    const { sharding, vector } = this.#spec;
    if (vector?.sharding?.strategy === "explicit") return batch.shardId(index, vector.sharding.column);
    if (this.#vectors !== null) {
      this.#packed.clear();
      this.#packVector(batch, index, this.#vectors);
      const shardIds = new Uint32Array(1);
      this.#router.routePacked!(this.#packed, shardIds);
      return shardIds[0]!;
    }
    return this.#router.route(
      batch.key(index),
      sharding.strategy === "hash" ? undefined : batch.routingColumns(index),
    );
  }

  #routeByKeys(batch: JobBatch, { shardIds, located }: { shardIds: Uint32Array; located: Located }): void {
    const { keyEncoding, shardCount } = this.#spec;
    const packed = this.#packed;
    const pack = keyPacker(keyEncoding);
    packed.clear();
    for (let index = 0; index < batch.rowCount; index++) {
      try {
        const key = batch.key(index);
        packed.reserve(maxKeyBytes(keyEncoding, key));
        const start = packed.usedBytes;
        const length = pack(key, packed.bytes, start) - start;
        packed.commit(length, length);
      } catch (error) {
        throw located(error, index);
      }
    }
    routePackedByHash(packed, keyEncoding, { shardCount, shardIds });
  }

  #routeByVectors(batch: JobBatch, { shardIds, located }: { shardIds: Uint32Array; located: Located }): void {
    for (let start = 0; start < batch.rowCount; start += VECTORS_AT_ONCE) {
      const end = Math.min(start + VECTORS_AT_ONCE, batch.rowCount);
      this.#packed.clear();
      for (let index = start; index < end; index++) {
        try {
          this.#packVector(batch, index, this.#vectors!);
        } catch (error) {
          throw located(error, index);
        }
      }
      this.#router.routePacked!(this.#packed, shardIds.subarray(start, end));
    }
  }

  /** A row of nothing but its vector. */
  #packVector(batch: JobBatch, index: number, vectors: VectorCellPacker): void {
    const packed = this.#packed;
    packed.reserve(vectors.prepare(batch.vectorOrRefuse(index), ""));
    const start = packed.usedBytes;
    packed.commit(0, vectors.put(packed.bytes, start, null) - start);
  }
}
