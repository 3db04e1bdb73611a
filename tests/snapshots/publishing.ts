/**
 * Small manifests to publish, and a store error.
 * @module
 */
import { StoreError } from "../../src/errors.ts";
import type { Manifest } from "../../src/snapshots/manifest.ts";
import type { ManifestStore } from "../../src/snapshots/manifest_store.ts";

/** 2026-01-02T03:04:05Z. */
export const START = 1_767_323_045_000_000;

/** A snapshot without rows. */
export function manifestOf(runId: string, store: { url: string }): Manifest {
  return {
    runId,
    createdAtMicros: START,
    shardCount: 1,
    s3Prefix: store.url,
    keyColumn: "_key",
    routing: { strategy: "hash" },
    dbPathTemplate: "db={db_id:05d}",
    shardPrefix: "shards",
    keyEncoding: "u64be",
    custom: {},
    shards: [],
  };
}

/** Publishes over whatever is current; gives the ref. */
export async function publishNext(manifests: ManifestStore, store: { url: string }, runId: string): Promise<string> {
  const { ref } = await manifests.publish(manifestOf(runId, store), await manifests.loadCurrent());
  return ref;
}

/** What a store throws that does not answer for a while. */
export function outage(url: string): StoreError {
  return new StoreError("Cannot reach the store", { url, status: 503, retryable: true });
}
