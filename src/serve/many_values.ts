/**
 * `POST /v1/multiget`: many keys of one snapshot.
 * @module
 */
import type { JsonValue } from "../bytes/python_json.ts";
import { base64Of } from "./byte_text.ts";
import { type Call, snapshotHeaders, textBody } from "./call.ts";
import { tagOfForm } from "./entity_tag.ts";
import { columnsOfJson, keyOfJson, keyTextOf } from "./key_forms.ts";
import { Problem } from "./problems.ts";
import { jsonBody } from "./request_parts.ts";

/** What is sent at a time. */
const PIECE_CHARS = 1 << 16;

/** Looks keys up; the rows of the answer are in the order of the keys, as NDJSON or, if that is asked for, as JSON. */
export async function getManyValues({ service, request }: Call): Promise<Response> {
  const { reader, current, options: { limits: { bodyBytesMax, keysMax } } } = service;
  const body = await jsonBody(request, { bytesMax: bodyBytesMax, names: ["keys", "columns", "encoding"] });
  const asked = arrayOf(body["keys"]);
  if (asked.length > keysMax) throw new Problem(400, `There must be at most ${keysMax} keys`);
  const form = keyTextOf(body["encoding"]);
  const { result, tag } = await current.read(async ({ keyEncoding, routing }) => {
    const keys = asked.map((key) => keyOfJson(key, form, keyEncoding));
    const columns = columnsOfJson(body["columns"], routing);
    const { signal } = request;
    const values = await reader.getMany(keys, columns === undefined ? { signal } : { columns, signal });
    return keys.map((key) => values.get(key) ?? null);
  });
  const isJson = wantsJson(request.headers.get("accept"));
  const headers = snapshotHeaders(service, {
    type: isJson ? "application/json" : "application/x-ndjson",
    tag: isJson && tag !== null ? tagOfForm(tag, "json") : tag,
    vary: "Accept",
  });
  let at = 0;
  // deno-lint-ignore require-await -- what it is given to takes promises
  async function next(): Promise<string | null> {
    if (at > asked.length) return null;
    let piece = at === 0 && isJson ? '{"results":[' : "";
    while (at < asked.length && piece.length < PIECE_CHARS) {
      const row = rowText(asked[at]!, result[at]!);
      piece += isJson ? (at === 0 ? "" : ",") + row : `${row}\n`;
      at++;
    }
    if (at < asked.length) return piece;
    at++;
    return isJson ? `${piece}]}` : piece || null;
  }
  return new Response(
    textBody(next, { release: service.hold(), failed: (error) => service.report(error, request) }),
    { headers },
  );
}

function arrayOf(value: JsonValue | undefined): readonly JsonValue[] {
  if (Array.isArray(value)) return value;
  throw new Problem(400, "The member keys must be an array");
}

function rowText(key: JsonValue, value: Uint8Array | null): string {
  const shown = typeof key === "string" ? JSON.stringify(key) : String(key);
  return value === null
    ? `{"key":${shown},"found":false}`
    : `{"key":${shown},"found":true,"value":"${base64Of(value)}"}`;
}

/** NDJSON is what is given to those who take both, or anything. */
export function wantsJson(accept: string | null): boolean {
  return accept !== null && /\bapplication\/json\b/i.test(accept) && !/ndjson/i.test(accept);
}
