/**
 * Builds of a few shards out of all rows: for job queues, where nothing brings the rows of a shard together.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { Router } from "../routing/router.ts";
import type { RoutedCounts } from "./count_records.ts";
import type { JobSpec } from "./job.ts";
import type { JobBatch } from "./job_rows.ts";
import { BatchRouter } from "./job_router.ts";
import { locatedError } from "./located_errors.ts";

/** Leaves out the rows of other shards, and counts them all: each task of such a job finds the same counts. */
export class ShardFilter {
  readonly #router: BatchRouter;
  readonly #isKept: Uint8Array;
  readonly #counts: Float64Array;
  readonly #inputName: string;
  #rowCount = 0;

  /** @throws {ConfigValidationError} when the job does not have one of the shards. */
  constructor(
    spec: JobSpec,
    router: Router,
    { shardIds, inputName }: { readonly shardIds: readonly number[]; readonly inputName: string },
  ) {
    this.#router = new BatchRouter(spec, router);
    this.#isKept = new Uint8Array(spec.shardCount);
    this.#counts = new Float64Array(spec.shardCount);
    this.#inputName = inputName;
    for (const shardId of shardIds) {
      if (!Number.isInteger(shardId) || shardId < 0 || shardId >= spec.shardCount) {
        throw new ConfigValidationError(
          `Cannot use option "onlyShards" as the job has shards 0 to ${spec.shardCount - 1}: ` +
            `current value is ${shown(shardId)}`,
          "onlyShards",
        );
      }
      this.#isKept[shardId] = 1;
    }
  }

  /** Where in a batch the rows of these shards are. @throws what routing throws, naming row and column. */
  placesIn(batch: JobBatch): Uint32Array {
    const shardIds = this.#router.route(
      batch,
      (error, index) => locatedError(error, `row ${this.#rowCount + index + 1} of ${this.#inputName}`),
    );
    this.#rowCount += batch.rowCount;
    const places = new Uint32Array(shardIds.length);
    let count = 0;
    for (let index = 0; index < shardIds.length; index++) {
      const shardId = shardIds[index]!;
      this.#counts[shardId]!++;
      if (this.#isKept[shardId] === 1) places[count++] = index;
    }
    return places.subarray(0, count);
  }

  /** All rows that there were, of any shard. */
  counts(endedAtMicros: number): RoutedCounts {
    const rowsOffered = new Map<number, number>();
    this.#counts.forEach((count, shardId) => count > 0 && rowsOffered.set(shardId, count));
    return { rowCount: this.#rowCount, rowsOffered, endedAtMicros };
  }
}
