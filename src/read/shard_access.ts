/**
 * Makes shards available in the way that was asked for: the interface, whole files in memory, and ranges.
 * @module
 */
import type { ShardFile, ShardOpener, ShardReader } from "../backends/backend.ts";
import { ConfigValidationError } from "../errors.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { AccessMode } from "./read_options.ts";
import type { Requests } from "./requests.ts";
import { checkContent, type DigestFactory, requestShard } from "./shard_content.ts";
import type { ShardObject } from "./shard_objects.ts";
import type { ShardTallies } from "./shard_tallies.ts";

/** A mode that was chosen. */
export type ChosenMode = Exclude<AccessMode, "auto">;

/** Opens shards; disposing removes what it left on disk for them. */
export interface ShardAccess extends AsyncDisposable {
  readonly mode: ChosenMode;
  /** Whether shards are opened when they are first asked for; opening sends no request then. */
  readonly isLazy: boolean;
  /** Whether shards are opened when they are first asked for, and closed when too many others are. Default: at once. */
  readonly isOpenedLate?: boolean;
  /** Shards that are read from files by now, though they were opened over ranges; missing where none ever is. */
  readonly hydratedCount?: number;
  /** @throws {CorruptFileError} when the file is not what was published; the store's errors. */
  open(object: ShardObject, signal?: AbortSignal): Promise<ShardReader>;
}

/** How large a snapshot is. */
export interface SnapshotSize {
  /** All shards together. */
  readonly sizeBytes: number;
  readonly largestBytes: number;
}

/** From here on `"auto"` reads ranges, as the Python package does: a shard's size, and that of all. */
const RANGE_SHARD_BYTES = 16 * 1024 * 1024;
const RANGE_TOTAL_BYTES = 2 * 1024 * 1024 * 1024;
/** Snapshots up to this size are held in memory by `"auto"` where there is a disk too. */
const MEMORY_BYTES = 256 * 1024 * 1024;

/** What `"auto"` takes for a snapshot of this size, where there is a disk. */
export function autoMode({ sizeBytes, largestBytes }: SnapshotSize): ChosenMode {
  if (largestBytes >= RANGE_SHARD_BYTES || sizeBytes >= RANGE_TOTAL_BYTES) return "range";
  return sizeBytes <= MEMORY_BYTES ? "memory" : "download";
}

/**
 * The mode that was asked for, if the engine can read shards in that way.
 *
 * @param chosen What `"auto"` would take.
 * @throws {ConfigValidationError} when it cannot.
 */
export function checkedMode(access: AccessMode, opener: ShardOpener, chosen: ChosenMode): ChosenMode {
  const isRangeFit = canRange(opener);
  const isFileFit = canOpen(opener, "memory", "file");
  if (access === "auto") {
    if (!isFileFit) return "range";
    return chosen === "range" && !isRangeFit ? "download" : chosen;
  }
  const isRange = access === "range" || access === "hydrate";
  if (isRange ? isRangeFit && (isFileFit || access === "range") : isFileFit) return access;
  throw new ConfigValidationError(
    `Cannot use option "access" as it must be ${isFileFit ? '"memory" or "download"' : '"range"'} with this engine: ` +
      `current value is "${access}"`,
    "access",
  );
}

/** Whether the engine can read parts of shards. */
export function canRange(opener: ShardOpener): boolean {
  return canOpen(opener, "remote");
}

/** Whether the engine opens one of these kinds of files. Backends of one's own that do not say open whole files. */
function canOpen({ opens }: ShardOpener, ...kinds: ShardFile["kind"][]): boolean {
  const known: readonly string[] = (opens as ShardOpener["opens"] | undefined) ?? ["memory", "file"];
  return kinds.some((kind) => known.includes(kind));
}

/** What taking whole files takes. */
export interface FileMeans {
  readonly opener: ShardOpener;
  readonly requests: Requests;
  readonly tallies: ShardTallies;
  readonly createDigest: DigestFactory;
}

/** The shard as it is taken whole: its request counts, and may take as long as the file is. */
export function wholeShard(object: ShardObject, { requests, tallies }: FileMeans): ShardObject {
  return { ...object, store: requests.store(object.store, { tally: tallies.of(object.shardId), isBulk: true }) };
}

/** How large a snapshot is. */
export function sizeOf({ shards }: Manifest): SnapshotSize {
  let sizeBytes = 0;
  let largestBytes = 0;
  for (const { dbBytes } of shards) {
    sizeBytes += dbBytes;
    largestBytes = Math.max(largestBytes, dbBytes);
  }
  return { sizeBytes, largestBytes };
}

/** Whole shards in memory. */
export function memoryAccess(means: FileMeans): ShardAccess {
  const { opener, createDigest } = means;
  return {
    mode: "memory",
    isLazy: false,
    async open(object, signal) {
      const stored = await requestShard(wholeShard(object, means), signal);
      const bytes = await stored.bytes();
      const check = await checkContent(object, createDigest);
      check.update(bytes);
      check.finish();
      return await opener.openShard({ kind: "memory", bytes });
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
