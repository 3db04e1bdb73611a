/**
 * The validator that reads everything: whether what was uploaded is what was meant to be, to its last byte.
 * @module
 */
import { ConfigValidationError, SnapshotValidationError } from "../errors.ts";
import { anyFunction, checkFields, integerFrom, optional } from "../option_fields.ts";
import { checkVerifyOptions, type VerifyProgress } from "../verify/verify_options.ts";
import type { SnapshotProblem } from "../verify/verify_report.ts";
import { verifyManifest } from "../verify/verify_snapshot.ts";
import { candidateOf } from "./candidate.ts";
import type { SnapshotValidator } from "./validators.ts";

/** Options of {@linkcode fullVerify}. */
export interface FullVerifyOptions {
  /** Shards that are checked at the same time. @default {2} */
  readonly concurrencyMax?: number | undefined;
  /** Called after each shard, and while large ones are read. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** So many problems stand in the error's message; the others are counted. */
const TOLD_MAX = 10;

/**
 * Refuses snapshots of which a byte, a key or a count in the store is not what the manifest will say: what
 * `verifySnapshot` checks, before anyone else sees the snapshot. It finds what a store, a network or a disk did to the
 * files on their way; what is wrong with the rows themselves is for `rowCountDrift` and `sampleRows`.
 *
 * Reads every object of the snapshot once, and takes 64 MiB of memory; one core checks 100 to 200 MB a second.
 *
 * @returns A validator for the option `validate` of `writeSnapshot`, which throws {@linkcode SnapshotValidationError}
 * with the problems that were found; the store's errors.
 * @throws {ConfigValidationError} when an option is wrong; from the validator, when it is given another reader.
 *
 * @example
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { fullVerify } from "./full_verify.ts";
 * import { writeSnapshot } from "./write_snapshot.ts";
 *
 * const sharding = hashSharding({ shards: 2 });
 * const options = { store: memoryStore(), sharding, key: (row: number) => row, value: () => "" };
 * await writeSnapshot([1, 2, 3], { ...options, validate: fullVerify() });
 * ```
 */
export function fullVerify(options: FullVerifyOptions = {}): SnapshotValidator {
  checkFields(options, "", { concurrencyMax: optional(integerFrom(1)), onProgress: optional(anyFunction) });
  return async (candidate) => {
    const judged = candidateOf(candidate);
    if (judged === undefined) {
      throw new ConfigValidationError(
        "Cannot use the validator fullVerify as it is for the option `validate` of a write: " +
          "of what is published, verifySnapshot checks every byte",
        "validate",
      );
    }
    const { manifest, ref, store, backend, signal } = judged;
    const checked = checkVerifyOptions(store, { ...options, backend, signal });
    const { isSound, problems, problemCount } = await verifyManifest({ manifest, ref, store }, checked);
    if (isSound) return;
    const others = problemCount > TOLD_MAX ? `; and ${problemCount - TOLD_MAX} more` : "";
    throw new SnapshotValidationError(
      `Cannot publish snapshot "${manifest.runId}" as its objects in the store are not what was uploaded: ` +
        `${problems.slice(0, TOLD_MAX).map(textOf).join("; ")}${others}`,
      "fullVerify",
    );
  };
}

function textOf({ shardId, object, kind, message, byteOffset }: SnapshotProblem): string {
  const place = byteOffset === undefined ? "" : ` at byte ${byteOffset}`;
  return `${shardId === null ? "snapshot" : `shard ${shardId}`}, ${kind}: ${message} ("${object}"${place})`;
}
