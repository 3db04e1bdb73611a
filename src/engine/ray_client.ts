/**
 * Requests to the job server of a Ray cluster.
 * @module
 */
import { type JsonObject, parseJson } from "../bytes/python_json.ts";
import { EngineJobError } from "../errors.ts";
import { isJsonObject } from "../snapshots/checked_fields.ts";

/** How to reach the job server. */
export interface RayClientOptions {
  /** Address of the dashboard, such as `http://127.0.0.1:8265`. */
  readonly address: string | URL;
  /** Sent with every request. Of clusters with a token (Ray from 2.60 on): `authorization: "Bearer …"`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sends requests. Default: `node:http`, as Ray refuses the `fetch` of Node, which it takes for a browser's. */
  readonly fetch?: typeof fetch | undefined;
}

/** One request. */
export interface RayRequest {
  readonly method: "GET" | "POST" | "PUT";
  /** Below the address, such as `api/jobs/`. */
  readonly path: string;
  readonly body?: string | Uint8Array<ArrayBuffer> | undefined;
  readonly submissionId: string;
  readonly signal?: AbortSignal | undefined;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** How much of an answer an error repeats. */
const SHOWN_CHARS_MAX = 2000;

/**
 * The answer's JSON; an empty object where it has none.
 *
 * @throws {EngineJobError} when the server does not answer, or refuses; the signal's reason.
 */
export async function requestRay(client: RayClientOptions, request: RayRequest): Promise<JsonObject> {
  const { method, path, submissionId, signal } = request;
  const url = new URL(path, `${String(client.address).replace(/\/+$/, "")}/`);
  signal?.throwIfAborted();
  const send = client.fetch === undefined ? sendByNode : sendByFetch;
  const { status, text } = await send(url, client, request).catch((cause) => {
    signal?.throwIfAborted();
    const message = `Cannot reach Ray's job server at ${url.origin}: ${cause instanceof Error ? cause.message : cause}`;
    throw new EngineJobError(message, { submissionId, retryable: true, cause });
  });
  if (status < 200 || status > 299) {
    // The end of a traceback says what went wrong.
    const reason = text.trim().slice(-SHOWN_CHARS_MAX) || "no reason given";
    const advice = status === 401 || status === 403
      ? '; give the token of the cluster as its header "authorization"'
      : "";
    const message = `Cannot ${method} ${url.origin}${url.pathname}: Ray answers ${status}: ${reason}${advice}`;
    throw new EngineJobError(message, { submissionId, retryable: status === 429 || status >= 500 });
  }
  try {
    const answer = parseJson(text || "{}");
    if (isJsonObject(answer)) return answer;
  } catch {
    // Said below.
  }
  throw new EngineJobError(
    `Cannot read what ${url.origin} answers as JSON: is it the address of Ray's dashboard? It begins with ` +
      JSON.stringify(text.slice(0, 80)),
    { submissionId },
  );
}

async function sendByFetch(url: URL, client: RayClientOptions, { method, body, signal }: RayRequest): Promise<Answer> {
  const init = { method, headers: headersOf(client, body), body: body ?? null, signal: signal ?? null };
  const response = await client.fetch!(url, init);
  return { status: response.status, text: await response.text() };
}

async function sendByNode(url: URL, client: RayClientOptions, { method, body, signal }: RayRequest): Promise<Answer> {
  const { request } = await (url.protocol === "https:" ? import("node:https") : import("node:http"));
  return await new Promise((resolve, reject) => {
    const sent = request(url, { method, headers: headersOf(client, body), ...signal && { signal } }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => text += piece);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function headersOf({ headers }: RayClientOptions, body: RayRequest["body"]): Record<string, string> {
  const type = typeof body === "string" ? "application/json" : "application/octet-stream";
  return { ...body !== undefined && { "content-type": type }, ...headers };
}
