/**
 * From a name in a manifest to the engine of that name, imported when it is needed.
 * @module
 */
import type { Backend } from "./backends/backend.ts";
import { slatedbBackend } from "./backends/slatedb_backend.ts";
import { sqliteBackend } from "./backends/sqlite_backend.ts";
import { sqliteVecBackend } from "./backends/sqlite_vec_backend.ts";
import { ConfigValidationError, DbAdapterError } from "./errors.ts";
import type { Manifest } from "./snapshots/manifest.ts";
import type { SearchedMetric } from "./vector/distance.ts";

/**
 * The engine that a snapshot's shards are read with: what its manifest says, or what its manifest shows where the
 * Python package wrote it. Its manifests name no engine of rows without vectors, where SQLite is assumed, and none of
 * vectors without rows, where sqlite-vec is.
 *
 * @throws {DbAdapterError} for an engine that this version does not have.
 */
export function backendOf(manifest: Manifest): Backend {
  const { shardyfusion: own, vector } = manifest.custom;
  const spec = isObject(own) && isObject(own["backend"]) ? own["backend"] : undefined;
  const name = spec?.["name"] ?? engineShownBy(vector);
  if (name === "sqlite" || name === "native-sqlite") return sqliteBackend();
  if (name === "slatedb") return slatedbBackend();
  if (name === "sqlite-vec" && isObject(vector)) {
    const { dim, metric } = vector;
    try {
      return sqliteVecBackend({ dim: dim as number, metric: metric as SearchedMetric });
    } catch (cause) {
      if (!(cause instanceof ConfigValidationError)) throw cause;
      throw new DbAdapterError("Cannot read shards with vectors of such a dimension or metric", { cause });
    }
  }
  throw new DbAdapterError(
    `Cannot read shards of the engine "${String(name)}": pass it as the option \`backend\` or update shardyfusion`,
  );
}

/** The engine by what the Python package says of vectors. */
function engineShownBy(vector: unknown): unknown {
  if (!isObject(vector)) return "sqlite";
  const { backend = "sqlite-vec", unified, "kv_backend": keyValueBackend = backend } = vector;
  if (unified !== true) return backend;
  return backend === "sqlite-vec" || keyValueBackend === "slatedb" ? keyValueBackend : "sqlite";
}

/** The engine of writers that do not choose one. */
export function defaultBackend(): Backend {
  return sqliteBackend();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
