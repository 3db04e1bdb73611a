/**
 * Searches a snapshot: which shards to ask, asking them, merging what they found (WIRE_FORMATS 13.8).
 * @module
 */
import type { SearchHit, ShardReader } from "../backends/backend.ts";
import { ConfigValidationError, ReaderStateError } from "../errors.ts";
import { checkFields, integerFrom, objectOf, optional, shown, signalCheck } from "../option_fields.ts";
import type { RoutingColumns } from "../routing/router.ts";
import { routeByColumns, type VectorRouter } from "../routing/vector_router.ts";
import { directoryOf } from "../snapshots/manifest.ts";
import { type VectorFields, vectorFieldsOf } from "../snapshots/vector_fields.ts";
import { mergeMatches } from "../vector/top_matches.ts";
import type { Generation } from "./generation.ts";
import { checkShardId } from "./look_up.ts";
import type { ReaderState } from "./reader_state.ts";

/** What to search for, and where. */
export interface VectorSearchOptions {
  /** At most so many results. @default {10} */
  readonly topK?: number | undefined;
  /**
   * The shards to search. Default: as the snapshot was sharded, those nearest to the query; all where vectors go with
   * keys or were spread by hash. Has to be given, or `columns`, where nothing else tells.
   */
  readonly shards?: Iterable<number> | undefined;
  /** How many shards to search in, with cluster and LSH sharding. Default: what the snapshot records. */
  readonly probes?: number | undefined;
  /** Values of the columns that the routing expression looks at, with CEL sharding: only their shard is searched. */
  readonly columns?: RoutingColumns | undefined;
  /** Aborts the search. */
  readonly signal?: AbortSignal | undefined;
}

/** What a search found. */
export interface VectorSearchResult {
  /** Nearest first: of equally near ones those of shards that were asked first, and of one shard those stored first. */
  readonly results: readonly SearchHit[];
  /** Shards that were searched; empty ones do not count. */
  readonly shardsQueried: number;
  /** How long the search took. */
  readonly latencyMs: number;
}

const optionChecks = {
  topK: optional(integerFrom(1)),
  shards: optional((value) =>
    typeof value === "object" && value !== null && Symbol.iterator in value ? null : "an array of shards' numbers"
  ),
  probes: optional(integerFrom(1)),
  columns: optional(objectOf("an object of values by column")),
  signal: optional(signalCheck),
};

/** As `SnapshotReader.search`. */
export async function searchSnapshot(
  state: ReaderState,
  query: ArrayLike<number>,
  options: VectorSearchOptions,
): Promise<VectorSearchResult> {
  const active = state.use();
  checkFields(options, "", optionChecks);
  const { clock, concurrencyMax } = state.options;
  const { topK = 10, signal } = options;
  signal?.throwIfAborted();
  const startedMs = clock.monotonicMs();
  const fields = vectorFieldsOf(active.manifest);
  if (fields === null) {
    throw new ReaderStateError(`Cannot search snapshot "${active.manifest.runId}" as it has no vectors`);
  }
  const vector = checkQuery(query, fields);
  const targets = targetsOf(active, vector, options);
  await state.limiter?.acquire(1, 0, signal);
  const lists = await active.whileOpen(() =>
    searchShards(targets, { state, active, vector, topK, signal, concurrencyMax })
  );
  const asked = lists.filter((list) => list !== null);
  const results = mergeMatches(asked, topK);
  const latencyMs = clock.monotonicMs() - startedMs;
  state.emit({
    name: "vector.reader.search",
    payload: {
      "top_k": topK,
      "num_shards_queried": asked.length,
      "num_results": results.length,
      "elapsed_ms": Math.round(latencyMs),
    },
  });
  return { results, shardsQueried: asked.length, latencyMs };
}

/** The query as float32. @throws {ConfigValidationError} when nothing can be found by it. */
function checkQuery(query: ArrayLike<number>, { dim, metric }: VectorFields): Float32Array {
  if (typeof query !== "object" || query === null || query.length !== dim) {
    throw queryError(`have ${dim} numbers`, (query as ArrayLike<number> | null)?.length ?? query);
  }
  const vector = new Float32Array(dim);
  let isZero = true;
  for (let i = 0; i < dim; i++) {
    const number = query[i];
    vector[i] = number as number;
    if (typeof number !== "number" || !Number.isFinite(vector[i])) throw queryError("be finite as float32", number);
    if (vector[i] !== 0) isZero = false;
  }
  if (isZero && metric === "cosine") throw queryError('not be zero with metric "cosine"', "a vector of no length");
  return vector;
}

function queryError(rule: string, value: unknown): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot search for a vector as it must ${rule}: current value is ${shown(value)}`,
    "query",
  );
}

/** The shards to ask, in the order in which their results count. */
function targetsOf(active: Generation, query: Float32Array, options: VectorSearchOptions): number[] {
  const { manifest, router } = active;
  const { shards, columns } = options;
  const all = directoryOf(manifest) === undefined
    ? manifest.shards.filter(({ dbUrl }) => dbUrl !== null).map(({ shardId }) => shardId)
    : Array.from({ length: manifest.shardCount }, (_, shardId) => shardId);
  const chosen = chosenShards();
  if (chosen === null) return all;
  const full = new Set(all);
  return chosen.filter((shardId) => full.has(shardId));

  function chosenShards(): readonly number[] | null {
    if (shards !== undefined) {
      const distinct = [...new Set(shards)];
      for (const shardId of distinct) checkShardId(shardId, manifest.shardCount);
      return distinct;
    }
    const { vectors } = router as Partial<VectorRouter>;
    if (vectors !== undefined) return vectors.targets(query, options);
    return columns === undefined || router.spec.strategy === "hash" ? null : [routeByColumns(router, columns)];
  }
}

interface ShardSearch {
  readonly state: ReaderState;
  readonly active: Generation;
  readonly vector: Float32Array;
  readonly topK: number;
  readonly signal: AbortSignal | undefined;
  readonly concurrencyMax: number;
}

/** Asks shards, at most so many at a time; null stands for an empty one. Ends all searches before it fails. */
async function searchShards(targets: readonly number[], search: ShardSearch): Promise<(SearchHit[] | null)[]> {
  const lists: (SearchHit[] | null)[] = targets.map(() => null);
  const failure = new AbortController();
  const { signal: given, concurrencyMax } = search;
  const signal = given === undefined ? failure.signal : AbortSignal.any([given, failure.signal]);
  let next = 0;
  async function work(): Promise<void> {
    while (next < targets.length && !signal.aborted) {
      const at = next++;
      try {
        lists[at] = await searchShard(targets[at]!, { ...search, signal });
      } catch (error) {
        failure.abort(error);
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, targets.length) }, work));
  signal.throwIfAborted();
  return lists;
}

async function searchShard(shardId: number, search: ShardSearch): Promise<SearchHit[] | null> {
  const { state: { options: { clock }, emit }, active, vector, topK, signal } = search;
  const startedMs = clock.monotonicMs();
  const reader: ShardReader | null = await active.readerAt(shardId, signal);
  if (reader === null) return null;
  if (reader.search === undefined) {
    throw new ConfigValidationError(`Cannot search shard ${shardId} as its engine does not search vectors`, "backend");
  }
  const hits = await reader.search(vector, { topK, signal });
  const elapsedMs = Math.round(clock.monotonicMs() - startedMs);
  emit({
    name: "vector.reader.shard_search",
    payload: { "shard_id": shardId, "top_k": topK, "num_results": hits.length, "elapsed_ms": elapsedMs },
  });
  return hits;
}
