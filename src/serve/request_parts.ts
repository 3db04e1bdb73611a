/**
 * What a request says: path, query, body; bounded, and refused where it is malformed.
 * @module
 */
import { type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { Problem } from "./problems.ts";

/** The parts of a URL as they came, neither decoded nor resolved. */
export interface UrlParts {
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
}

/** Splits an absolute URL. Cheaper than `URL`, and leaves dots and percent signs alone. */
export function urlParts(url: string): UrlParts {
  const authority = url.indexOf("//") + 2;
  const slash = url.indexOf("/", authority);
  const mark = url.indexOf("?", authority);
  const hash = url.indexOf("#", authority);
  const end = hash < 0 ? url.length : hash;
  const pathEnd = mark < 0 || mark > end ? end : mark;
  const path = slash < 0 || slash > pathEnd ? "/" : url.slice(slash, pathEnd);
  return { path, query: pathEnd === end ? "" : url.slice(pathEnd + 1, end) };
}

/** Text of a part of a URL. @throws {Problem} 400 when its percent signs or bytes are not those of UTF-8. */
export function decodedPart(text: string, what: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Problem(400, `The ${what} must be percent-encoded UTF-8`);
  }
}

/** Parameters of a query by name. @throws {Problem} 400 for names that are not among these, or that come twice. */
export function queryParameters<N extends string>(query: string, names: readonly N[]): Partial<Record<N, string>> {
  const found: Partial<Record<N, string>> = {};
  if (query === "") return found;
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const name = decodedPart((at < 0 ? pair : pair.slice(0, at)).replaceAll("+", " "), "query") as N;
    if (!names.includes(name)) throw new Problem(400, `There is no parameter ${JSON.stringify(name)} here`);
    if (Object.hasOwn(found, name)) throw new Problem(400, `Parameter "${name}" is given twice`);
    found[name] = at < 0 ? "" : decodedPart(pair.slice(at + 1).replaceAll("+", " "), "query");
  }
  return found;
}

/**
 * The JSON object that is the body of a request.
 *
 * @throws {Problem} 413 when it is longer than allowed, 415 when it is of another type, 400 when it is no JSON object
 * or has members of other names.
 */
export async function jsonBody(
  request: Request,
  { bytesMax, names }: { readonly bytesMax: number; readonly names: readonly string[] },
): Promise<JsonObject> {
  const type = request.headers.get("content-type");
  if (type !== null && !/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new Problem(415, "The body must be of type application/json");
  }
  if (!/^(?:identity)?$/i.test(request.headers.get("content-encoding") ?? "")) {
    throw new Problem(415, "The body must not be compressed");
  }
  const body = parsedJson(await bodyText(request, bytesMax), "body");
  if (!isJsonObject(body)) throw new Problem(400, "The body must be a JSON object");
  for (const name of Object.keys(body)) {
    if (!names.includes(name)) throw new Problem(400, `There is no member ${JSON.stringify(name)} here`);
  }
  return body;
}

/** @throws {Problem} 400 when it is no JSON. */
export function parsedJson(text: string, what: string): JsonValue {
  try {
    return parseJson(text);
  } catch {
    // Neither what the parser says, which quotes the text, nor that it ran out of stack, is for clients.
    throw new Problem(400, `The ${what} must be JSON`);
  }
}

/** Whether a value is an object with members. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function bodyText(request: Request, bytesMax: number): Promise<string> {
  if (Number(request.headers.get("content-length") ?? 0) > bytesMax) throw tooLarge(bytesMax);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const { value, done } = await reader?.read() ?? { value: undefined, done: true };
    if (done || value === undefined) break;
    sizeBytes += value.byteLength;
    if (sizeBytes > bytesMax) {
      reader?.cancel().catch(() => {});
      throw tooLarge(bytesMax);
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Problem(400, "The body must be UTF-8");
  }
}

function tooLarge(bytesMax: number): Problem {
  return new Problem(413, `The body must have at most ${bytesMax} bytes`, { headers: { "connection": "close" } });
}
