/**
 * Options of a reader: what they are, what they must be, and what they are when left out.
 *
 * Checked by hand, as readers at the edge have no room for a schema library.
 * @module
 */
import type { Backend, ShardOpener } from "../backends/backend.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { EventSink } from "../events.ts";
import {
  anyFunction,
  checkFields,
  clockCheck,
  type FieldCheck,
  integerFrom,
  nonEmptyString,
  numberAboveZero,
  objectOf,
  optional,
  signalCheck,
  storeCheck,
} from "../option_fields.ts";
import type { Key } from "../routing/key.ts";
import type { Router, RoutingColumns, RoutingSpec } from "../routing/router.ts";
import type { Tracer } from "../spans.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { ReadableStore } from "../stores/store.ts";

/**
 * How shards are made available.
 *
 * - `"memory"` and `"download"` take whole files, checked byte by byte, when the snapshot is opened. Lookups then cost
 *   no request. In memory a shard takes what its file takes, and after many lookups 6.4 bytes a row for an index.
 * - `"range"` fetches what a lookup needs, when it needs it: one GET for a row, none for a key that does not exist.
 * - `"hydrate"` reads ranges at first, downloads the shards meanwhile, those that were asked first, and then reads each
 *   one's file, checked byte by byte. A shard that cannot be downloaded stays in the store, with a warning.
 * - `"auto"` takes `"range"` when one shard has 16 MiB, when all have 2 GiB, and when there are more than 10,000; else
 *   whole files: in memory up to 256 MiB, else on disk. The reader of `./reader` always reads ranges.
 */
export type AccessMode = "auto" | "memory" | "download" | "range" | "hydrate";

/** Which snapshot to read instead of the current one: its ref, its place in the history (0 is newest), or its run. */
export type SnapshotPin = string | { readonly offset: number } | { readonly runId: string };

/** What readers of every kind take. */
export interface ReaderOptions {
  /** The place of the snapshot series. */
  readonly store: ReadableStore;
  /** Where manifests and the pointer are kept. Default: in `store`. */
  readonly manifestStore?: ManifestReader | undefined;
  /** Name of the pointer object. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /**
   * Memory for pages that were read, sidecars and guards, in bytes, where ranges are read.
   * @default {67108864}
   */
  readonly cacheBytesMax?: number | undefined;
  /**
   * Shards that are opened, and requests that are under way, at the same time. Workers of Cloudflare may have 6.
   * @default {8}
   */
  readonly concurrencyMax?: number | undefined;
  /**
   * Longest time of one request, its whole body and its repetitions included, in milliseconds. Default: 30 seconds, and
   * no limit for whole shards.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Asks a second time for a range that has not come after so many milliseconds, and takes what comes first. Worth it
   * above the time that 95 of 100 requests take. Default: never.
   */
  readonly hedgeAfterMs?: number | undefined;
  /** How many older snapshots to try when the manifest of the current one cannot be parsed. @default {3} */
  readonly fallbackAttempts?: number | undefined;
  /**
   * Finds the store of refs that do not lie under the snapshot's own place. Is given the URL of the folder of a shard
   * or manifest, where the keys of the store that it gives must begin. Default: such refs are errors.
   */
  readonly resolveStore?: ((url: string) => ReadableStore) | undefined;
  /**
   * Takes metric events: `reader.…`, `vector.reader.…` and `rate_limiter.throttled`. The reader of `./reader` tells
   * when it is opened, refreshed and closed.
   */
  readonly onEvent?: EventSink | undefined;
  /** Aborts the opening. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** Options of `openSnapshot`. */
export interface OpenSnapshotOptions extends ReaderOptions {
  /** What a shard is made of. Default: what the manifest says. */
  readonly backend?: Backend | undefined;
  /** How shards are made available. @default {"auto"} */
  readonly access?: AccessMode | undefined;
  /** Folder for downloaded shards, kept for the next reader. Default: a temporary one, removed with the reader. */
  readonly cacheDir?: string | undefined;
  /** What hydrating may take. */
  readonly hydrate?: HydrateOptions | undefined;
  /** Handles of an engine's own that a shard may have. The engines of this version need one. @default {4} */
  readonly poolSize?: number | undefined;
  /** Read this snapshot, and stay with it. Default: the current one. */
  readonly pin?: SnapshotPin | undefined;
  /**
   * Watches lookups, searches and the GET requests to the store as spans: `otelTracer()` of `./metrics/otel`. A lookup
   * that reads from memory costs a few microseconds with it, and nothing without.
   */
  readonly tracer?: Tracer | undefined;
  /** Looked-up keys per second, over all calls. Default: no limit. */
  readonly rateLimit?: { readonly keysPerSecond: number } | undefined;
}

/**
 * What `access: "hydrate"` may take from lookups that go on meanwhile. At most half of the requests that
 * `concurrencyMax` allows are sent for it, but at least one.
 */
export interface HydrateOptions {
  /** Over all shards, in the long run: what was saved up in a second may come at once. Default: no limit. */
  readonly bytesPerSecond?: number | undefined;
  /** For the shards of one snapshot; those that would exceed it stay in the store. Default: no limit. */
  readonly diskBytesMax?: number | undefined;
  /**
   * Bytes of one request; as many are in memory for each of them. With `bytesPerSecond` at most what comes in a second.
   * @default {8388608}
   */
  readonly partBytes?: number | undefined;
  /** Shards that are downloaded, or checked in the cache, at the same time. @default {2} */
  readonly shardsAtOnce?: number | undefined;
}

/** Makes the router of a snapshot; null when it is sharded by another strategy. */
export type RouterMaker = (spec: RoutingSpec, shardCount: number) => Router | null;

/** Options with defaults filled in. */
export interface CheckedOptions extends Omit<OpenSnapshotOptions, "backend"> {
  readonly backend?: ShardOpener | undefined;
  readonly routers?: readonly RouterMaker[] | undefined;
  readonly pointerKey: string;
  readonly access: AccessMode;
  readonly cacheBytesMax: number;
  readonly concurrencyMax: number;
  readonly fallbackAttempts: number;
  readonly clock: Clock;
}

/** What every lookup takes. */
export interface LookUpOptions {
  /**
   * Values of the columns that the routing expression looks at. A column `key` that is left out is the key itself. Not
   * needed with hash sharding, nor where the expression looks at the key alone.
   */
  readonly columns?: RoutingColumns;
  /** Aborts the lookup. */
  readonly signal?: AbortSignal;
}

/** Columns of many keys: the same for all, so that they are looked up in one shard, or each key's own. */
export type ManyColumns<K extends Key = Key> =
  | RoutingColumns
  | ReadonlyMap<K, RoutingColumns>
  | ((key: K) => RoutingColumns);

/** What lookups of many keys take. */
export interface ManyLookUpOptions<K extends Key = Key> extends Omit<LookUpOptions, "columns"> {
  /** As for one key: for all of them, or as a Map by key or a function of the key. */
  readonly columns?: ManyColumns<K>;
}

/** The checks of what all readers take. */
export const readerChecks: Readonly<Record<string, FieldCheck>> = {
  store: storeCheck,
  manifestStore: optional(objectOf("a manifest store", "loadCurrent", "loadManifest")),
  pointerKey: optional(nonEmptyString),
  cacheBytesMax: optional(integerFrom(0)),
  concurrencyMax: optional(integerFrom(1)),
  timeoutMs: optional(numberAboveZero),
  hedgeAfterMs: optional(numberAboveZero),
  fallbackAttempts: optional(integerFrom(0)),
  resolveStore: optional(anyFunction),
  onEvent: optional(anyFunction),
  signal: optional(signalCheck),
  clock: optional(clockCheck),
};

/** Passed by what is among the words. */
export function oneOf(...words: readonly string[]): FieldCheck {
  const expected = `one of ${words.map((word) => `"${word}"`).join(", ")}`;
  return (value) => words.includes(value as string) ? null : expected;
}

/**
 * Checks options and fills in defaults.
 *
 * @throws {ConfigValidationError} naming the first wrong option.
 */
export function checkOptions(
  options: ReaderOptions & { readonly access?: AccessMode | undefined },
  checks: Readonly<Record<string, FieldCheck>>,
): CheckedOptions {
  checkFields(options, "", checks);
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return Object.freeze({
    pointerKey: "_CURRENT",
    access: "auto",
    cacheBytesMax: 1 << 26,
    concurrencyMax: 8,
    fallbackAttempts: 3,
    clock: systemClock(),
    ...given,
  } as CheckedOptions);
}
