/**
 * Options of `verifySnapshot`.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { ConfigValidationError } from "../errors.ts";
import {
  anyFunction,
  checkFields,
  integerFrom,
  nonEmptyString,
  objectOf,
  optional,
  signalCheck,
  storeCheck,
} from "../option_fields.ts";
import type { SnapshotPin } from "../read/read_options.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { ReadableStore } from "../stores/store.ts";

/** How far a check has come. */
export interface VerifyProgress {
  /** Shards that were checked. */
  readonly shardsDone: number;
  /** How many shards are checked. */
  readonly shards: number;
  /** Length of what was read so far. */
  readonly bytesRead: number;
}

/** Options of `verifySnapshot`. At most one of `ref`, `offset` and `runId` chooses the snapshot. */
export interface VerifyOptions {
  /** URL of the manifest of the snapshot. Default: the current one. */
  readonly ref?: string | undefined;
  /** Its place in the history, 0 is the newest. */
  readonly offset?: number | undefined;
  /** Its run. */
  readonly runId?: string | undefined;
  /** Where manifests and the pointer are kept. Default: in the store. */
  readonly manifestStore?: ManifestReader | undefined;
  /** Name of the pointer object. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /** Finds the store of shards and manifests that do not lie under the snapshot's own place, as for readers. */
  readonly resolveStore?: ((url: string) => ReadableStore) | undefined;
  /** What a shard is made of. Default: what the manifest says. */
  readonly backend?: Backend | undefined;
  /** Numbers of the shards to check. Default: all. */
  readonly shards?: readonly number[] | undefined;
  /**
   * Shards that are checked at the same time. Together their files take 64 MiB of memory at most; larger files go
   * through temporary ones.
   * @default {2}
   */
  readonly concurrencyMax?: number | undefined;
  /** Aborts the check. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each shard, and while large ones are read. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** Options that were checked. */
export interface CheckedVerifyOptions extends VerifyOptions {
  readonly pointerKey: string;
  readonly concurrencyMax: number;
  /** Undefined for the current snapshot. */
  readonly pin: SnapshotPin | undefined;
}

const checks = {
  ref: optional(nonEmptyString),
  offset: optional(integerFrom(0)),
  runId: optional(nonEmptyString),
  manifestStore: optional(objectOf("a manifest store", "loadCurrent", "loadManifest")),
  pointerKey: optional(nonEmptyString),
  resolveStore: optional(anyFunction),
  backend: optional(objectOf("a backend such as sqliteBackend()", "spec", "openShard")),
  shards: optional(shardNumbers),
  concurrencyMax: optional(integerFrom(1)),
  signal: optional(signalCheck),
  onProgress: optional(anyFunction),
};

/** Checks options and fills in defaults. @throws {ConfigValidationError} naming the first wrong one. */
export function checkVerifyOptions(store: ReadableStore, options: VerifyOptions): CheckedVerifyOptions {
  checkFields({ store }, "", { store: storeCheck });
  checkFields(options, "", checks);
  const { ref, offset, runId, pointerKey = "_CURRENT", concurrencyMax = 2 } = options;
  const given = Object.entries({ ref, offset, runId }).flatMap(([name, value]) => value === undefined ? [] : [name]);
  if (given.length > 1) {
    throw new ConfigValidationError(
      `Cannot use the options "${given.join('" and "')}" together as one of them chooses the snapshot: give one`,
      given[1]!,
    );
  }
  const pin = offset === undefined ? runId === undefined ? ref : { runId } : { offset };
  return { ...options, pointerKey, concurrencyMax, pin };
}

function shardNumbers(value: unknown): string | null {
  const isRight = Array.isArray(value) && value.every((shardId) => Number.isSafeInteger(shardId) && shardId >= 0);
  return isRight ? null : "an array of numbers of shards";
}
