/**
 * Removes what nobody needs any more from the place of a snapshot series: plan, announce, plan again, remove.
 *
 * Manifests go first, then shards, then run records, so that nothing that can be found lacks a part of itself, and an
 * interrupted clean-up is ended by the next one.
 * @module
 */
import * as v from "valibot";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError, StoreError } from "../errors.ts";
import { clockOption, nonEmptyText, objectWith, parseOptions, positiveInteger, signalOption } from "../options.ts";
import type { ObjectStore } from "../stores/store.ts";
import {
  type CleanUpPlan,
  type CleanUpRules,
  counted,
  cutoffOf,
  type KeptRun,
  type KeptSnapshot,
  planCleanUp,
  type RemovedAttempt,
  type RemovedRun,
  type RemovedUpload,
} from "./clean_up_plan.ts";
import { checkSegment, MANIFESTS_PREFIX, runOfKey } from "./layout.ts";
import type { ManifestRef } from "./manifest.ts";
import type { CurrentPointer, ManifestStore } from "./manifest_store.ts";
import { fencedStore, type PreconditionPolicy, preconditionPolicy } from "./preconditions.ts";
import { announceRemoval, fencePointer, isThere, type Removal } from "./removals.ts";
import { SeriesSurveyor } from "./series_survey.ts";

export type {
  KeepReason,
  KeptRun,
  KeptSnapshot,
  RemovedAmount,
  RemovedAttempt,
  RemovedRun,
  RemovedUpload,
} from "./clean_up_plan.ts";

/** Options of {@linkcode cleanUp}. */
export interface CleanUpOptions {
  /**
   * How many of the newest snapshots are kept. The current one is kept too, whether it is among them or not.
   * @default {3}, or all when `maxAgeMs` is given
   */
  readonly keep?: number | undefined;
  /** How old, in milliseconds since their publishing, snapshots may become. Default: any age. */
  readonly maxAgeMs?: number | undefined;
  /**
   * How long snapshots and runs are left alone, in milliseconds: snapshots since they were published, or, if they were
   * current, since another one took their place; runs since the last sign of life in their run records. It should be
   * longer than a reader takes to follow the pointer.
   * @default {3_600_000}
   */
  readonly graceMs?: number | undefined;
  /** Whether old snapshots and runs are removed; false: only stale attempts in the folders of those that stay. */
  readonly oldRuns?: boolean | undefined;
  /**
   * Which attempts in the folders of kept runs are removed: those that no kept manifest names, or, as the Python
   * package does, only those beside the shards of the current manifest.
   * @default {"unreferenced"}
   */
  readonly attempts?: "unreferenced" | "current" | undefined;
  /**
   * Whether runs go that have neither a manifest nor a run record. They may be at work still.
   * @default {false}
   */
  readonly includeUnknownAge?: boolean | undefined;
  /**
   * Where manifests and the pointer are kept. Default: in the store. Such a store forgets no manifest, so all of its
   * snapshots are kept, and what failed runs left goes.
   */
  readonly manifestStore?: ManifestStore | undefined;
  /** Key of the pointer in the store. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /** What the keys of shards begin with. Default: as in the current manifest, else `shards`. */
  readonly shardPrefix?: string | undefined;
  /** What the keys of run records begin with. @default {"runs"} */
  readonly runRegistryPrefix?: string | undefined;
  /** Plans and counts, but removes nothing and writes nothing. @default {false} */
  readonly dryRun?: boolean | undefined;
  /** What to do about a store that ignores preconditions, as for `writeSnapshot`. @default {"require"} */
  readonly preconditions?: PreconditionPolicy | undefined;
  /** Told after each removal. */
  readonly onProgress?: ((progress: CleanUpProgress) => void) | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
  /** Aborts; what has been removed stays removed. */
  readonly signal?: AbortSignal | undefined;
}

/** How far a clean-up is. */
export interface CleanUpProgress {
  /** Manifests, uploads, runs and attempts that were removed or skipped. */
  readonly done: number;
  /** Manifests, uploads, runs and attempts that were planned. */
  readonly total: number;
}

/** What a clean-up removed and what it kept, or would in a dry run. */
export interface CleanUpResult {
  /** Whether nothing was removed. */
  readonly dryRun: boolean;
  /** The current snapshot; null when nothing was ever published: then all manifests are kept. */
  readonly current: ManifestRef | null;
  /** URL of the series, as refs have it; keys of this result lie below it. */
  readonly url: string;
  /** Snapshots that stay, newest first, and why. */
  readonly kept: readonly KeptSnapshot[];
  /** Other runs that stay. */
  readonly keptRuns: readonly KeptRun[];
  /** Snapshots that were removed, newest first. */
  readonly manifests: readonly ManifestRef[];
  /** Runs that were removed: those of the snapshots, and what failed ones left. */
  readonly runs: readonly RemovedRun[];
  /** Attempts that were removed from the folders of runs that stay. */
  readonly attempts: readonly RemovedAttempt[];
  /**
   * Uploads that their processes never finished, such as multipart uploads of S3, which no listing of objects shows;
   * null when the store does not tell of them.
   */
  readonly uploads: readonly RemovedUpload[] | null;
  /** Keys of pins that were removed, as they had ended. */
  readonly endedPins: readonly string[];
  /** Runs that were planned to be removed, from whole or in part, and began to be used meanwhile. */
  readonly skippedRuns: readonly string[];
}

interface Checked extends CleanUpRules {
  readonly manifestStore?: ManifestStore;
  readonly pointerKey: string;
  readonly shardPrefix?: string;
  readonly runRegistryPrefix: string;
  readonly dryRun: boolean;
  readonly preconditions: PreconditionPolicy;
  readonly onProgress?: (progress: CleanUpProgress) => void;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

const HOUR_MS = 3_600_000;
/** How many runs and attempts are removed before looking again what has changed meanwhile. */
const BATCH = 16;

const duration = v.pipe(v.number("a number of milliseconds"), v.minValue(0, "a number of milliseconds from 0 up"));
const schema = v.strictObject({
  keep: v.optional(v.union([positiveInteger, v.literal(Infinity)], "a whole number from 1 up, or Infinity")),
  maxAgeMs: v.optional(duration),
  graceMs: v.optional(duration, HOUR_MS),
  oldRuns: v.optional(v.boolean("true or false"), true),
  attempts: v.optional(v.picklist(["unreferenced", "current"], 'one of "unreferenced" and "current"'), "unreferenced"),
  includeUnknownAge: v.optional(v.boolean("true or false"), false),
  manifestStore: v.optional(objectWith<ManifestStore>("a manifest store", "loadCurrent", "list", "loadManifest")),
  pointerKey: v.optional(nonEmptyText, "_CURRENT"),
  shardPrefix: v.optional(nonEmptyText),
  runRegistryPrefix: v.optional(nonEmptyText, "runs"),
  dryRun: v.optional(v.boolean("true or false"), false),
  preconditions: v.optional(preconditionPolicy, "require"),
  onProgress: v.optional(v.custom((input) => typeof input === "function", "a function")),
  clock: v.optional(clockOption, systemClock),
  signal: v.optional(signalOption),
}) as unknown as v.GenericSchema<CleanUpOptions, Omit<Checked, "keep"> & { readonly keep?: number }>;

/**
 * Removes old snapshots and what failed runs left, uploads included that a killed process never finished.
 *
 * Kept are: the current snapshot, the `keep` newest ones unless they are older than `maxAgeMs`, pinned ones, those
 * that were published or still current within the grace period, and all shards that any of them names (P5). So are
 * runs that gave a sign of life within the grace period, and, without `includeUnknownAge`, runs of which nothing tells
 * the age. A run that is silent for longer than the grace period counts as dead.
 *
 * Publishing, rolling back, pinning and other clean-ups may go on meanwhile. For that, a clean-up that removes
 * snapshots or runs announces them under `removals/`, and for snapshots moves the pointer to where it is already, which
 * makes roll backs to them fail. On a store that ignores preconditions, if `preconditions` lets that pass, and against
 * the Python package, whose roll back does not look, a moment remains in which a roll back can choose what is being
 * removed; the grace period does not help there.
 *
 * When it fails or is aborted the series stays readable; calling it again ends what was begun.
 *
 * Costs about a dozen LISTs, the GET of each kept manifest and of the records of runs that may go, one PUT for the
 * announcement, after which the LISTs and records are asked for again, one for the pointer when snapshots go, and the
 * DELETEs. In a dry run nothing but LIST and GET.
 *
 * The Python package's `shardy cleanup` never removes manifests, and does not know pins.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 * @throws {ManifestParseError} when the pointer or a kept manifest cannot be read: what it needs is not known then.
 * @throws {PublishConflictError} when the pointer moved at each try.
 * @throws {StoreError} when the store fails.
 *
 * @example
 * ```ts
 * import { cleanUp } from "./clean_up.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 *
 * const plan = await cleanUp(memoryStore(), { keep: 5, maxAgeMs: 30 * 86_400_000, dryRun: true });
 * for (const { ref, reasons } of plan.kept) console.log(`keep ${ref}: ${reasons.join(", ")}`);
 * for (const { ref } of plan.manifests) console.log(`remove ${ref}`);
 * if (plan.manifests.length > 0) throw new Error("there is nothing to remove");
 * ```
 */
export async function cleanUp(store: ObjectStore, options: CleanUpOptions = {}): Promise<CleanUpResult> {
  const given = parseOptions(schema, options);
  const { manifestStore } = given;
  if (manifestStore !== undefined) refuseTogether(given);
  const keepsAll = given.maxAgeMs !== undefined || manifestStore !== undefined;
  const checked: Checked = { ...given, keep: given.keep ?? (keepsAll ? Infinity : 3) };
  if (checked.shardPrefix !== undefined) checkSegment(checked.shardPrefix, "shardPrefix");
  checkSegment(checked.runRegistryPrefix, "runRegistryPrefix");
  const { pointerKey, shardPrefix, runRegistryPrefix, clock, signal, dryRun } = checked;
  const place = { store, manifestStore, pointerKey, shardPrefix, runRegistryPrefix, clock, signal };
  const surveyor = new SeriesSurveyor(place);
  const plan = await planCleanUp(surveyor, checked);
  if (dryRun) return resultOf(await counted(store, plan, signal), { dryRun, skippedRuns: [] });
  return await new CleanUp(surveyor, checked).run(plan);
}

function refuseTogether(given: CleanUpOptions): void {
  const wrong = (["keep", "maxAgeMs"] as const).find((name) => given[name] !== undefined);
  if (wrong === undefined) return;
  throw new ConfigValidationError(
    `Cannot use option "${wrong}" with "manifestStore" as a manifest store forgets no snapshot: leave one of them out`,
    wrong,
  );
}

/** One clean-up, from its first plan on. */
class CleanUp {
  readonly #surveyor: SeriesSurveyor;
  readonly #options: Checked;
  readonly #skipped = new Set<string>();
  #announced: Removal | null = null;
  #done = 0;
  #total = 0;

  constructor(surveyor: SeriesSurveyor, options: Checked) {
    this.#surveyor = surveyor;
    this.#options = options;
  }

  async run(first: CleanUpPlan): Promise<CleanUpResult> {
    const isNothing = first.manifests.length === 0 && first.runs.length === 0;
    const plan = isNothing ? first : await this.#announce(first);
    this.#total = plan.manifests.length + (plan.uploads?.length ?? 0) + plan.runs.length + plan.attempts.length;
    await this.#removeManifests(plan);
    // Before the records of their runs: without these nobody would know how old the run is.
    const uploads = plan.uploads && await this.#inBatches(plan, plan.uploads, async (upload) => {
      await this.#abortUpload(upload);
      return upload;
    });
    const runs = await this.#inBatches(plan, plan.runs, async (run) => {
      let objects = 0;
      for (const prefix of run.prefixes) {
        const removed = await this.#deletePrefix(prefix);
        if (prefix === run.prefix) objects = removed;
      }
      return { ...run, objects };
    });
    const attempts = await this.#inBatches(plan, plan.attempts, async (attempt) => {
      return { ...attempt, objects: await this.#deletePrefix(attempt.prefix) };
    });
    for (const key of [...plan.pins, ...await this.#endedRemovals(plan)]) await this.#delete(key);
    return resultOf({ ...plan, runs, attempts, uploads }, { dryRun: false, skippedRuns: [...this.#skipped] });
  }

  /** Announces what is to go, and plans anew: what others have claimed meanwhile stays. */
  async #announce({ manifests, runs }: CleanUpPlan): Promise<CleanUpPlan> {
    const { store, pointerKey, clock, signal } = this.#surveyor.place;
    const { preconditions: policy } = this.#options;
    const folders = new Set(manifests.map(({ folder }) => folder));
    const runIds = new Set(runs.map(({ runId }) => runId));
    const fenced = folders.size === 0 ? store : await fencedStore(store, { policy, signal });
    const startedAtMicros = clock.nowMicros();
    this.#announced = await announceRemoval(store, { folders, runs: runIds, startedAtMicros }, { signal });
    const cutoffMicros = cutoffOf(this.#options, startedAtMicros);
    if (folders.size > 0) {
      const currentLately = async (pointer: CurrentPointer): Promise<ReadonlySet<string>> => {
        const tenures = await this.#surveyor.tenures(pointer, cutoffMicros);
        return new Set(tenures.filter(({ untilMicros }) => untilMicros > cutoffMicros).map(({ ref }) => ref));
      };
      await fencePointer({ store: fenced, pointerKey, clock }, { folders, currentLately }, { signal });
    }
    return await planCleanUp(this.#surveyor, this.#options, this.#announced);
  }

  async #removeManifests({ manifests }: CleanUpPlan): Promise<void> {
    for (const [index, { folder }] of manifests.entries()) {
      if (index % BATCH === 0) await this.#checkAnnouncement();
      await this.#deletePrefix(`${MANIFESTS_PREFIX}${folder}`);
      this.#progress();
    }
  }

  async #inBatches<T extends { readonly runId: string | null }>(
    plan: CleanUpPlan,
    items: readonly T[],
    remove: (item: T) => Promise<T>,
  ): Promise<T[]> {
    const removed: T[] = [];
    let inUse: ReadonlySet<string> = new Set();
    for (const [index, item] of items.entries()) {
      if (index % BATCH === 0) {
        await this.#checkAnnouncement();
        inUse = await this.#newlyUsedRuns(plan);
      }
      if (item.runId !== null && inUse.has(item.runId)) this.#skipped.add(item.runId);
      else removed.push(await remove(item));
      this.#progress();
    }
    return removed;
  }

  /** Another clean-up takes an announcement as given up when it is older than the grace period. */
  async #checkAnnouncement(): Promise<void> {
    const { store, signal } = this.#surveyor.place;
    if (this.#announced === null || await isThere(store, this.#announced.key, { signal })) return;
    const url = `${store.url}/${this.#announced.key}`;
    throw new StoreError(`Cannot go on with the clean-up as another one ended its announcement "${url}": start anew`, {
      url,
      status: 404,
      retryable: true,
    });
  }

  /** Runs that were published, named by a manifest, or begun since the plan was made. */
  async #newlyUsedRuns({ survey }: CleanUpPlan): Promise<Set<string>> {
    const used = new Set<string>();
    const known = new Set(survey.manifests.map(({ folder }) => folder));
    for (const { folder, ref, runId } of await this.#surveyor.manifestsNow(survey.url)) {
      if (known.has(folder)) continue;
      used.add(runId);
      const named = await this.#surveyor.namedBy(ref);
      for (const key of named?.attempts ?? []) used.add(runOfKey(key, survey.shardPrefix) ?? "");
    }
    for (const [runId, folders] of await this.#surveyor.recordFolders()) {
      const before = survey.records.get(runId) ?? [];
      if (folders.some((folder) => !before.includes(folder))) used.add(runId);
    }
    return used;
  }

  /** Announcements that have ended: our own, those that name nothing any more, and those that were given up. */
  async #endedRemovals({ survey: { removals, shardPrefix } }: CleanUpPlan): Promise<string[]> {
    const cutoffMicros = cutoffOf(this.#options, this.#options.clock.nowMicros());
    const ownKey = this.#announced?.key;
    const others = removals.filter(({ key }) => key !== ownKey);
    const present = new Set(others.length === 0 ? [] : await this.#surveyor.manifestFolders());
    const presentRuns = new Set(others.length === 0 ? [] : await this.#surveyor.runsNow(shardPrefix));
    const ended = others.filter(({ startedAtMicros, folders, runs }) =>
      startedAtMicros < cutoffMicros || (folders.isDisjointFrom(present) && runs.isDisjointFrom(presentRuns))
    );
    return [...ended.map(({ key }) => key), ...ownKey === undefined ? [] : [ownKey]];
  }

  async #deletePrefix(prefix: string): Promise<number> {
    const { store, signal } = this.#surveyor.place;
    signal?.throwIfAborted();
    return await store.deletePrefix(prefix, { signal });
  }

  async #abortUpload(upload: RemovedUpload): Promise<void> {
    const { store, signal } = this.#surveyor.place;
    signal?.throwIfAborted();
    await store.abortUpload?.(upload, { signal });
  }

  async #delete(key: string): Promise<void> {
    const { store, signal } = this.#surveyor.place;
    signal?.throwIfAborted();
    await store.delete(key, { signal });
  }

  #progress(): void {
    this.#done++;
    this.#options.onProgress?.({ done: this.#done, total: this.#total });
  }
}

function resultOf(
  { survey: { pointer, url }, kept, keptRuns, manifests, runs, attempts, uploads, pins }: CleanUpPlan,
  outcome: Pick<CleanUpResult, "dryRun" | "skippedRuns">,
): CleanUpResult {
  const bare = ({ ref, runId, publishedAtMicros }: ManifestRef): ManifestRef => ({ ref, runId, publishedAtMicros });
  return {
    ...outcome,
    current: pointer && bare(pointer),
    url,
    kept,
    keptRuns,
    manifests: manifests.map(bare),
    runs,
    attempts,
    uploads,
    endedPins: pins,
  };
}
