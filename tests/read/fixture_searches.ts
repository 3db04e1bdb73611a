/**
 * The searches that the Python package made in its own snapshots with vectors, and what it found.
 * @module
 */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import type { VectorId } from "../../src/vector/vector_cell.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";
import { floats } from "../vector/fixture_vectors.ts";
import { contextOf, type NotedKey } from "./fixture_snapshots.ts";

/** Snapshots of sqlite-vec that have keys and vectors. */
export const unifiedSnapshots: readonly string[] = ["vec_unified_l2", "vec_unified_cosine", "vec_unified_cel"];

/** Snapshots of sqlite-vec that have vectors only. */
export const vectorOnlySnapshots: readonly string[] = [
  "vec_only_cel",
  "vec_only_cel_bytes",
  "vec_only_cel_direct",
  "vec_only_cluster",
  "vec_only_cluster_given",
  "vec_only_explicit",
  "vec_only_lsh",
];

interface Search {
  readonly query: { readonly "f32_le_hex": string; readonly values: readonly number[] };
  readonly "top_k": number;
  readonly "shard_ids"?: readonly number[];
  readonly "num_probes"?: number;
  readonly "routing_context"?: Readonly<Record<string, NotedKey>>;
  readonly error?: { readonly class: string };
  readonly "num_shards_queried"?: number;
  readonly results?: readonly { readonly id: NotedKey; readonly score: number; readonly payload: unknown }[];
}

const CODES: Readonly<Record<string, string>> = {
  ConfigValidationError: "CONFIG_VALIDATION",
  UnknownRoutingTokenError: "UNKNOWN_ROUTING_TOKEN",
};

function idOf(id: NotedKey): VectorId {
  return id.type === "int" ? Number(id.value) : id.value as string;
}

function optionsOf(search: Search): Record<string, unknown> {
  return {
    topK: search.top_k,
    ...(search.shard_ids && { shards: search.shard_ids }),
    ...(search.num_probes && { probes: search.num_probes }),
    ...contextOf(search),
  };
}

/** What two lists of results have in common whatever the order of equal scores. */
function ranked(
  results: readonly { id: VectorId; score: number; payload: unknown }[],
  like: readonly number[],
): string[] {
  equal(results.length, like.length);
  results.forEach(({ score }, i) => ok(Math.abs(score - like[i]!) <= 1e-5 * (1 + Math.abs(like[i]!)), `score ${i}`));
  const group = (i: number): number => like.findIndex((score) => Math.abs(score - like[i]!) <= 1e-5);
  return results.map(({ id, payload }, i) =>
    `${String(group(i)).padStart(4)} ${typeof id} ${id} ${JSON.stringify(payload)}`
  )
    .sort();
}

/** Makes all the searches that are noted of a snapshot; gives how many there are. */
export async function checkSearches(reader: SnapshotReader, name: string): Promise<number> {
  const searches: readonly Search[] = fixtureJson(`snapshots/${name}/expected.json`).searches;
  ok(searches.length > 0);
  for (const search of searches) {
    const query = floats(search.query.f32_le_hex);
    const found = reader.search(search.num_probes ? query : search.query.values, optionsOf(search));
    if (search.error !== undefined) {
      await rejects(found, { code: CODES[search.error.class] });
      continue;
    }
    const { results, shardsQueried, latencyMs } = await found;
    const expected = search.results!.map(({ id, ...result }) => ({ ...result, id: idOf(id) }));
    const scores = expected.map(({ score }) => score);
    deepEqual(ranked(results, scores), ranked(expected, scores));
    equal(shardsQueried, search.num_shards_queried);
    ok(latencyMs >= 0);
  }
  return searches.length;
}
