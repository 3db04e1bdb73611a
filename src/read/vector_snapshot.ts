/**
 * Opens what a search needs beside shards: how vectors were spread over them.
 * @module
 */
import { xxh3Hex } from "../bytes/xxh3.ts";
import { ConfigValidationError, CorruptFileError, ReaderStateError, StoreError } from "../errors.ts";
import { celRouter } from "../routing/cel_router.ts";
import {
  clusterRouter,
  columnsRouter,
  explicitRouter,
  lshRouter,
  scatteredRouter,
  type VectorRouter,
} from "../routing/vector_router.ts";
import { keyUnder } from "../snapshots/layout.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import { type VectorFields, vectorFieldsOf, type VectorShardingFields } from "../snapshots/vector_fields.ts";
import type { ReadableStore } from "../stores/store.ts";
import type { VectorRows } from "../vector/distance_table.ts";
import { readNpy } from "../vector/npy.ts";
import type { SnapshotPlace } from "./reader_parts.ts";

/** Where the file lies that routes, and what reads it. */
export type VectorPlace = Omit<SnapshotPlace, "requests"> & {
  readonly requests: { store(inner: ReadableStore): ReadableStore };
};

type WithMeta = VectorShardingFields & { readonly strategy: "cluster" | "lsh" };

/**
 * The router of a snapshot that has vectors and no keys. Costs one GET where centroids or hyperplanes are needed.
 *
 * @throws {ConfigValidationError} when the manifest says too little, or what this version does not know.
 * @throws {ReaderStateError} when centroids or hyperplanes cannot be read.
 */
export async function vectorRouterOf(manifest: Manifest, place: VectorPlace): Promise<VectorRouter> {
  const fields = vectorFieldsOf(manifest);
  const sharding = fields?.sharding;
  const { shardCount } = manifest;
  switch (sharding?.strategy) {
    case "explicit":
      return explicitRouter(shardCount);
    case "hash":
      return scatteredRouter(shardCount);
    case "cel": {
      const { expr, columns, routingValues } = sharding;
      const spec = { strategy: "cel", expr, columns, routingValues: null } as const;
      return columnsRouter(celRouter(spec, shardCount, { tokens: routingValues }), {});
    }
    case "cluster":
    case "lsh":
      return await routerByMeta(sharding, { manifest, fields: fields!, place });
    default:
      throw new ConfigValidationError("Cannot search a snapshot without vectors", "store");
  }
}

async function routerByMeta(
  sharding: WithMeta,
  { manifest, fields, place }: {
    readonly manifest: Manifest;
    readonly fields: VectorFields;
    readonly place: VectorPlace;
  },
): Promise<VectorRouter> {
  const { metaRef: ref, probes, strategy } = sharding;
  try {
    const rows = await loadRows(sharding, fields.dim, { ...place, s3Prefix: manifest.s3Prefix });
    if (strategy === "lsh") return lshRouter({ hyperplanes: rows, shardCount: manifest.shardCount, probes });
    const router = clusterRouter({ centroids: rows, metric: fields.metric, probes });
    if (router.shardCount === manifest.shardCount) return router;
    throw new CorruptFileError(`Cannot use ${router.shardCount} centroids for ${manifest.shardCount} shards`, -1);
  } catch (cause) {
    place.signal?.throwIfAborted();
    if (cause instanceof StoreError && cause.retryable) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = strategy === "lsh" ? "hyperplanes" : "centroids";
    throw new ReaderStateError(`Cannot search snapshot "${manifest.runId}" without its ${what} "${ref}": ${reason}`, {
      cause,
    });
  }
}

/** Reads a file of rows, and checks it against what is recorded about it. */
async function loadRows(
  { metaRef: ref, digest }: WithMeta,
  dim: number,
  { store, resolveStore, requests, signal, s3Prefix }: VectorPlace & { readonly s3Prefix: string },
): Promise<VectorRows> {
  let key = keyUnder(s3Prefix, ref);
  let source = key === null ? null : store;
  if (source === null) {
    if (resolveStore === undefined) {
      throw new ConfigValidationError(
        `Cannot read "${ref}" as it does not lie under "${s3Prefix}": give the option \`resolveStore\``,
        "resolveStore",
      );
    }
    const end = ref.lastIndexOf("/");
    source = resolveStore(ref.slice(0, end));
    key = ref.slice(end + 1);
  }
  const stored = await requests.store(source).get(key!, { signal });
  const bytes = await stored.bytes();
  if (digest !== undefined && (bytes.length !== digest.sizeBytes || xxh3Hex(bytes) !== digest.xxh3)) {
    throw new CorruptFileError("Cannot use it as its bytes do not have the recorded digest", -1);
  }
  const { shape, values } = readNpy(bytes);
  if (shape.length !== 2 || shape[1] !== dim || !values.every(Number.isFinite)) {
    throw new CorruptFileError(`Cannot use it as it must be rows of ${dim} finite numbers`, -1);
  }
  return { values, dim };
}
