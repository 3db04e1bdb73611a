/**
 * `GET /v1/openapi.json`: the service described, for this snapshot and with these limits.
 * @module
 */
import { dumpJson, type JsonObject, type JsonValue } from "../bytes/python_json.ts";
import { xxh3Hex } from "../bytes/xxh3.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { RoutingSpec } from "../routing/router.ts";
import { KEY_TEXTS } from "./byte_text.ts";
import type { Service } from "./call.ts";
import type { SnapshotFacts } from "./current_snapshot.ts";
import { SCHEMAS } from "./openapi_schemas.ts";

/** Of the interface that is described here. */
const API_VERSION = "1.0.0";

/** The largest number that has a hash. */
const HASHED_MAX = 2n ** 63n - 1n;
/** The largest number that can be a bound. */
const STORED_MAX = 2n ** 64n - 1n;

/** The document, and its tag. */
export function openApiText(service: Service): { readonly text: string; readonly tag: string } {
  const text = dumpJson(openApi(service), { compact: true });
  return { text, tag: `"${xxh3Hex(new TextEncoder().encode(text))}"` };
}

/** The document. */
export function openApi({ current, full, options }: Service): JsonObject {
  const { keyEncoding } = current.facts;
  const { limits, tokens, metrics, contentType } = options;
  const paths: Record<string, JsonObject> = {
    "/v1/get/{key}": { get: getOperation(current.facts, contentType) },
    "/v1/route/{key}": { get: routeOperation(current.facts) },
    "/v1/multiget": { post: manyOperation(current.facts, limits.keysMax) },
    "/v1/info": { get: described("describeSnapshot", "The snapshot", "Info") },
    "/v1/health": { get: healthOperation() },
    "/v1/openapi.json": { get: operation("describeApi", "This document", { "200": json({ type: "object" }) }) },
  };
  if (full !== null) {
    const scan = scanProperties(keyEncoding, { rowsMax: limits.rowsMax, shardCount: full.info.shardCount });
    paths["/v1/scan"] = { get: scanByQuery(scan), post: scanByBody(scan) };
    paths["/v1/search"] = { post: searchOperation(limits.topKMax) };
    paths["/v1/shards"] = { get: shardsOperation() };
  }
  if (metrics !== undefined) {
    const text = { description: "Metrics", content: { "text/plain": { schema: { type: "string" } } } };
    paths["/metrics"] = { get: operation("metrics", "Metrics in Prometheus' text format", { "200": text }) };
  }
  const scheme = { type: "http", scheme: "bearer" };
  return {
    openapi: "3.1.0",
    info: { title: "A shardyfusion snapshot", version: API_VERSION },
    paths,
    components: { schemas: SCHEMAS, ...(tokens.length === 0 ? {} : { securitySchemes: { token: scheme } }) },
    ...(tokens.length === 0 ? {} : { security: [{ token: [] }] }),
  };
}

function keySchema(encoding: KeyEncoding, u64Max: bigint = HASHED_MAX): JsonObject {
  if (encoding === "u32be") return { type: "integer", minimum: 0, maximum: 4_294_967_295 };
  if (encoding === "u64be") return { type: "integer", minimum: 0, maximum: u64Max };
  return { type: "string" };
}

function parameter(name: string, schema: JsonValue, where: "path" | "query" = "query"): JsonObject {
  return { name, in: where, required: where === "path", schema };
}

const COLUMN_SCHEMAS: Readonly<Record<string, JsonObject>> = {
  int: { type: "integer", minimum: -(2n ** 63n), maximum: HASHED_MAX },
  uint: { type: "integer", minimum: 0, maximum: STORED_MAX },
  double: { type: "number" },
  bool: { type: "boolean" },
};

/** The columns that the routing expression looks at; all but the key itself have to be given. */
function columnsSchema(routing: RoutingSpec): JsonObject & { readonly required?: readonly string[] } {
  if (routing.strategy === "hash") return { type: "object" };
  const columns = Object.entries(routing.columns).filter(([name]) => name !== "key");
  if (columns.length === 0) return { type: "object" };
  const properties = columns.map(([name, type]) => [name, COLUMN_SCHEMAS[type] ?? { type: "string" }]);
  return { type: "object", properties: Object.fromEntries(properties), required: columns.map(([name]) => name) };
}

function columnsParameter(routing: RoutingSpec): JsonObject {
  const schema = columnsSchema(routing);
  return {
    name: "columns",
    in: "query",
    required: schema.required !== undefined,
    description: "Values of the columns that the routing expression looks at",
    content: { "application/json": { schema } },
  };
}

function encodingSchema(encoding: KeyEncoding): JsonObject {
  return { type: "string", enum: encoding === "raw" || encoding === "utf8" ? [...KEY_TEXTS] : ["text"] };
}

function problem(description: string): JsonObject {
  return { description, content: { "application/problem+json": { schema: ref("Problem") } } };
}

function ref(name: string): JsonObject {
  return { $ref: `#/components/schemas/${name}` };
}

function json(schema: JsonValue): JsonObject {
  return { description: "Found", content: { "application/json": { schema } } };
}

function operation(
  operationId: string,
  summary: string,
  responses: JsonObject,
): Record<string, JsonValue> {
  return {
    operationId,
    summary,
    responses: { "401": problem("A token is needed"), "503": problem("Not now"), ...responses },
  };
}

function described(operationId: string, summary: string, schema: string): JsonObject {
  const known = { description: "What the client knows is still right" };
  return operation(operationId, summary, { "200": json(ref(schema)), "304": known });
}

const KEY_PROBLEMS: JsonObject = {
  "304": { description: "What the client knows is still right" },
  "400": problem("The snapshot cannot have such a key, or columns are missing"),
  "404": problem("There is no such key"),
  "414": problem("The URL is too long"),
};

function keyParameters({ keyEncoding: encoding, routing }: SnapshotFacts): JsonObject[] {
  return [
    parameter(
      "key",
      { ...keySchema(encoding), ...(encoding === "utf8" || encoding === "raw" ? { minLength: 1 } : {}) },
      "path",
    ),
    columnsParameter(routing),
    parameter("encoding", encodingSchema(encoding)),
  ];
}

function getOperation(facts: SnapshotFacts, contentType: string): JsonObject {
  const value = { description: "The value", content: { [contentType]: { schema: { type: "string" } } } };
  return {
    ...operation("get", "The value of a key", { "200": value, ...KEY_PROBLEMS }),
    parameters: keyParameters(facts),
  };
}

function routeOperation(facts: SnapshotFacts): JsonObject {
  return {
    ...operation("route", "The shard of a key", { "200": json(ref("Route")), ...KEY_PROBLEMS }),
    parameters: keyParameters(facts),
  };
}

const BODY_PROBLEMS: JsonObject = {
  "400": problem("The request is malformed"),
  "413": problem("The request asks for too much"),
  "414": problem("The URL is too long"),
  "415": problem("The body is of another type"),
};

function body(properties: JsonObject, required: readonly string[]): JsonObject {
  const schema = { type: "object", properties, required, additionalProperties: false };
  return { required: true, content: { "application/json": { schema } } };
}

function ndjson(schema: string): JsonObject {
  return { "application/x-ndjson": { schema: { type: "string", description: `${schema}, one to a line` } } };
}

function manyOperation({ keyEncoding: encoding, routing }: SnapshotFacts, keysMax: number): JsonObject {
  const columns = columnsSchema(routing);
  const required = columns.required === undefined ? ["keys"] : ["keys", "columns"];
  const found = {
    description: "One row for each key, in the order of the keys",
    content: { ...ndjson("ManyRow"), "application/json": { schema: ref("ManyRows") } },
  };
  const keys = { type: "array", maxItems: keysMax, items: keySchema(encoding) };
  return {
    ...operation("multiget", "The values of many keys", { "200": found, "404": problem("No"), ...BODY_PROBLEMS }),
    requestBody: body({ keys, columns, encoding: encodingSchema(encoding) }, required),
  };
}

function scanProperties(
  encoding: KeyEncoding,
  { rowsMax, shardCount }: { readonly rowsMax: number; readonly shardCount: number },
): Record<string, JsonValue> {
  const isText = encoding === "raw" || encoding === "utf8";
  return {
    shard: { type: "integer", minimum: 0, maximum: shardCount - 1 },
    from: keySchema(encoding, STORED_MAX),
    to: keySchema(encoding, STORED_MAX),
    ...(isText ? { prefix: { type: "string" } } : {}),
    limit: { type: "integer", minimum: 0, maximum: rowsMax },
    encoding: encodingSchema(encoding),
  };
}

const SCAN_ANSWER: JsonObject = { description: "Rows, shard by shard", content: ndjson("ScanRow") };

function scanByQuery(properties: Record<string, JsonValue>): JsonObject {
  return {
    ...operation("scan", "Rows in the order of their keys", {
      "200": SCAN_ANSWER,
      "304": { description: "What the client knows is still right" },
      ...BODY_PROBLEMS,
    }),
    parameters: Object.entries(properties).map(([name, schema]) => parameter(name, schema)),
  };
}

function scanByBody(properties: Record<string, JsonValue>): JsonObject {
  return {
    ...operation("scanByBody", "The same, asked by a body", { "200": SCAN_ANSWER, ...BODY_PROBLEMS }),
    requestBody: { ...body(properties, []), required: false },
  };
}

function searchOperation(topKMax: number): JsonObject {
  const numbers = { type: "array", items: { type: "number" } };
  const properties = {
    vector: { ...numbers, minItems: 1 },
    topK: { type: "integer", minimum: 1, maximum: topKMax },
    shards: { type: "array", items: { type: "integer", minimum: 0 } },
    probes: { type: "integer", minimum: 1 },
    columns: { type: "object" },
  };
  return {
    ...operation("search", "The vectors nearest to one", {
      "200": json(ref("Matches")),
      ...BODY_PROBLEMS,
      "404": problem("The columns lead to no shard"),
      "409": problem("The snapshot has no vectors"),
    }),
    requestBody: body(properties, ["vector"]),
  };
}

function shardsOperation(): JsonObject {
  const responses = {
    "200": json(ref("Shards")),
    "304": { description: "What the client knows is still right" },
    "400": problem("The request is malformed"),
    "404": problem("There is no such shard"),
    "409": problem("There are too many shards to list them"),
    "414": problem("The URL is too long"),
  };
  return {
    ...operation("describeShards", "All shards, or one", responses),
    parameters: [parameter("shard", { type: "integer", minimum: 0 })],
  };
}

function healthOperation(): JsonObject {
  const sick = {
    description: "The snapshot is too old, or the service is being shut down",
    content: { "application/json": { schema: ref("Health") }, "application/problem+json": { schema: ref("Problem") } },
  };
  return operation("health", "Whether to send requests here", { "200": json(ref("Health")), "503": sick });
}
