/**
 * From attempts at shards to a published snapshot: what all writers share, whoever built the shards.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import type { JsonObject } from "../bytes/python_json.ts";
import type { Clock } from "../clock.ts";
import { systemClock } from "../clock.ts";
import { PublishConflictError, PublishCurrentError, ShardCoverageError } from "../errors.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { defaultBackend } from "../registry.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { Router } from "../routing/router.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { CurrentPointer, ManifestStore } from "../snapshots/manifest_store.ts";
import { objectManifestStore } from "../snapshots/object_manifest_store.ts";
import { traced, type Tracer } from "../spans.ts";
import type { ObjectStore } from "../stores/store.ts";
import { validateCandidate } from "./candidate.ts";
import { type Publication, type Published, publishSnapshot } from "./publish_snapshot.ts";
import { reuseFields } from "./reuse.ts";
import { type StoredMeta, storeVectorMeta, vectorOnlyFields } from "./vector_meta.ts";
import { pickWinners, type ShardAttempt } from "./winners.ts";

/** What a manifest says of a run beside its shards. */
export interface RunFacts {
  /** Name of the run, as the attempts have it. */
  readonly runId: string;
  /** The router that gave the rows their shards. */
  readonly router: Router;
  /** How keys are stored, as the attempts have it. */
  readonly keyEncoding: KeyEncoding;
  /** What the shards are made of. Default: `sqliteBackend()`. */
  readonly backend?: Backend | undefined;
  /** Default: `"_key"`, and `"_vector_id"` of rows without values. */
  readonly keyColumn?: string | undefined;
  /** Folder of the shards, as for `writeSnapshot`. @default {"shards"} */
  readonly shardPrefix?: string | undefined;
  /** Folder of a shard below the run's, as for `writeSnapshot`. @default {"db={db_id:05d}"} */
  readonly dbPathTemplate?: string | undefined;
  /** Fields of your own for the manifest. */
  readonly custom?: JsonObject | undefined;
  /** Rows have vectors and no values. @default {false} */
  readonly isVectorOnly?: boolean | undefined;
}

/** What publishing attempts takes. */
export interface PublishAttemptsOptions extends RunFacts {
  /** Where the shards lie. */
  readonly store: ObjectStore;
  /** Stores the file that vectors are routed by, `vector_meta/…`. Default: `store`. */
  readonly metaStore?: ObjectStore | undefined;
  /** The file that vectors are routed by, where it is stored already. Default: it is stored now. */
  readonly vectorMeta?: StoredMeta | null | undefined;
  /** Rows that were routed to each shard; shards that are not named were given none. Default: not checked. */
  readonly rowsOffered?: ReadonlyMap<number, number> | undefined;
  /** The pointer that may be replaced; null: there must be none. Default: the one that is there now. */
  readonly expected?: CurrentPointer | null | undefined;
  /** As for `writeSnapshot`. @default {"fail"} */
  readonly onConflict?: "fail" | "replace" | undefined;
  /** As for `writeSnapshot`. */
  readonly validate?: ((candidate: SnapshotReader) => Promise<void>) | undefined;
  /** Called with the shards when nothing but publishing is left; what it throws ends the matter. */
  readonly beforePublish?: ((winners: readonly ShardEntry[]) => Promise<void>) | undefined;
  /** Removes what was not published, given the folders that were, as keys. Default: by their URLs. */
  readonly removeLosers?: ((published: readonly string[]) => Promise<void>) | false | undefined;
  /** Where manifests and the pointer are kept. Default: in `store`. */
  readonly manifestStore?: ManifestStore | undefined;
  /** Takes the events `write.manifest_published` and `write.current_published`. */
  readonly onEvent?: EventSink | undefined;
  /** When the run began, on the monotonic scale of `clock`: events count from there. Default: now. */
  readonly startedMs?: number | undefined;
  /** Watches publishing as a span. */
  readonly tracer?: Tracer | undefined;
  /** Aborts, until the manifest is being stored. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** What was published. */
export interface PublishedAttempts {
  /** URL of the manifest that the pointer now names. */
  readonly manifestRef: string;
  /** Manifests of other writers that this one took the place of, oldest first. */
  readonly replaced: readonly string[];
  /** The published shards, ascending. */
  readonly winners: readonly ShardEntry[];
}

/**
 * Picks the winner of each shard, checks that no shard is missing, lets `validate` judge the snapshot, stores the
 * manifest and moves the pointer to it; then removes the attempts that lost.
 *
 * When it rejects before publishing, all attempts lie where they were: the caller decides what becomes of them.
 *
 * @throws {ShardCoverageError} naming all shards that were given rows and have no attempt with as many.
 * @throws {PublishConflictError} when another writer published in between; what `validate` throws.
 */
export async function publishAttempts(
  attempts: readonly ShardAttempt[],
  options: PublishAttemptsOptions,
): Promise<PublishedAttempts> {
  const { store, router, rowsOffered, validate, onConflict = "fail", beforePublish } = options;
  const { clock = systemClock(), signal = new AbortController().signal, backend = defaultBackend() } = options;
  const manifests = options.manifestStore ?? objectManifestStore(store, { clock });
  const winners = pickWinners(attempts, router.shardCount);
  if (rowsOffered !== undefined) requireCoverage(winners, rowsOffered);
  const expected = options.expected === undefined ? await manifests.loadCurrent({ signal }) : options.expected;
  const meta = options.vectorMeta ??
    await storeVectorMeta(router, { store: options.metaStore ?? store, runId: options.runId, signal });
  const manifest = manifestOf(winners, { ...options, store, clock, meta });
  if (validate) await validateCandidate(manifest, { store, validate, backend, clock, signal });
  await beforePublish?.(winners);
  const { ref, replaced } = await traced(
    options.tracer,
    { name: "shardyfusion.publish", attributes: { "run_id": manifest.runId, "num_shards": winners.length } },
    () => publishTold(manifests, { manifest, expected, onConflict }, { ...options, clock, signal }),
  );
  const { removeLosers = (published) => removeFolders(store, attempts, published) } = options;
  if (removeLosers !== false) {
    const folders = winners.map(({ dbUrl }) => dbUrl!.slice(store.url.length + 1));
    await removeLosers(meta === null ? folders : [...folders, meta.folder]);
  }
  return { manifestRef: ref, replaced, winners };
}

/** Publishes, and tells what has been stored of it. */
async function publishTold(
  manifests: ManifestStore,
  publication: Publication,
  { onEvent, clock, startedMs = clock.monotonicMs(), signal }: PublishAttemptsOptions & { readonly clock: Clock },
): Promise<Published> {
  const emit = guardedEventSink(onEvent);
  const tell = (name: "write.manifest_published" | "write.current_published"): void =>
    emit({ name, payload: { "elapsed_ms": Math.round(clock.monotonicMs() - startedMs) } });
  try {
    const published = await publishSnapshot(manifests, publication, { signal });
    tell("write.manifest_published");
    tell("write.current_published");
    return published;
  } catch (error) {
    if (error instanceof PublishCurrentError || error instanceof PublishConflictError) tell("write.manifest_published");
    throw error;
  }
}

/**
 * Checks that what is published is all that was routed.
 *
 * @param rowsOffered Rows by shard: repeated keys count.
 * @throws {ShardCoverageError} naming all shards that lack rows or have too many.
 */
export function requireCoverage(winners: readonly ShardEntry[], rowsOffered: ReadonlyMap<number, number>): void {
  const rowsOf = new Map(winners.map(({ shardId, rowCount }) => [shardId, rowCount]));
  const missing: number[] = [];
  const different: number[] = [];
  for (const shardId of new Set([...rowsOffered.keys(), ...rowsOf.keys()])) {
    const offered = rowsOffered.get(shardId) ?? 0;
    const written = rowsOf.get(shardId);
    if (written === undefined && offered > 0) missing.push(shardId);
    else if ((written ?? 0) !== offered) different.push(shardId);
  }
  if (missing.length + different.length === 0) return;
  const ascending = (left: number, right: number): number => left - right;
  const texts = [
    ...missing.length > 0 ? [`no attempt at shards ${missing.sort(ascending).join(", ")} has succeeded`] : [],
    ...different.sort(ascending).map((shardId) =>
      `shard ${shardId} was given ${rowsOffered.get(shardId) ?? 0} rows and has ${rowsOf.get(shardId) ?? 0}`
    ),
  ];
  throw new ShardCoverageError(
    `Cannot publish the snapshot as ${texts.join("; ")}`,
    [...missing, ...different].sort(ascending),
  );
}

/** The manifest of a run's winners. */
function manifestOf(
  winners: readonly ShardEntry[],
  facts: RunFacts & { readonly store: ObjectStore; readonly clock: Clock; readonly meta: StoredMeta | null },
): Manifest {
  const { store, clock, router, meta, custom, backend = defaultBackend() } = facts;
  const rowCount = winners.reduce((sum, { rowCount }) => sum + rowCount, 0);
  const vectors = facts.isVectorOnly ? vectorOnlyFields(backend, { router, meta, rowCount }) : null;
  return {
    runId: facts.runId,
    createdAtMicros: clock.nowMicros(),
    shardCount: router.shardCount,
    s3Prefix: store.url,
    keyColumn: facts.keyColumn ?? (facts.isVectorOnly ? "_vector_id" : "_key"),
    // Where there are vectors only, the field `vector` of `custom` says how they are sharded.
    routing: vectors === null ? router.spec : { strategy: "hash" },
    dbPathTemplate: facts.dbPathTemplate ?? "db={db_id:05d}",
    shardPrefix: facts.shardPrefix ?? "shards",
    keyEncoding: vectors === null ? facts.keyEncoding : "raw",
    custom: {
      ...custom,
      ...backend.customFields,
      ...(vectors && { vector: vectors.vector }),
      shardyfusion: { backend: { ...backend.spec }, format_version: 1, ...vectors?.own, ...reuseFields(winners) },
    },
    shards: vectors === null ? winners : winners.map((shard) => ({ ...shard, minKey: null, maxKey: null })),
  };
}

/** Removes the folders of attempts that lost; what cannot be removed is left to `cleanUp`. */
async function removeFolders(
  store: ObjectStore,
  attempts: readonly ShardAttempt[],
  published: readonly string[],
): Promise<void> {
  const kept = new Set(published);
  const folders = attempts.flatMap(({ dbUrl }) =>
    dbUrl?.startsWith(`${store.url}/`) ? [dbUrl.slice(store.url.length + 1)] : []
  );
  for (const folder of new Set(folders)) {
    if (!kept.has(folder)) await store.deletePrefix(folder).catch(() => {});
  }
}
