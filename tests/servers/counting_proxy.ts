/**
 * An HTTP server for tests that counts what is asked of it, answers late, and answers wrongly on demand. It stands in
 * front of a real S3 server, or serves objects by itself with ETag, Range, If-Match and If-None-Match.
 * @module
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, request as sendRequest, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import type { ReadableStore } from "../../src/stores/store.ts";

/** One request, as answered. */
export interface CountedRequest {
  readonly method: string;
  /** Decoded, with its slash in front, without the query. */
  readonly path: string;
  /** With its question mark; empty without. */
  readonly query: string;
  readonly range: string | null;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** 0 until the answer began. */
  status: number;
  /** Length of the body that was sent. */
  bytes: number;
}

/**
 * How an answer goes wrong.
 *
 * - `cut` closes the connection in the middle of the body, `stall` keeps it open there for ever.
 * - `wrongRange` answers for a range one byte aside and says so, `wrongBytes` says nothing.
 * - `wholeFor206` ignores the range, `gzip` compresses the body, `etag` tells another version.
 * - `badLength` announces one byte more than comes.
 * - `lost` closes the connection instead of answering, when the request has had its effect.
 */
export type Fault =
  | "cut"
  | "stall"
  | "wrongRange"
  | "wrongBytes"
  | "wholeFor206"
  | "gzip"
  | "etag"
  | "badLength"
  | "lost"
  | { readonly slowFirstByteMs: number }
  | { readonly status: number };

/** Asked once for each request, which waits for the answer; `index` counts all requests of the server from 0. */
export type FaultOf = (request: CountedRequest, index: number) => Fault | null | Promise<Fault | null>;

/** A running server; dispose it. */
export interface CountingProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port`: an endpoint for S3 clients, or the base of the objects. */
  readonly url: string;
  /** What was asked since the start or the last `take`. */
  readonly log: readonly CountedRequest[];
  /** The log, which is empty afterwards. */
  take(): CountedRequest[];
  /** How long every request waits before it is looked at. */
  delayMs: number;
  fault: FaultOf | null;
}

/** Where answers come from. */
export type Origin =
  /** A server; requests are passed on with their Host, so that signatures made for this proxy hold. */
  | { readonly upstream: string }
  /** The objects of a store, or a map of keys to bytes, whose entries may be replaced. */
  | { readonly objects: ReadableStore | ReadonlyMap<string, Uint8Array> };

/** Starts a server on a free port of the loopback interface. */
export async function startCountingProxy(
  options: Origin & { readonly delayMs?: number; readonly fault?: FaultOf },
): Promise<CountingProxy> {
  let log: CountedRequest[] = [];
  let requestCount = 0;
  const answerOf = "upstream" in options ? upstreamAnswers(options.upstream) : ownAnswers(options.objects);
  const server = createServer((request, response) => {
    const counted = countedRequest(request);
    log.push(counted);
    const planned = proxy.fault?.(counted, requestCount) ?? null;
    requestCount++;
    serve({ request, counted, planned, delayMs: proxy.delayMs, answerOf }, response).catch((error) => {
      counted.status = 502;
      if (!response.headersSent) response.writeHead(502);
      response.end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: CountingProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get log() {
      return log;
    },
    take() {
      const taken = log;
      log = [];
      return taken;
    },
    delayMs: options.delayMs ?? 0,
    fault: options.fault ?? null,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
  return proxy;
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

type AnswerOf = (request: IncomingMessage, headers: Readonly<Record<string, string>>) => Promise<Answer>;

interface Exchange {
  readonly request: IncomingMessage;
  readonly counted: CountedRequest;
  readonly planned: ReturnType<FaultOf>;
  readonly delayMs: number;
  readonly answerOf: AnswerOf;
}

function countedRequest(request: IncomingMessage): CountedRequest {
  const [, path, query] = /^([^?]*)(.*)$/.exec(request.url!)!;
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join() : value!]),
  );
  const range = headers["range"] ?? null;
  return {
    method: request.method!,
    path: decodeURIComponent(path!),
    query: query!,
    range,
    headers,
    status: 0,
    bytes: 0,
  };
}

async function serve({ request, counted, planned, delayMs, answerOf }: Exchange, response: ServerResponse) {
  const fault = await planned;
  if (delayMs > 0) await sleep(delayMs);
  if (isFault(fault, "slowFirstByteMs")) await sleep(fault.slowFirstByteMs);
  if (isFault(fault, "status")) {
    request.resume();
    counted.status = fault.status;
    const body = `<Error><Code>Planned${fault.status}</Code></Error>`;
    response.writeHead(fault.status, { "content-length": body.length });
    response.end(request.method === "HEAD" ? "" : body);
    return;
  }
  const answer = distorted(await answerOf(request, askedHeaders(counted, fault)), fault);
  const { status, headers, body } = answer;
  counted.status = status;
  // Bun answers 200 when only the response is destroyed.
  if (fault === "lost") return void request.socket.destroy();
  response.writeHead(status, headers);
  if (fault !== "cut" && fault !== "stall" && fault !== "badLength") {
    counted.bytes = body.byteLength;
    response.end(body);
    return;
  }
  const sent = fault === "badLength" ? body : body.subarray(0, body.byteLength >> 1);
  counted.bytes = sent.byteLength;
  const close = (): void => void (fault !== "stall" && setTimeout(() => response.destroy(), 20));
  if (sent.byteLength > 0) return void response.write(sent, close);
  response.flushHeaders();
  close();
}

function isFault<Name extends string>(fault: Fault | null, name: Name): fault is Extract<Fault, Record<Name, number>> {
  return typeof fault === "object" && fault !== null && name in fault;
}

/** What the origin is asked for, so that its answer is the wrong one. */
function askedHeaders({ headers }: CountedRequest, fault: Fault | null): Readonly<Record<string, string>> {
  const { range, ...others } = headers;
  if (range === undefined) return headers;
  if (fault === "wholeFor206") return others;
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
  if (fault !== "wrongRange" || first === undefined) return headers;
  const shift = Number(first) > 0 ? -1 : 1;
  return { ...others, range: `bytes=${Number(first) + shift}-${Number(last) + shift}` };
}

function distorted({ status, headers, body }: Answer, fault: Fault | null): Answer {
  if (fault === "etag") return { status, headers: { ...headers, etag: '"another-version"' }, body };
  if (fault === "wrongBytes") return { status, headers, body: body.map((byte) => byte ^ 0x55) };
  if (fault === "badLength") {
    return { status, headers: { ...headers, "content-length": String(body.byteLength + 1) }, body };
  }
  if (fault !== "gzip") return { status, headers, body };
  const zipped = gzipSync(body);
  return {
    status,
    headers: { ...headers, "content-encoding": "gzip", "content-length": String(zipped.byteLength) },
    body: zipped,
  };
}

const HOP_BY_HOP = ["connection", "keep-alive", "transfer-encoding", "expect"];

function upstreamAnswers(upstream: string): AnswerOf {
  const { hostname, port } = new URL(upstream);
  return (request, headers) =>
    new Promise((resolve, reject) => {
      const passed = Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name)));
      const outgoing = sendRequest(
        { hostname, port, method: request.method!, path: request.url!, headers: passed },
        async (incoming) => {
          try {
            const body = await bytesOf(incoming);
            const entries = Object.entries(incoming.headers).filter(([name]) => !HOP_BY_HOP.includes(name));
            const answered = Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
            resolve({ status: incoming.statusCode!, headers: answered, body });
          } catch (error) {
            reject(error);
          }
        },
      );
      outgoing.on("error", reject);
      request.pipe(outgoing);
    });
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

interface Found {
  readonly etag: string;
  readonly sizeBytes: number;
  read(offset: number, lengthBytes: number): Promise<Uint8Array>;
}

function ownAnswers(objects: ReadableStore | ReadonlyMap<string, Uint8Array>): AnswerOf {
  return async (request, headers) => {
    request.resume();
    if (request.method !== "GET" && request.method !== "HEAD") return { status: 405, headers: {}, body: noBytes };
    const key = decodeURIComponent(request.url!.slice(1).replace(/\?.*$/, ""));
    const found = await ("url" in objects ? findInStore(objects, key) : findInMap(objects, key));
    if (found === null) return { status: 404, headers: { "content-length": "0" }, body: noBytes };
    const answer = await conditionalAnswer(found, headers);
    return request.method === "HEAD" ? { ...answer, body: noBytes } : answer;
  };
}

const noBytes = new Uint8Array();

async function conditionalAnswer(found: Found, asked: Readonly<Record<string, string>>): Promise<Answer> {
  const { etag, sizeBytes } = found;
  const headers = { etag, "accept-ranges": "bytes", "content-type": "application/octet-stream" };
  const isNamed = (tags: string): boolean => tags.split(/, */).includes(etag) || tags === "*";
  if (asked["if-match"] !== undefined && !isNamed(asked["if-match"])) {
    return { status: 412, headers: { "content-length": "0" }, body: noBytes };
  }
  if (asked["if-none-match"] !== undefined && isNamed(asked["if-none-match"])) {
    return { status: 304, headers: { etag }, body: noBytes };
  }
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(asked["range"] ?? "") ?? [];
  if (first === undefined || last === undefined || first + last === "") {
    return {
      status: 200,
      headers: { ...headers, "content-length": String(sizeBytes) },
      body: await found.read(0, sizeBytes),
    };
  }
  const start = first === "" ? Math.max(sizeBytes - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (start >= end) {
    return { status: 416, headers: { "content-range": `bytes */${sizeBytes}`, "content-length": "0" }, body: noBytes };
  }
  const body = await found.read(start, end - start);
  const contentRange = `bytes ${start}-${end - 1}/${sizeBytes}`;
  return {
    status: 206,
    headers: { ...headers, "content-range": contentRange, "content-length": String(body.byteLength) },
    body,
  };
}

const etags = new WeakMap<Uint8Array, string>();

function findInMap(objects: ReadonlyMap<string, Uint8Array>, key: string): Promise<Found | null> {
  const bytes = objects.get(key);
  if (bytes === undefined) return Promise.resolve(null);
  const etag = etags.get(bytes) ?? `"${createHash("md5").update(bytes).digest("hex")}"`;
  etags.set(bytes, etag);
  return Promise.resolve({
    etag,
    sizeBytes: bytes.byteLength,
    read: (offset, lengthBytes) => Promise.resolve(bytes.subarray(offset, offset + lengthBytes)),
  });
}

async function findInStore(store: ReadableStore, key: string): Promise<Found | null> {
  const object = await store.get(key).catch((error) => {
    if (error.code === "OBJECT_NOT_FOUND" || error.code === "CONFIG_VALIDATION") return null;
    throw error;
  });
  if (object === null) return null;
  const { etag, sizeBytes } = object;
  return {
    etag: etag ?? `"size-${sizeBytes}"`,
    sizeBytes,
    async read(offset, lengthBytes) {
      if (lengthBytes === sizeBytes) return await object.bytes();
      return (await store.getRanges(key, [{ offset, lengthBytes }])).parts[0]!;
    },
  };
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
