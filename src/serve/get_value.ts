/**
 * `GET /v1/get/{key}` and `GET /v1/route/{key}`.
 * @module
 */
import { type Call, jsonAnswer, notModified, snapshotHeaders } from "./call.ts";
import { isKnown } from "./entity_tag.ts";
import { columnsOfQuery, keyOfForm, keyTextOf } from "./key_forms.ts";
import { decodedPart, queryParameters } from "./request_parts.ts";

const PARAMETERS = ["columns", "encoding"] as const;

const MISSING = JSON.stringify({
  type: "about:blank",
  title: "Not Found",
  status: 404,
  detail: "The snapshot has no such key",
});

/**
 * The bytes of a value. Written to be lean: from memory most of the time goes to the server's own work.
 *
 * A client that knows the snapshot's tag is told so without a lookup: what it was told about the key then, that it is
 * not there included, is still true.
 */
export async function getValue({ service, request, keyText, query }: Call): Promise<Response> {
  const { reader, current } = service;
  const known = request.headers.get("if-none-match");
  const text = decodedPart(keyText, "key");
  const { columns, encoding } = queryParameters(query, PARAMETERS);
  const form = keyTextOf(encoding);
  const { result, tag } = await current.read((facts): Promise<Uint8Array | null | "unchanged"> => {
    const key = keyOfForm(text, form, facts.keyEncoding);
    if (known !== null && isKnown(known, facts.tag)) return UNCHANGED;
    if (columns === undefined) return facts.mayWait ? reader.get(key, { signal: request.signal }) : reader.get(key);
    return reader.get(key, { columns: columnsOfQuery(columns, facts.routing)!, signal: request.signal });
  });
  const { facts } = current;
  const headers = tag === facts.tag
    ? facts.valueInit
    : { headers: snapshotHeaders(service, { type: service.options.contentType, tag }) };
  if (result === "unchanged" || (known !== null && tag !== null && isKnown(known, tag, result !== null))) {
    return notModified(headers.headers as Record<string, string>);
  }
  if (result === null) {
    return new Response(MISSING, {
      status: 404,
      headers: snapshotHeaders(service, { type: "application/problem+json", tag }),
    });
  }
  if (request.method !== "HEAD") return new Response(result as Uint8Array<ArrayBuffer>, headers);
  return new Response(null, {
    headers: { ...headers.headers as Record<string, string>, "content-length": String(result.byteLength) },
  });
}

const UNCHANGED: Promise<"unchanged"> = Promise.resolve("unchanged");

/** The shard that a key has, or would have. */
export async function getRoute(call: Call): Promise<Response> {
  const { service: { reader, current }, keyText, query } = call;
  const text = decodedPart(keyText, "key");
  const { columns, encoding } = queryParameters(query, PARAMETERS);
  const form = keyTextOf(encoding);
  const { result, tag } = await current.read((facts) => {
    const key = keyOfForm(text, form, facts.keyEncoding);
    const values = columnsOfQuery(columns, facts.routing);
    return Promise.resolve(reader.route(key, values === undefined ? {} : { columns: values }));
  });
  return jsonAnswer(call, { key: text, shard: result }, tag);
}
