/**
 * Checks a published snapshot from its manifest to its last row.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { ConfigValidationError, DbAdapterError, ObjectNotFoundError, ReaderStateError } from "../errors.ts";
import { engineOf } from "../read/snapshot_engine.ts";
import { vectorRouterOf } from "../read/vector_snapshot.ts";
import type { Router } from "../routing/router.ts";
import { routerOf } from "../routing/router_of.ts";
import { ownFields } from "../snapshots/manifest_digest.ts";
import { isVectorOnly, vectorFieldsOf } from "../snapshots/vector_fields.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { ReadableStore } from "../stores/store.ts";
import { loadNamedManifest, type NamedManifest } from "./named_manifest.ts";
import { checkShard } from "./shard_check.ts";
import { type CheckedVerifyOptions, checkVerifyOptions, type VerifyOptions } from "./verify_options.ts";
import { Findings, type SnapshotReport } from "./verify_report.ts";

/** What the files of shards take in memory, all together. */
const MEMORY_BYTES_MAX = 1 << 26;
/** Progress is told after so many bytes, and after each shard. */
const PROGRESS_BYTES = 1 << 23;

/**
 * Checks a published snapshot: that every object is there and of the recorded size and digest, every page of every
 * shard is sound, every key stands in order and in the shard that it routes to, and that counts and smallest and
 * largest keys are those of the manifest. Guards and sidecars are compared with the files that they are for.
 *
 * Damage is not thrown but reported. What a snapshot does not let one check stands in `unchecked`: snapshots of the
 * Python package record no digests, and where a routing expression looks at more than the key, the key alone does not
 * tell its shard.
 *
 * Reads every object of the snapshot once, with one GET each, and writes nothing. Takes 64 MiB for files of shards,
 * beside it the guards and sidecars of `concurrencyMax` shards; shards that do not fit go through temporary files. One
 * core checks 100 to 200 MB a second.
 *
 * @throws {ConfigValidationError} for wrong options, and shards that the snapshot has not.
 * @throws {ReaderStateError} when the history has no such snapshot.
 * @throws the store's errors, but for objects that are missing; the reason of `signal`.
 *
 * @example A byte changes in the store
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { writeSnapshot } from "../write/write_snapshot.ts";
 * import { verifySnapshot } from "./verify_snapshot.ts";
 *
 * const store = memoryStore();
 * const sharding = hashSharding({ shards: 2 });
 * await writeSnapshot(["a", "b", "c"], { store, sharding, key: (row) => row, value: (row) => row });
 * const report = await verifySnapshot(store);
 * if (!report.isSound || report.rowCount !== 3) throw new Error(report.problems[0]?.message);
 *
 * const [[entry] = []] = await Array.fromAsync(store.list("shards/"));
 * const bytes = await (await store.get(entry!.key)).bytes();
 * bytes[1000]! ^= 1;
 * await store.put(entry!.key, bytes);
 * const { problems } = await verifySnapshot(store);
 * if (!problems.some(({ kind }) => kind === "digest")) throw new Error("the damage was not found");
 * ```
 */
export async function verifySnapshot(store: ReadableStore, options: VerifyOptions = {}): Promise<SnapshotReport> {
  const checked = checkVerifyOptions(store, options);
  checked.signal?.throwIfAborted();
  const findings = new Findings();
  const named = await loadNamedManifest(store, checked, findings);
  const { manifest, ref: manifestRef } = named;
  if (manifest === null || manifestRef === null) return findings.report({ manifestRef, runId: null, shardCount: 0 });
  return await verifyManifest({ ...named, manifest, ref: manifestRef }, checked, findings);
}

/** A manifest that was read, whether or not a pointer names it. */
export type ReadableManifest = NamedManifest & { readonly manifest: Manifest; readonly ref: string };

/** Checks the shards of a manifest; `findings` has what was found before. @throws as {@linkcode verifySnapshot}. */
export async function verifyManifest(
  named: ReadableManifest,
  options: CheckedVerifyOptions,
  findings: Findings = new Findings(),
): Promise<SnapshotReport> {
  const { manifest, ref: manifestRef } = named;
  const entries = chosenShards(manifest, options.shards);
  if (ownFields(manifest.custom) === undefined) findings.note("the manifest itself, as it records no digest of itself");
  await checkVectorRouter(named, options, findings);
  const backend = await backendFor(named, options, findings);
  if (backend !== null) {
    const router = await routerFor(named, findings);
    await checkShards(entries, { named, backend, router, findings }, options);
  }
  return findings.report({ manifestRef, runId: manifest.runId, shardCount: manifest.shardCount });
}

/** What the shards have in common. */
interface SharedMeans {
  readonly named: ReadableManifest;
  readonly backend: Backend;
  readonly router: Router | null;
  readonly findings: Findings;
}

/** Checks shards, some at the same time. */
async function checkShards(
  entries: readonly ShardEntry[],
  { named, backend, router, findings }: SharedMeans,
  { concurrencyMax, resolveStore, onProgress, signal: outer }: CheckedVerifyOptions,
): Promise<void> {
  // One that fails ends the others.
  const failure = new AbortController();
  const signal = outer === undefined ? failure.signal : AbortSignal.any([outer, failure.signal]);
  let shardsDone = 0;
  let toldBytes = 0;
  function tell(): void {
    toldBytes = findings.bytesRead;
    onProgress?.({ shardsDone, shards: entries.length, bytesRead: toldBytes });
  }
  const means = {
    manifest: named.manifest,
    manifestRef: named.ref,
    store: named.store,
    resolveStore,
    backend,
    router,
    findings,
    signal,
    memoryBytesMax: Math.floor(MEMORY_BYTES_MAX / concurrencyMax),
    onBytes(count: number): void {
      findings.bytesRead += count;
      if (findings.bytesRead - toldBytes >= PROGRESS_BYTES) tell();
    },
  };
  const queue = entries.values();
  async function work(): Promise<void> {
    for (const entry of queue) {
      signal.throwIfAborted();
      await checkShard(entry, means);
      shardsDone++;
      tell();
    }
  }
  const workers = Array.from({ length: Math.min(concurrencyMax, entries.length) }, () =>
    work().catch((error) => {
      failure.abort(error);
      throw error;
    }));
  // Whoever is told of a failure finds no temporary file any more.
  const results = await Promise.allSettled(workers);
  outer?.throwIfAborted();
  if (failure.signal.aborted) throw failure.signal.reason;
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

function chosenShards({ shards, shardCount }: Manifest, chosen: readonly number[] | undefined): readonly ShardEntry[] {
  if (chosen === undefined) return shards;
  const wrong = chosen.find((shardId) => shardId >= shardCount);
  if (wrong !== undefined) {
    throw new ConfigValidationError(
      `Cannot use option "shards" as the snapshot has ${shardCount} shards, from 0: current value has ${wrong}`,
      "shards",
    );
  }
  const wanted = new Set(chosen);
  return shards.filter(({ shardId }) => wanted.has(shardId));
}

/** The engine; null when the shards cannot be checked. */
async function backendFor(
  { manifest, store }: ReadableManifest,
  { backend: given, resolveStore, signal }: CheckedVerifyOptions,
  findings: Findings,
): Promise<Backend | null> {
  if (isVectorOnly(manifest)) findings.note("vectors one by one: their files are compared with what is recorded");
  try {
    return given ?? await engineOf(manifest, { store, resolveStore, signal });
  } catch (error) {
    if (!(error instanceof DbAdapterError)) throw error;
    findings.note(`shards: ${error.message}`);
    return null;
  }
}

/** Searches of vectors without keys need what routes them, whole. */
async function checkVectorRouter(
  { manifest, ref, store }: ReadableManifest,
  { resolveStore, signal }: CheckedVerifyOptions,
  findings: Findings,
): Promise<void> {
  if (!isVectorOnly(manifest)) return;
  try {
    await vectorRouterOf(manifest, { store, resolveStore, signal, requests: { store: (inner) => inner } });
  } catch (error) {
    if (!(error instanceof ConfigValidationError || error instanceof ReaderStateError)) throw error;
    const sharding = vectorFieldsOf(manifest)?.sharding;
    const object = sharding && "metaRef" in sharding ? sharding.metaRef : ref;
    const kind = error.cause instanceof ObjectNotFoundError ? "missing" : object === ref ? "manifest" : "digest";
    findings.add({ shardId: null, object, kind, message: error.message });
  }
}

/** The router; null when keys alone do not tell their shards. */
async function routerFor(
  { manifest: { routing, shardCount }, ref }: ReadableManifest,
  findings: Findings,
): Promise<Router | null> {
  try {
    const router = await routerOf(routing, shardCount);
    if (router.isKeyOnly) return router;
    findings.note("which shard a key belongs into, as the routing expression looks at more than the key");
    return null;
  } catch (error) {
    if (!(error instanceof ConfigValidationError)) throw error;
    findings.add({ shardId: null, object: ref, kind: "manifest", message: error.message });
    return null;
  }
}
