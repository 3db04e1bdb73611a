/**
 * `GET` and `POST /v1/scan`: rows in the order of their keys, shard by shard.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import type { ScanOptions } from "../read/scan_range.ts";
import type { EncodedRow } from "../read/scan_shards.ts";
import type { Key, KeyEncoding } from "../routing/key.ts";
import { base64Of, type KeyText } from "./byte_text.ts";
import { type Call, isRead, notModified, snapshotHeaders, textBody } from "./call.ts";
import { isKnown } from "./entity_tag.ts";
import { keyMembers, keyOfForm, keyOfJson, keyTextOf } from "./key_forms.ts";
import { Problem } from "./problems.ts";
import { jsonBody, queryParameters } from "./request_parts.ts";

const PARAMETERS = ["shard", "from", "to", "prefix", "limit", "encoding"] as const;
type Parameters = Partial<Record<typeof PARAMETERS[number], JsonValue>>;

/** Streams rows as NDJSON; holds one array of rows at a time, and the snapshot open until the end. */
export async function scanRows(call: Call): Promise<Response> {
  const { service, request } = call;
  const { current, full, options: { limits } } = service;
  if (full === null) throw new Problem(404, "This service has no scans");
  const given = await parametersOf(call);
  const form = keyTextOf(given.encoding);
  const limit = countOf(given.limit, "limit") ?? limits.rowsMax;
  if (limit > limits.rowsMax) throw new Problem(400, `The limit must be at most ${limits.rowsMax}`);
  const known = isRead(request) ? request.headers.get("if-none-match") : null;
  const { result, tag } = await current.read(async ({ keyEncoding, tag }) => {
    const options = { ...scanOptions(given, form, keyEncoding), limit, signal: request.signal };
    if (isKnown(known, tag)) return null;
    const rows = full.scanStream(options).getReader();
    return { rows, keyEncoding, first: await rows.read() };
  });
  const headers = snapshotHeaders(service, { type: "application/x-ndjson", tag });
  if (result === null) return notModified(headers);
  const { rows, keyEncoding } = result;
  if (request.method === "HEAD") {
    await rows.cancel();
    return new Response(null, { headers });
  }
  let ahead: typeof result.first | null = result.first;
  async function next(): Promise<string | null> {
    const { value, done } = ahead ?? await rows.read();
    ahead = null;
    return done ? null : value.map((row: EncodedRow) => rowText(row, form, keyEncoding)).join("");
  }
  return new Response(
    textBody(next, {
      cancel: () => rows.cancel(),
      release: service.hold(),
      failed: (error) => service.report(error, request),
    }),
    { headers },
  );
}

async function parametersOf({ service, request, query }: Call): Promise<Parameters> {
  if (request.method !== "POST") return queryParameters(query, PARAMETERS);
  const { bodyBytesMax } = service.options.limits;
  const hasBody = request.body !== null && request.headers.get("content-length") !== "0";
  const body: JsonObject = hasBody ? await jsonBody(request, { bytesMax: bodyBytesMax, names: PARAMETERS }) : {};
  const fromQuery = queryParameters(query, PARAMETERS);
  return { ...fromQuery, ...body };
}

function scanOptions(given: Parameters, form: KeyText, encoding: KeyEncoding): ScanOptions {
  const { shard, from, to, prefix } = given;
  return {
    shard: countOf(shard, "shard"),
    from: boundOf(from),
    to: boundOf(to),
    prefix: prefix === undefined ? undefined : prefixOf(prefix),
  };

  function boundOf(value: JsonValue | undefined): Key | undefined {
    return value === undefined ? undefined : keyOfJson(value, form, encoding);
  }

  function prefixOf(value: JsonValue): string | Uint8Array {
    if (typeof value !== "string") throw new Problem(400, "The prefix must be a string");
    if (encoding !== "raw" && encoding !== "utf8") throw new Problem(400, "Keys that are numbers have no prefixes");
    return keyOfForm(value, form, encoding) as string | Uint8Array;
  }
}

/** A whole number from 0 up, also as text. @throws {Problem} 400 when it is something else. */
function countOf(value: JsonValue | undefined, name: string): number | undefined {
  if (value === undefined) return undefined;
  const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
  throw new Problem(400, `The ${name} must be a whole number from 0 up`);
}

function rowText([key, value]: EncodedRow, form: KeyText, encoding: KeyEncoding): string {
  return `{${keyMembers(key, form, encoding)},"value":"${base64Of(value)}"}\n`;
}
