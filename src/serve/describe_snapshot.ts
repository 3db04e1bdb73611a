/**
 * What a snapshot is: `GET /v1/info`, `GET /v1/shards`, `GET /v1/health`.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { xxh3Hex } from "../bytes/xxh3.ts";
import type { ShardInfo } from "../read/shard_info.ts";
import type { SnapshotInfo } from "../read/snapshot_info.ts";
import { vectorFieldsOf } from "../snapshots/vector_fields.ts";
import { type Call, jsonAnswer, type Service } from "./call.ts";
import { tagOf, tagOfForm } from "./entity_tag.ts";
import { Problem } from "./problems.ts";
import { queryParameters } from "./request_parts.ts";

/** The snapshot, without where it lies: refs, URLs and the writer's own fields stay inside. */
// deno-lint-ignore require-await -- an endpoint
export async function describeSnapshot(call: Call): Promise<Response> {
  const info = call.service.reader.info;
  const described = infoJson(info);
  // Other than the rows, some of this changes while a snapshot is current.
  const digest = xxh3Hex(
    new TextEncoder().encode(JSON.stringify(described, (_, value) => typeof value === "bigint" ? `${value}` : value)),
  );
  return jsonAnswer(call, described, tagOfForm(tagOf(info.manifestRef), digest));
}

function infoJson(info: SnapshotInfo): JsonObject {
  const { runId, shardCount, sharding, routing, hashAlgorithm, keyEncoding, generation, access, isLazy } = info;
  const { createdAtMicros, publishedAtMicros, rowCount, sizeBytes, warnings } = info;
  const vectors = vectorFieldsOf(info);
  return {
    runId,
    shardCount,
    sharding,
    routing: routing as unknown as JsonObject,
    hashAlgorithm,
    keyEncoding,
    createdAt: isoTime(createdAtMicros),
    publishedAt: isoTime(publishedAtMicros),
    createdAtMicros,
    publishedAtMicros,
    generation,
    rowCount,
    sizeBytes,
    isLazy,
    access,
    vectors: vectors && { dim: vectors.dim, metric: vectors.metric, sharding: vectors.sharding?.strategy ?? null },
    // Their texts name places of the store.
    warningCount: warnings.length,
  };
}

/** All shards, or one: `?shard=5`. */
export async function describeShards(call: Call): Promise<Response> {
  const { service: { full, current }, query, request } = call;
  if (full === null) throw new Problem(404, "This service does not list shards");
  const { shard } = queryParameters(query, ["shard"]);
  if (shard !== undefined && !/^\d{1,9}$/.test(shard)) throw new Problem(400, "The shard must be a whole number");
  if (shard === undefined && full.info.isLazy) {
    throw new Problem(409, "The snapshot has too many shards to list them: ask for one, ?shard=0");
  }
  if (Number(shard ?? 0) >= full.info.shardCount) throw new Problem(404, "There is no such shard");
  const { result, tag } = await current.read(async () =>
    shard === undefined ? full.shards : [await full.shard(Number(shard), { signal: request.signal })]
  );
  return jsonAnswer(call, { shards: result.map(shardJson) }, tag);
}

function shardJson(info: ShardInfo): JsonObject {
  const { shardId, rowCount, sizeBytes, minKey, maxKey, guardBytes, sidecarBytes } = info;
  return {
    id: shardId,
    rows: rowCount,
    bytes: sizeBytes,
    minKey: keyText(minKey),
    maxKey: keyText(maxKey),
    guardBytes,
    sidecarBytes,
  };
}

/** As text also for whole numbers, which JavaScript would round. */
function keyText(key: bigint | string | null): JsonValue {
  return typeof key === "bigint" ? String(key) : key;
}

/** Whether the service should be sent requests: 200, or 503. */
// deno-lint-ignore require-await -- an endpoint
export async function describeHealth({ service }: Call): Promise<Response> {
  const { runId, shardCount } = service.reader.info;
  const state = stateOf(service);
  const body = {
    status: service.isClosing() ? "draining" : state.status,
    runId,
    shardCount,
    snapshotAgeMs: Math.round(state.ageMs),
    refreshFailures: service.refreshFailures(),
  };
  return new Response(JSON.stringify(body), {
    status: body.status === "healthy" ? 200 : 503,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });
}

function stateOf({ reader, full, options }: Service): { status: string; ageMs: number } {
  const { staleAfterMs = Infinity, clock } = options;
  if (full !== null) {
    const { status, manifestAgeMs } = full.health(staleAfterMs === Infinity ? {} : { staleAfterMs });
    return { status, ageMs: manifestAgeMs };
  }
  const ageMs = Math.max(0, (clock.nowMicros() - reader.info.publishedAtMicros) / 1000);
  return { status: ageMs > staleAfterMs ? "degraded" : "healthy", ageMs };
}

function isoTime(micros: number): string {
  return new Date(micros / 1000).toISOString();
}
