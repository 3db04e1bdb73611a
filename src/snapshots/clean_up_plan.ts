/**
 * Decides what a clean-up removes, from a survey. Asks for manifests and run records where it must; removes nothing.
 * @module
 */
import type { ObjectStore, OpenUpload } from "../stores/store.ts";
import type { ManifestRef } from "./manifest.ts";
import { parseManifestFolder, runOfKey } from "./layout.ts";
import { livePins } from "./pins.ts";
import { folderOfRef, type Removal } from "./removals.ts";
import {
  type ListedManifest,
  type NamedShards,
  type RecordedRun,
  recordStamp,
  type SeriesSurveyor,
  type Survey,
  VECTOR_META_PREFIX,
} from "./series_survey.ts";
import { replacedAt, type Tenure } from "./tenures.ts";

/** Why a snapshot is kept. `meanwhile`: it was published, or began to count, while the clean-up ran. */
export type KeepReason = "current" | "newest" | "pinned" | "grace" | "meanwhile";

/** A snapshot that stays. */
export interface KeptSnapshot extends ManifestRef {
  /** Why it stays: at least one reason. */
  readonly reasons: readonly KeepReason[];
}

/** A run without a snapshot that stays nevertheless. */
export interface KeptRun {
  /** Name of the run. */
  readonly runId: string;
  /**
   * `referenced`: a kept manifest names its shards. `pinned`: a pin holds it, for a manifest that the clean-up was not
   * given. `grace`: it gave a sign of life lately, or is running. `published
   * elsewhere`: its manifest is in a manifest store that the clean-up was not given. `meanwhile`: it was given up while
   * the clean-up ran.
   */
  readonly reason: "referenced" | "pinned" | "grace" | "unknown age" | "published elsewhere" | "meanwhile";
}

/** How much lies under a prefix; null where it was not listed. */
export interface RemovedAmount {
  /** How many; null where they were not counted. */
  readonly objects: number | null;
  /** Of all of them together; null where they were not counted. */
  readonly sizeBytes: number | null;
}

/** A run of which everything goes: shards, vector data and records. */
export interface RemovedRun extends RemovedAmount {
  /** Name of the run. */
  readonly runId: string;
  /** Folder of its shards, as a key; null when there is none. */
  readonly prefix: string | null;
  /** All that is removed, as keys of folders; run records last. */
  readonly prefixes: readonly string[];
}

/** An attempt at a shard that no kept manifest names, in the folder of a run that stays. */
export interface RemovedAttempt extends RemovedAmount {
  /** Name of the run. */
  readonly runId: string;
  /** Null when no kept manifest tells. */
  readonly shardId: number | null;
  /** Folder, as a key. */
  readonly prefix: string;
}

/** An upload that its run never finished, and that is given up. */
export interface RemovedUpload extends OpenUpload {
  /** Null for what belongs to no run. */
  readonly runId: string | null;
}

/** The rules. */
export interface CleanUpRules {
  readonly keep: number;
  readonly maxAgeMs: number | undefined;
  readonly graceMs: number;
  readonly oldRuns: boolean;
  readonly attempts: "unreferenced" | "current";
  readonly includeUnknownAge: boolean;
}

/** What stays and what goes. */
export interface CleanUpPlan {
  readonly survey: Survey;
  /** Newest first. */
  readonly kept: readonly KeptSnapshot[];
  readonly keptRuns: readonly KeptRun[];
  /** Manifests to remove, newest first. */
  readonly manifests: readonly ListedManifest[];
  readonly runs: readonly RemovedRun[];
  readonly attempts: readonly RemovedAttempt[];
  /** Null when the store does not tell of uploads. */
  readonly uploads: readonly RemovedUpload[] | null;
  /** Keys of pins that ended. */
  readonly pins: readonly string[];
}

/** Folder of an attempt, at the beginning of a key. */
const ATTEMPT = /^(.+?)\/attempt=\d+(?=\/)/;

/**
 * Makes a plan.
 *
 * @param announced What may go, as of the time when it was announced; undefined: everything, as of now.
 */
export async function planCleanUp(
  surveyor: SeriesSurveyor,
  rules: CleanUpRules,
  announced?: Removal,
): Promise<CleanUpPlan> {
  const survey = await surveyor.survey();
  const nowMicros = announced?.startedAtMicros ?? surveyor.place.clock.nowMicros();
  const cutoffMicros = cutoffOf(rules, nowMicros);
  const tenures = survey.pointer === null ? [] : await surveyor.tenures(survey.pointer, cutoffMicros);
  const { kept, removed } = divide(survey, { rules, nowMicros, announced, tenures });
  const named = new Map<string, NamedShards>();
  for (const { folder, ref } of kept) {
    const found = await surveyor.namedBy(ref);
    if (found !== null) named.set(folder, found);
  }
  const decider = new RunDecider(surveyor, {
    ...{ survey, rules, cutoffMicros, nowMicros, kept, removed, named },
    announcedRuns: announced?.runs,
  });
  const { keptRuns, runs } = await decider.decideRuns();
  return {
    survey,
    kept: kept.map(({ ref, runId, publishedAtMicros, reasons }) => ({ ref, runId, publishedAtMicros, reasons })),
    keptRuns,
    manifests: removed,
    runs,
    attempts: await decider.decideAttempts(),
    uploads: await decider.decideUploads(new Set(runs.map(({ runId }) => runId))),
    pins: survey.pins.filter(({ untilMicros }) => untilMicros !== null && untilMicros < cutoffMicros)
      .map(({ key }) => key),
  };
}

/** What was in use after this time is left alone. */
export function cutoffOf({ graceMs }: Pick<CleanUpRules, "graceMs">, nowMicros: number): number {
  return nowMicros - graceMs * 1000;
}

interface KeptManifest extends ListedManifest {
  readonly reasons: readonly KeepReason[];
}

interface Division {
  readonly kept: readonly KeptManifest[];
  readonly removed: readonly ListedManifest[];
}

function divide(
  { pointer, manifests, pins }: Survey,
  { rules, nowMicros, announced, tenures }: {
    rules: CleanUpRules;
    nowMicros: number;
    announced: Removal | undefined;
    tenures: readonly Tenure[];
  },
): Division {
  const current = pointer && (folderOfRef(pointer.ref) ?? pointer.ref);
  const pinned = new Set(livePins(pins, nowMicros).map(({ folder }) => folder));
  const cutoffMicros = cutoffOf(rules, nowMicros);
  const replaced = new Map<string, number>();
  if (pointer !== null) {
    for (const [ref, micros] of replacedAt(pointer, tenures, manifests)) replaced.set(folderOfRef(ref) ?? ref, micros);
  }
  const ageMaxMicros = rules.maxAgeMs === undefined ? Infinity : rules.maxAgeMs * 1000;
  const kept: KeptManifest[] = [];
  const removed: ListedManifest[] = [];
  for (const [rank, manifest] of manifests.entries()) {
    const { folder, publishedAtMicros } = manifest;
    const ageMicros = nowMicros - publishedAtMicros;
    const reasons: KeepReason[] = [];
    if (folder === current) reasons.push("current");
    // Without a pointer nobody can tell what is old.
    if (pointer === null || !rules.oldRuns || (rank < rules.keep && ageMicros <= ageMaxMicros)) reasons.push("newest");
    if (pinned.has(folder)) reasons.push("pinned");
    // Readers keep what was current until they refresh.
    if (Math.max(publishedAtMicros, replaced.get(folder) ?? 0) > cutoffMicros) reasons.push("grace");
    if (reasons.length === 0 && announced?.folders.has(folder) === false) reasons.push("meanwhile");
    if (reasons.length === 0) removed.push(manifest);
    else kept.push({ ...manifest, reasons });
  }
  return { kept, removed };
}

interface Decision extends Division {
  readonly survey: Survey;
  readonly rules: CleanUpRules;
  readonly cutoffMicros: number;
  readonly nowMicros: number;
  /** Runs that may go; undefined: all. */
  readonly announcedRuns: ReadonlySet<string> | undefined;
  /** What kept manifests name, by their folders. */
  readonly named: ReadonlyMap<string, NamedShards>;
}

/** Decides about runs and attempts; asks each run's records once. */
class RunDecider {
  readonly #surveyor: SeriesSurveyor;
  readonly #decision: Decision;
  /** Runs of kept manifests. */
  readonly #published: ReadonlySet<string>;
  /** Attempts that kept manifests name. */
  readonly #attempts: ReadonlySet<string>;
  readonly #referenced: ReadonlySet<string>;
  /** Runs that pins hold for manifests that are not among those found: which shards these name is not known. */
  readonly #pinned: ReadonlySet<string>;
  /** Runs whose snapshots were removed, now or by a clean-up that did not end. */
  readonly #outdated: ReadonlySet<string>;

  constructor(surveyor: SeriesSurveyor, decision: Decision) {
    const { survey: { pointer, removals, shardPrefix, manifests, pins }, kept, removed, named, nowMicros } = decision;
    this.#surveyor = surveyor;
    this.#decision = decision;
    this.#published = new Set([...kept.map(({ runId }) => runId), ...pointer === null ? [] : [pointer.runId]]);
    this.#attempts = new Set([...named.values()].flatMap(({ attempts }) => attempts));
    this.#referenced = new Set([...this.#attempts].flatMap((key) => runOfKey(key, shardPrefix) ?? []));
    const known = new Set(manifests.map(({ folder }) => folder));
    const unknown = livePins(pins, nowMicros).filter(({ folder }) => !known.has(folder));
    this.#pinned = new Set(unknown.flatMap(({ runs }) => runs));
    const announced = removals.flatMap(({ folders }) => [...folders]);
    this.#outdated = new Set([
      ...removed.map(({ runId }) => runId),
      ...announced.flatMap((folder) => parseManifestFolder(folder)?.runId ?? []),
    ]);
  }

  async decideRuns(): Promise<{ keptRuns: KeptRun[]; runs: RemovedRun[] }> {
    const { survey: { shardRuns, vectorRuns, records }, rules, cutoffMicros, announcedRuns } = this.#decision;
    const keptRuns: KeptRun[] = [];
    const runs: RemovedRun[] = [];
    if (!rules.oldRuns) return { keptRuns, runs };
    for (const runId of [...new Set([...shardRuns, ...vectorRuns, ...records.keys()])].sort()) {
      if (this.#published.has(runId)) continue;
      if (this.#referenced.has(runId) || this.#pinned.has(runId)) {
        keptRuns.push({ runId, reason: this.#referenced.has(runId) ? "referenced" : "pinned" });
        continue;
      }
      const { lastMicros, isElsewhere } = await this.#recordedRun(runId);
      if (lastMicros !== null && lastMicros >= cutoffMicros) keptRuns.push({ runId, reason: "grace" });
      else if (isElsewhere) keptRuns.push({ runId, reason: "published elsewhere" });
      else if (!this.#isAgeKnown(runId, lastMicros)) keptRuns.push({ runId, reason: "unknown age" });
      else if (announcedRuns?.has(runId) === false) keptRuns.push({ runId, reason: "meanwhile" });
      else runs.push(this.#removedRun(runId));
    }
    return { keptRuns, runs };
  }

  async decideAttempts(): Promise<RemovedAttempt[]> {
    const { survey: { pointer, shardRuns }, rules } = this.#decision;
    // Shards of an old run that were taken over stay; the others are old, and no attempts.
    const old = rules.oldRuns ? [...this.#referenced].filter((runId) => !this.#published.has(runId)) : [];
    const candidates = rules.attempts === "current"
      ? pointer === null ? [] : [pointer.runId, ...old].sort()
      : [...new Set([...this.#published, ...this.#referenced])].sort();
    const removed: RemovedAttempt[] = [];
    for (const runId of candidates) {
      if (!shardRuns.has(runId) || this.#pinned.has(runId)) continue;
      if (await this.#isAtRest(runId)) removed.push(...await this.#staleAttempts(runId));
    }
    return removed;
  }

  /** Those of runs that go; else those that are older than the grace period, where nobody can be writing any more. */
  async decideUploads(removedRuns: ReadonlySet<string>): Promise<RemovedUpload[] | null> {
    const { survey: { uploads, shardPrefix }, cutoffMicros } = this.#decision;
    if (uploads === null) return null;
    const removed: RemovedUpload[] = [];
    for (const upload of uploads) {
      const runId = runOfKey(upload.key, shardPrefix);
      const isRemoved = removedRuns.has(runId ?? "");
      if (!isRemoved && upload.changedAtMicros >= cutoffMicros) continue;
      if (isRemoved || runId === null || await this.#isAtRest(runId)) removed.push({ ...upload, runId });
    }
    return removed;
  }

  /** Whether nobody can be writing into the folder of a run that stays. */
  async #isAtRest(runId: string): Promise<boolean> {
    const { kept, named, cutoffMicros, survey: { pointer } } = this.#decision;
    const own = kept.filter((manifest) => manifest.runId === runId);
    // What a manifest names that could not be found is not known.
    if (own.some(({ folder }) => !named.has(folder)) || (own.length === 0 && pointer?.runId === runId)) return false;
    const stamps = own.map((manifest) => manifest.publishedAtMicros);
    if (stamps.some((micros) => micros > cutoffMicros)) return false;
    const { lastMicros, isElsewhere } = await this.#recordedRun(runId);
    if (isElsewhere || (lastMicros !== null && lastMicros >= cutoffMicros)) return false;
    return stamps.length > 0 || this.#isAgeKnown(runId, lastMicros);
  }

  async #staleAttempts(runId: string): Promise<RemovedAttempt[]> {
    const { survey: { shardPrefix }, rules: { attempts: which } } = this.#decision;
    const { store, signal } = this.#surveyor.place;
    const shards = this.#shardFolders(runId);
    const stale = new Map<string, { runId: string; shardId: number | null; objects: number; sizeBytes: number }>();
    for await (const page of store.list(`${shardPrefix}/run_id=${runId}/`, { signal })) {
      for (const { key, sizeBytes } of page) {
        const [prefix, shardFolder] = ATTEMPT.exec(key) ?? [];
        if (prefix === undefined || this.#isNamed(prefix)) continue;
        const shardId = shards.get(shardFolder!) ?? null;
        if (which === "current" && shardId === null && this.#published.has(runId)) continue;
        const attempt = stale.get(prefix) ?? { runId, shardId, objects: 0, sizeBytes: 0 };
        attempt.objects++;
        attempt.sizeBytes += sizeBytes;
        stale.set(prefix, attempt);
      }
    }
    return [...stale].map(([prefix, attempt]) => ({ ...attempt, prefix }));
  }

  /** Whether a kept manifest names the folder, one in it, or one around it. */
  #isNamed(prefix: string): boolean {
    if (this.#attempts.has(prefix)) return true;
    const { shardPrefix } = this.#decision.survey;
    const run = runOfKey(prefix, shardPrefix);
    return [...this.#attempts].some((key) =>
      runOfKey(key, shardPrefix) === run && (key.startsWith(`${prefix}/`) || prefix.startsWith(`${key}/`))
    );
  }

  #shardFolders(runId: string): Map<string, number> {
    const folders = new Map<string, number>();
    for (const manifest of this.#decision.kept) {
      if (manifest.runId !== runId) continue;
      for (const [folder, shardId] of this.#decision.named.get(manifest.folder)?.shardFolders ?? []) {
        folders.set(folder, shardId);
      }
    }
    return folders;
  }

  async #recordedRun(runId: string): Promise<RecordedRun> {
    const { survey: { records }, cutoffMicros } = this.#decision;
    const folders = records.get(runId) ?? [];
    const newest = Math.max(0, ...folders.map(recordStamp));
    // A record that was created lately needs no reading.
    if (newest >= cutoffMicros) return { lastMicros: newest, isElsewhere: false };
    return await this.#surveyor.recordedRun(folders);
  }

  #isAgeKnown(runId: string, lastMicros: number | null): boolean {
    return lastMicros !== null || this.#outdated.has(runId) || this.#decision.rules.includeUnknownAge;
  }

  #removedRun(runId: string): RemovedRun {
    const { survey: { shardPrefix, shardRuns, vectorRuns, records } } = this.#decision;
    const prefix = shardRuns.has(runId) ? `${shardPrefix}/run_id=${runId}` : null;
    const vectors = vectorRuns.has(runId) ? [`${VECTOR_META_PREFIX}run_id=${runId}`] : [];
    const recordPrefix = this.#surveyor.place.runRegistryPrefix;
    const recorded = (records.get(runId) ?? []).map((folder) => `${recordPrefix}/${folder}`);
    const prefixes = [...prefix === null ? [] : [prefix], ...vectors, ...recorded];
    return { runId, prefix, prefixes, objects: null, sizeBytes: null };
  }
}

/** The plan with what lies under the folders of runs. */
export async function counted(
  store: ObjectStore,
  plan: CleanUpPlan,
  signal: AbortSignal | undefined,
): Promise<CleanUpPlan> {
  const runs: RemovedRun[] = [];
  for (const run of plan.runs) {
    const amount = run.prefix === null ? { objects: 0, sizeBytes: 0 } : await amountUnder(store, run.prefix, signal);
    runs.push({ ...run, ...amount });
  }
  return { ...plan, runs };
}

async function amountUnder(
  store: ObjectStore,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<RemovedAmount> {
  let objects = 0;
  let bytes = 0;
  for await (const page of store.list(`${prefix}/`, { signal })) {
    objects += page.length;
    for (const { sizeBytes } of page) bytes += sizeBytes;
  }
  return { objects, sizeBytes: bytes };
}
