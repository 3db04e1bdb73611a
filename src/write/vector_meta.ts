/**
 * What a snapshot that has vectors and no keys says of them, and the file with centroids or hyperplanes beside it.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import type { JsonObject } from "../bytes/python_json.ts";
import { xxh3Hex } from "../bytes/xxh3.ts";
import { hashRouter } from "../routing/hash_router.ts";
import type { Router } from "../routing/router.ts";
import type { VectorMeta, VectorRouter } from "../routing/vector_router.ts";
import { joinUrl } from "../snapshots/layout.ts";
import { digestRecord, type MetaDigest } from "../snapshots/vector_fields.ts";
import type { ObjectStore } from "../stores/store.ts";
import { writeNpy } from "../vector/npy.ts";

/** A file that was stored for the router. */
export interface StoredMeta {
  /** Folder in the store. */
  readonly folder: string;
  /** Name of the field that refers to it. */
  readonly field: string;
  readonly ref: string;
  readonly digest: MetaDigest;
}

/** Where the file goes. */
export interface MetaTarget {
  readonly store: ObjectStore;
  readonly runId: string;
  readonly signal: AbortSignal;
}

/** A file for the router that is not stored yet. */
export interface MetaFile {
  readonly meta: Pick<VectorMeta, "name" | "field">;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: MetaDigest;
}

/** The file that readers route by; null when they need none. */
export function vectorMetaFile(router: Router): MetaFile | null {
  const meta = (router as Partial<VectorRouter>).vectors?.meta;
  if (meta === undefined || meta === null) return null;
  const { values, dim } = meta.rows;
  const bytes = writeNpy({ shape: [values.length / dim, dim], values: values as Float32Array<ArrayBuffer> });
  return { meta, bytes, digest: { sizeBytes: bytes.length, xxh3: xxh3Hex(bytes) } };
}

/** Where the file of a run lies, and what is recorded about it. */
export function storedMetaOf(
  { meta, digest }: Pick<MetaFile, "meta" | "digest">,
  { store, runId }: Pick<MetaTarget, "runId"> & { readonly store: Pick<ObjectStore, "url"> },
): StoredMeta {
  const folder = `vector_meta/run_id=${runId}`;
  return { folder, field: meta.field, ref: joinUrl(store.url, `${folder}/${meta.name}`), digest };
}

/** Stores the file that readers route by; null when they need none. */
export async function storeVectorMeta(router: Router, target: MetaTarget): Promise<StoredMeta | null> {
  const file = vectorMetaFile(router);
  if (file === null) return null;
  const { store, signal } = target;
  const stored = storedMetaOf(file, target);
  await store.put(`${stored.folder}/${file.meta.name}`, file.bytes, { precondition: { ifNoneMatch: "*" }, signal });
  return stored;
}

/** What the manifest says of keys where there are vectors only: as in all of the Python package's. */
export function vectorOnlyRouting({ shardCount }: Router): { readonly router: Router; readonly keyEncoding: "raw" } {
  return { router: hashRouter(shardCount), keyEncoding: "raw" };
}

/** Fields of the manifest's column `custom`. */
export interface VectorOnlyFields {
  readonly vector: JsonObject;
  /** What stands in `shardyfusion`. */
  readonly own: JsonObject;
}

/** What the manifest says of a snapshot that has vectors and no keys to look up. */
export function vectorOnlyFields(
  { vectors: space }: Pick<Backend, "vectors">,
  { router, meta, rowCount }: { readonly router: Router; readonly meta: StoredMeta | null; readonly rowCount: number },
): VectorOnlyFields | null {
  if (space === undefined) return null;
  const { dim, metric } = space;
  const { sharding, own } = shardingFields(router);
  return {
    vector: {
      ...{ dim, metric, "index_type": "hnsw", quantization: null, "total_vectors": rowCount, ...sharding },
      ...(meta && { [meta.field]: meta.ref }),
    },
    own: { ...own, ...(meta && { "vector_meta": digestRecord(meta.digest) }) },
  };
}

function shardingFields(router: Router): { sharding: JsonObject; own: JsonObject } {
  const { vectors } = router as Partial<VectorRouter>;
  if (vectors !== undefined) return { sharding: { "sharding_strategy": vectors.strategy, ...vectors.fields }, own: {} };
  const { spec } = router;
  if (spec.strategy === "cel") {
    const { expr, columns, routingValues } = spec;
    return {
      sharding: {
        ...{ "sharding_strategy": "cel", "num_probes": 1, "cel_expr": expr, "cel_columns": columns },
        ...(routingValues && { "routing_values": routingValues }),
      },
      own: {},
    };
  }
  // Readers of the Python package have no such sharding: they have to be told which shards to ask.
  return { sharding: { "sharding_strategy": "explicit", "num_probes": 1 }, own: { "vector_sharding": "hash" } };
}
