/**
 * Schemas of what the service answers.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";

const TEXT: JsonObject = { type: "string" };
const COUNT: JsonObject = { type: "integer", minimum: 0 };
const COUNT_OR_NULL: JsonObject = { type: ["integer", "null"], minimum: 0 };
const TEXT_OR_NULL: JsonObject = { type: ["string", "null"] };
const KEY: JsonObject = { type: ["string", "integer"] };

function record(properties: Record<string, JsonValue>, optional: readonly string[] = []): JsonObject {
  return { type: "object", properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) };
}

/** By name. */
export const SCHEMAS: JsonObject = Object.freeze({
  Problem: record({ type: TEXT, title: TEXT, status: COUNT, detail: TEXT, code: TEXT }, ["code"]),
  Route: record({ key: TEXT, shard: COUNT }),
  ManyRow: record({ key: KEY, found: { type: "boolean" }, value: { ...TEXT, contentEncoding: "base64" } }, ["value"]),
  ManyRows: record({ results: { type: "array", items: { $ref: "#/components/schemas/ManyRow" } } }),
  ScanRow: record({ key: TEXT_OR_NULL, keyBase64url: TEXT, value: { ...TEXT, contentEncoding: "base64" } }, [
    "keyBase64url",
  ]),
  Matches: record({
    results: { type: "array", items: record({ id: KEY, score: { type: "number" }, payload: {} }) },
    shardsQueried: COUNT,
    latencyMs: { type: "number" },
  }),
  Info: record({
    runId: TEXT,
    shardCount: COUNT,
    sharding: TEXT,
    routing: { type: "object" },
    hashAlgorithm: TEXT,
    keyEncoding: { type: "string", enum: ["u64be", "u32be", "utf8", "raw"] },
    createdAt: { ...TEXT, format: "date-time" },
    publishedAt: { ...TEXT, format: "date-time" },
    createdAtMicros: COUNT,
    publishedAtMicros: COUNT,
    generation: COUNT_OR_NULL,
    rowCount: COUNT_OR_NULL,
    sizeBytes: COUNT_OR_NULL,
    isLazy: { type: "boolean" },
    access: TEXT,
    vectors: {
      type: ["object", "null"],
      properties: { dim: COUNT, metric: TEXT, sharding: TEXT_OR_NULL },
    },
    warningCount: COUNT,
  }),
  Shards: record({
    shards: {
      type: "array",
      items: record({
        id: COUNT,
        rows: COUNT,
        bytes: COUNT,
        minKey: TEXT_OR_NULL,
        maxKey: TEXT_OR_NULL,
        guardBytes: COUNT_OR_NULL,
        sidecarBytes: COUNT_OR_NULL,
      }),
    },
  }),
  Health: record({
    status: { type: "string", enum: ["healthy", "degraded", "unhealthy", "draining"] },
    runId: TEXT,
    shardCount: COUNT,
    snapshotAgeMs: COUNT,
    refreshFailures: COUNT,
  }),
});
