/**
 * `POST /v1/search`: the vectors nearest to one.
 * @module
 */
import type { JsonValue } from "../bytes/python_json.ts";
import { vectorFieldsOf } from "../snapshots/vector_fields.ts";
import type { RoutingSpec } from "../routing/router.ts";
import type { SnapshotInfo } from "../read/snapshot_info.ts";
import { type Call, jsonAnswer } from "./call.ts";
import { columnsOfJson } from "./key_forms.ts";
import { Problem } from "./problems.ts";
import { jsonBody } from "./request_parts.ts";

const MEMBERS = ["vector", "topK", "shards", "probes", "columns"] as const;

/** Searches; results are in the order of their scores, nearest first. */
export async function searchVectors(call: Call): Promise<Response> {
  const { service: { current, full, options }, request } = call;
  if (full === null) throw new Problem(404, "This service has no searches");
  const { bodyBytesMax, topKMax } = options.limits;
  const body = await jsonBody(request, { bytesMax: bodyBytesMax, names: MEMBERS });
  const vector = numbersOf(body["vector"], "vector");
  const topK = countOf(body["topK"], "topK") ?? 10;
  if (topK > topKMax) throw new Problem(400, `The member topK must be at most ${topKMax}`);
  const probes = countOf(body["probes"], "probes");
  const shards = body["shards"] === undefined ? undefined : numbersOf(body["shards"], "shards");
  const { result, tag } = await current.read(() => {
    const columns = columnsOfJson(body["columns"], routingOf(full.info));
    return full.search(vector, { topK, shards, probes, columns, signal: request.signal });
  });
  const { results, shardsQueried, latencyMs } = result;
  const rows = results.map(({ id, score, payload }) => ({ id, score, payload }));
  return jsonAnswer(call, { results: rows, shardsQueried, latencyMs }, tag);
}

/** What the columns of the vectors are. @throws {Problem} 409 when the snapshot has no vectors. */
function routingOf(info: SnapshotInfo): RoutingSpec {
  const fields = vectorFieldsOf(info);
  if (fields === null) throw new Problem(409, "The snapshot has no vectors");
  if (fields.sharding?.strategy !== "cel") return info.routing;
  const { strategy, expr, columns } = fields.sharding;
  return { strategy, expr, columns, routingValues: null };
}

function numbersOf(value: JsonValue | undefined, name: string): number[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "number" || typeof item === "bigint")) {
    return value.map(Number);
  }
  throw new Problem(400, `The member ${name} must be an array of numbers`);
}

function countOf(value: JsonValue | undefined, name: string): number | undefined {
  if (value === undefined || (typeof value === "number" && Number.isSafeInteger(value) && value >= 1)) return value;
  throw new Problem(400, `The member ${name} must be a whole number from 1 up`);
}
