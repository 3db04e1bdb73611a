/**
 * From a name in a manifest to the engine of that name, imported when it is needed.
 * @module
 */
import type { Backend } from "./backends/backend.ts";
import { compositeBackend } from "./backends/composite_backend.ts";
import { lancedbBackend } from "./backends/lancedb_backend.ts";
import { slatedbBackend } from "./backends/slatedb_backend.ts";
import { sqliteBackend } from "./backends/sqlite_backend.ts";
import { sqliteVecBackend } from "./backends/sqlite_vec_backend.ts";
import { ConfigValidationError, DbAdapterError } from "./errors.ts";
import type { Manifest } from "./snapshots/manifest.ts";
import type { SearchedMetric } from "./vector/distance.ts";
import type { VectorMetric } from "./vector/vector_cell.ts";

/**
 * The engine that a snapshot's shards are read with: what its manifest says, or what its manifest shows where the
 * Python package wrote it. Its manifests name no engine of rows without vectors, where SQLite is assumed, and none of
 * vectors without rows, where sqlite-vec is.
 *
 * @throws {DbAdapterError} for an engine that this version does not have.
 */
export function backendOf({ custom }: Pick<Manifest, "custom">): Backend {
  const { shardyfusion: own, vector } = custom;
  const space = isObject(vector) ? vector : {};
  const spec = isObject(own) && isObject(own["backend"]) ? own["backend"] : undefined;
  return engineOf(spec ?? engineShownBy(vector), space);
}

/** The engine of a name; what has two has their specs as its options. */
function engineOf({ name, options }: Record<string, unknown>, space: Record<string, unknown>): Backend {
  if (name === "sqlite" || name === "native-sqlite") return sqliteBackend();
  if (name === "slatedb") return slatedbBackend();
  const { dim, metric } = space;
  const vectors = { dim: dim as number, metric: metric as VectorMetric };
  try {
    if (name === "sqlite-vec") return sqliteVecBackend(vectors as { dim: number; metric: SearchedMetric });
    if (name === "lancedb") return lancedbBackend(vectors);
    if (name === "composite" && isObject(options) && isObject(options["kv"]) && isObject(options["vector"])) {
      return compositeBackend(engineOf(options["kv"], space), engineOf(options["vector"], space));
    }
  } catch (cause) {
    if (!(cause instanceof ConfigValidationError)) throw cause;
    throw new DbAdapterError("Cannot read shards with vectors of such a dimension or metric", { cause });
  }
  throw new DbAdapterError(
    `Cannot read shards of the engine "${String(name)}": pass it as the option \`backend\` or update shardyfusion`,
  );
}

/** The engine by what the Python package says of vectors. */
function engineShownBy(vector: unknown): Record<string, unknown> {
  if (!isObject(vector)) return { name: "sqlite" };
  const { backend = "sqlite-vec", unified, "kv_backend": keyValueBackend = backend } = vector;
  if (unified !== true || backend === keyValueBackend) return { name: backend };
  return { name: "composite", options: { kv: { name: keyValueBackend }, vector: { name: backend } } };
}

/** The engine of writers that do not choose one. */
export function defaultBackend(): Backend {
  return sqliteBackend();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
