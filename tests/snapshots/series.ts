/**
 * A snapshot series in memory with made-up shards, and a book of what must be there: the judge of clean-ups.
 * @module
 */
import { pathStamp } from "../../src/bytes/timestamps.ts";
import { runIdOfManifestRef } from "../../src/snapshots/layout.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { renderRunRecord, type RunStatus } from "../../src/snapshots/run_record.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { manifestOf, START } from "./publishing.ts";

/** A run at work: its shards lie there, its manifest does not. */
export interface BegunRun {
  readonly runId: string;
  readonly keys: readonly string[];
  readonly recordKey: string;
}

/** How a run is begun. */
export interface RunOptions {
  /** Milliseconds that the lease lasts. @default {600_000} */
  readonly leaseMs?: number;
  /** Whether there is a run record. @default {true} */
  readonly recorded?: boolean;
  /** Keys of shards of other runs that the snapshot names too. */
  readonly reused?: readonly string[];
}

export class Series {
  readonly store: ObjectStore = memoryStore("series");
  readonly clock: ManualClock = new ManualClock(START);
  /** Keys of the shards of every manifest, by its ref. */
  readonly shardKeys = new Map<string, readonly string[]>();
  /** When which manifest was published. */
  readonly published = new Map<string, { readonly publishedAtMicros: number }>();
  /** Also of runs whose publish failed after the manifest was stored. */
  readonly #keysByRun = new Map<string, readonly string[]>();
  #runs = 0;

  /** Puts two shards and a run record. */
  async begin({ leaseMs = 600_000, recorded = true }: RunOptions = {}, store = this.store): Promise<BegunRun> {
    const runId = `r${this.#runs++}`;
    const micros = this.clock.nowMicros();
    const recordKey = `runs/${pathStamp(micros)}_run_id=${runId}_${"0".repeat(32)}/run.yaml`;
    if (recorded) await this.#record(recordKey, { runId, status: "running", leaseMs }, store);
    const keys = [0, 1].map((shardId) => `shards/run_id=${runId}/db=0000${shardId}/attempt=00/shard.db`);
    for (const key of keys) await store.put(key, Uint8Array.of(1, 2, 3));
    return { runId, keys, recordKey };
  }

  /** Publishes a begun run; gives the ref. */
  async finish(run: BegunRun, { recorded = true, reused = [] }: RunOptions = {}, store = this.store): Promise<string> {
    const { runId, recordKey } = run;
    const keys = [...run.keys, ...reused];
    const manifests = objectManifestStore(store, { clock: this.clock });
    const shards = keys.map((key, shardId) => ({
      shardId,
      dbUrl: `${store.url}/${key.replace(/\/shard\.db$/, "")}`,
      attempt: 0,
      rowCount: 1,
      dbBytes: 3,
      minKey: 1n,
      maxKey: 2n,
      checkpointId: null,
      writerInfo: {},
    }));
    const manifest = {
      ...manifestOf(runId, store),
      custom: { "shardyfusion": { "format_version": 1 } },
      shardCount: shards.length,
      shards,
    };
    this.#keysByRun.set(runId, keys);
    const expected = await manifests.loadCurrent();
    const { ref, publishedAtMicros } = await manifests.publish(manifest, expected);
    this.shardKeys.set(ref, keys);
    this.published.set(ref, { publishedAtMicros });
    if (recorded) await this.#record(recordKey, { runId, status: "succeeded", leaseMs: 0 }, store);
    return ref;
  }

  async publish(options: RunOptions = {}, store = this.store): Promise<string> {
    return await this.finish(await this.begin(options, store), options, store);
  }

  async keys(): Promise<Set<string>> {
    const keys = new Set<string>();
    for await (const page of this.store.list("")) for (const { key } of page) keys.add(key);
    return keys;
  }

  /** What is missing of a snapshot, its manifest included. */
  missingOf(ref: string, present: ReadonlySet<string>): string[] {
    const needed = [ref.slice(this.store.url.length + 1), ...this.#keysByRun.get(runIdOfManifestRef(ref)!)!];
    return needed.filter((key) => !present.has(key));
  }

  async #record(
    key: string,
    { runId, status, leaseMs }: { runId: string; status: RunStatus; leaseMs: number },
    store: ObjectStore,
  ): Promise<void> {
    const micros = this.clock.nowMicros();
    const record = renderRunRecord({
      runId,
      writerType: "test",
      status,
      startedAtMicros: micros,
      updatedAtMicros: micros,
      leaseExpiresAtMicros: micros + leaseMs * 1000,
      s3Prefix: store.url,
      shardPrefix: "shards",
      dbPathTemplate: "db={db_id:05d}",
      manifestRef: null,
      errorType: null,
      errorMessage: null,
    });
    await store.put(key, record);
  }
}
