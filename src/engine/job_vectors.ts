/**
 * Routing by vectors, the same in all tasks of a job: centroids and hyperplanes lie in the store from the beginning,
 * where readers will look for them.
 * @module
 */
import { xxh3Hex } from "../bytes/xxh3.ts";
import { ConfigValidationError, CorruptFileError, ObjectNotFoundError } from "../errors.ts";
import type { Router } from "../routing/router.ts";
import { clusterRouter, explicitRouter, lshRouter, type VectorRouter } from "../routing/vector_router.ts";
import type { ObjectStore, ReadableStore } from "../stores/store.ts";
import { readNpy } from "../vector/npy.ts";
import { type StoredMeta, storedMetaOf, storeVectorMeta, vectorMetaFile } from "../write/vector_meta.ts";
import type { Job } from "./job.ts";
import type { JobVector, JobVectorSharding } from "./job_vector.ts";

type SharedSharding = JobVectorSharding & { readonly strategy: "cluster" | "lsh" };

const META = {
  cluster: { name: "centroids.npy", field: "centroids_ref" },
  lsh: { name: "hyperplanes.npy", field: "hyperplanes_ref" },
} as const;

/**
 * What a job says of the router that `clusterSharding(…)` or `lshSharding(…)` gave: `spec.vector.sharding`. Its
 * centroids or hyperplanes have to be stored for the tasks, by {@linkcode storeJobVectors}.
 *
 * @throws {ConfigValidationError} for routers without such.
 */
export function jobVectorSharding(router: VectorRouter): SharedSharding {
  const { strategy, fields } = router.vectors;
  const file = vectorMetaFile(router);
  if (file !== null && (strategy === "cluster" || strategy === "lsh")) {
    return { strategy, probes: fields["num_probes"] as number, meta: file.digest };
  }
  throw new ConfigValidationError(
    `Cannot store what vectors are routed by as it must be centroids or hyperplanes: current strategy is "${strategy}"`,
    "router",
  );
}

/** Stores centroids or hyperplanes for all tasks of a job, and for readers. Costs a PUT. */
export async function storeJobVectors(
  router: VectorRouter,
  { runId }: Pick<Job, "runId">,
  { store, signal = new AbortController().signal }: {
    readonly store: ObjectStore;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  await storeVectorMeta(router, { store, runId, signal });
}

/** Where these lie; null for jobs that have none. */
export function jobVectorMeta(
  { spec, runId }: Pick<Job, "spec" | "runId">,
  store: Pick<ObjectStore, "url">,
): StoredMeta | null {
  const sharding = spec.vector?.sharding ?? null;
  if (sharding === null || sharding.strategy === "explicit") return null;
  return storedMetaOf({ meta: META[sharding.strategy], digest: sharding.meta }, { store, runId });
}

/**
 * The router of a job whose vectors tell the shard. Costs a GET, but for shards that a column tells.
 *
 * @throws {ConfigValidationError} when there is no store, or nothing in it; {CorruptFileError} when it is another file.
 */
export async function vectorJobRouter(
  job: Job,
  { column: _, ...vector }: JobVector & { readonly sharding: JobVectorSharding },
  place: { readonly store: ReadableStore | undefined; readonly signal: AbortSignal },
): Promise<Router> {
  const { sharding, dim, metric } = vector;
  const { shardCount } = job.spec;
  if (sharding.strategy === "explicit") return explicitRouter(shardCount);
  const { probes } = sharding;
  const rows = { values: await loadNumbers(job, { ...place, sharding, dim }), dim };
  if (sharding.strategy === "lsh") return lshRouter({ hyperplanes: rows, shardCount, probes });
  const router = clusterRouter({ centroids: rows, metric, probes });
  if (router.shardCount === shardCount) return router;
  throw new ConfigValidationError(
    `Cannot use option "job.spec.shardCount" as it must be ${router.shardCount}, the number of the job's centroids: ` +
      `current value is ${shardCount}`,
    "job.spec.shardCount",
  );
}

async function loadNumbers(
  { runId }: Job,
  { store, signal, sharding: { strategy, meta }, dim }: {
    readonly store: ReadableStore | undefined;
    readonly signal: AbortSignal;
    readonly sharding: SharedSharding;
    readonly dim: number;
  },
): Promise<Float32Array | Float64Array> {
  const { name } = META[strategy];
  if (store === undefined) {
    throw new ConfigValidationError(
      `Cannot route by the job's ${name} without option "store": give the place that the job names`,
      "store",
    );
  }
  const key = `vector_meta/run_id=${runId}/${name}`;
  const stored = await store.get(key, { signal }).catch((cause) => {
    if (!(cause instanceof ObjectNotFoundError)) throw cause;
    throw new ConfigValidationError(
      `Cannot use the job as its ${name} is not in the store: plan it again, with a longer lease if tasks begin late`,
      "job.spec.vector.sharding.meta",
      { cause },
    );
  });
  const bytes = await stored.bytes();
  const { shape, values } = readNpy(bytes);
  const isSame = bytes.length === meta.sizeBytes && xxh3Hex(bytes) === meta.xxh3;
  if (isSame && shape.length === 2 && shape[1] === dim) return values;
  throw new CorruptFileError(`Cannot route by "${key}" as it is not the file that the job was planned with`, -1);
}
