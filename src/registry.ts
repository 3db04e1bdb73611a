/**
 * From a name in a manifest to the engine of that name, imported when it is needed.
 * @module
 */
import type { Backend } from "./backends/backend.ts";
import { sqliteBackend } from "./backends/sqlite_backend.ts";
import { DbAdapterError } from "./errors.ts";
import type { Manifest } from "./snapshots/manifest.ts";

/**
 * The engine that a snapshot's shards are read with: what its manifest says, or what its manifest shows where the
 * Python package wrote it (its manifests name no engine; SQLite is assumed).
 *
 * @throws {DbAdapterError} for an engine that this version does not have.
 */
export function backendOf(manifest: Manifest): Backend {
  const { shardyfusion: own, vector } = manifest.custom;
  const spec = isObject(own) && isObject(own["backend"]) ? own["backend"] : undefined;
  const name = spec?.["name"] ?? (isObject(vector) && vector["kv_backend"] === "slatedb" ? "slatedb" : "sqlite");
  if (name === "sqlite" || name === "native-sqlite") return sqliteBackend();
  throw new DbAdapterError(
    `Cannot read shards of the engine "${String(name)}": pass it as the option \`backend\` or update shardyfusion`,
  );
}

/** The engine of writers that do not choose one. */
export function defaultBackend(): Backend {
  return sqliteBackend();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
