/**
 * Options of a reader: what they are, what they must be, and what they are when left out.
 * @module
 */
import * as v from "valibot";
import type { Backend } from "../backends/backend.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { EventSink } from "../events.ts";
import { functionOf, objectWith, parseOptions, positiveInteger, positiveNumber, wholeNumber } from "../options.ts";
import type { RoutingColumns } from "../routing/router.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { ReadableStore } from "../stores/store.ts";

/**
 * How shards are made available: `"memory"` and `"download"` take whole files, checked byte by byte, when the snapshot
 * is opened. `"auto"` takes memory for snapshots of up to 256 MiB, else the disk. `"range"` and `"hydrate"` come with a
 * later version.
 *
 * In memory a shard takes what its file takes. After many lookups, about one for every 16 rows of 100 bytes, a SQLite
 * shard also gets an index of 6.4 bytes a row; building it adds about 20 µs to each of the lookups that do it.
 */
export type AccessMode = "auto" | "memory" | "download";

/** Which snapshot to read instead of the current one: its ref, its place in the history (0 is newest), or its run. */
export type SnapshotPin = string | { readonly offset: number } | { readonly runId: string };

/** Options of `openSnapshot`. */
export interface OpenSnapshotOptions {
  /** The place of the snapshot series. */
  readonly store: ReadableStore;
  /** Where manifests and the pointer are kept. Default: in `store`. */
  readonly manifestStore?: ManifestReader | undefined;
  /** Name of the pointer object. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /** What a shard is made of. Default: what the manifest says. */
  readonly backend?: Backend | undefined;
  /** @default {"auto"} */
  readonly access?: AccessMode | undefined;
  /** Folder for downloaded shards, kept for the next reader. Default: a temporary one, removed with the reader. */
  readonly cacheDir?: string | undefined;
  /** Shards that are fetched at the same time. @default {8} */
  readonly concurrencyMax?: number | undefined;
  /** Longest time of one GET, its whole body included, in milliseconds. Default: what the store's client allows. */
  readonly timeoutMs?: number | undefined;
  /** How many older snapshots to try when the manifest of the current one cannot be parsed. @default {3} */
  readonly fallbackAttempts?: number | undefined;
  /** Read this snapshot, and stay with it. Default: the current one. */
  readonly pin?: SnapshotPin | undefined;
  /** Looked-up keys per second, over all calls. Default: no limit. */
  readonly rateLimit?: { readonly keysPerSecond: number } | undefined;
  /**
   * Finds the store of refs that do not lie under the snapshot's own place. Is given the URL of the folder of a shard
   * or manifest, where the keys of the store that it gives must begin. Default: such refs are errors.
   */
  readonly resolveStore?: ((url: string) => ReadableStore) | undefined;
  /** Takes metric events: `reader.…` and `rate_limiter.throttled`. */
  readonly onEvent?: EventSink | undefined;
  /** Aborts the opening. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** Options with defaults filled in. */
export interface CheckedOpenOptions extends OpenSnapshotOptions {
  readonly pointerKey: string;
  readonly access: AccessMode;
  readonly concurrencyMax: number;
  readonly fallbackAttempts: number;
  readonly clock: Clock;
}

/** What every lookup takes. */
export interface LookUpOptions {
  /** Values of the columns that the routing expression looks at; not needed with hash sharding. */
  readonly columns?: RoutingColumns;
  /** Aborts the lookup. */
  readonly signal?: AbortSignal;
}

const nonEmpty = v.pipe(v.string("a non-empty string"), v.minLength(1, "a non-empty string"));

const schema: v.GenericSchema<OpenSnapshotOptions, CheckedOpenOptions> = v.strictObject({
  store: objectWith<ReadableStore>("a store, such as fsStore(…)", "url", "get", "getRanges"),
  manifestStore: v.optional(objectWith<ManifestReader>("a manifest store", "loadCurrent", "loadManifest")),
  pointerKey: v.optional(nonEmpty, "_CURRENT"),
  backend: v.optional(objectWith<Backend>("a backend such as sqliteBackend()", "spec", "openShard")),
  access: v.optional(
    v.picklist(["auto", "memory", "download"], '"auto", "memory" or "download" in this version'),
    "auto",
  ),
  cacheDir: v.optional(nonEmpty),
  concurrencyMax: v.optional(positiveInteger, 8),
  timeoutMs: v.optional(positiveNumber),
  fallbackAttempts: v.optional(wholeNumber, 3),
  pin: v.optional(
    v.union(
      [nonEmpty, v.strictObject({ offset: wholeNumber }), v.strictObject({ runId: nonEmpty })],
      "a manifest's ref, { offset } or { runId }",
    ),
  ),
  rateLimit: v.optional(v.strictObject({ keysPerSecond: positiveNumber })),
  resolveStore: v.optional(functionOf<(url: string) => ReadableStore>()),
  onEvent: v.optional(functionOf<EventSink>()),
  signal: v.optional(v.instance(AbortSignal, "an AbortSignal")),
  clock: v.optional(objectWith<Clock>("a clock", "nowMicros", "monotonicMs", "sleep"), systemClock),
}) as unknown as v.GenericSchema<OpenSnapshotOptions, CheckedOpenOptions>;

/** @throws {ConfigValidationError} naming the first wrong option. */
export function checkOpenOptions(options: OpenSnapshotOptions): CheckedOpenOptions {
  return parseOptions(schema, options);
}
