/**
 * The router of a job: the very code that readers route lookups with.
 * @module
 */
import { celRouter } from "../routing/cel_router.ts";
import { hashRouter } from "../routing/hash_router.ts";
import { keyPacker, maxKeyBytes } from "../routing/key.ts";
import { routePackedByHash } from "../routing/packed_hash_router.ts";
import type { Router } from "../routing/router.ts";
import { PackedBuilder } from "../write/packed_builder.ts";
import { ConfigValidationError } from "../errors.ts";
import type { JobSpec } from "./job.ts";
import type { JobBatch } from "./job_rows.ts";

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

/** Routes whole batches; keys are packed into arrays that are used again. */
export class BatchRouter {
  readonly #spec: JobSpec;
  readonly #router: Router;
  readonly #packed = new PackedBuilder({ rows: 1024, bytes: 1 << 14 });

  /** @throws {ConfigValidationError} as {@linkcode jobRouter}. */
  constructor(spec: JobSpec) {
    this.#spec = spec;
    this.#router = jobRouter(spec);
  }

  /**
   * The shard of each row.
   *
   * @param located What an error about a row becomes, given the row's place in the batch.
   */
  route(batch: JobBatch, located: (error: unknown, index: number) => unknown): Int32Array<ArrayBuffer> {
    const shardIds = new Uint32Array(batch.rowCount);
    let index = 0;
    try {
      if (this.#spec.sharding.strategy === "hash") {
        const { keyEncoding, shardCount } = this.#spec;
        const packed = this.#packed;
        const pack = keyPacker(keyEncoding);
        packed.clear();
        for (; index < batch.rowCount; index++) {
          const key = batch.key(index);
          packed.reserve(maxKeyBytes(keyEncoding, key));
          const start = packed.usedBytes;
          const length = pack(key, packed.bytes, start) - start;
          packed.commit(length, length);
        }
        routePackedByHash(packed, keyEncoding, { shardCount, shardIds });
      } else {
        for (; index < batch.rowCount; index++) {
          shardIds[index] = this.#router.route(batch.key(index), batch.routingColumns(index));
        }
      }
    } catch (error) {
      throw located(error, index);
    }
    return new Int32Array(shardIds.buffer);
  }
}
