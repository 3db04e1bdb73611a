/**
 * Between `node:http` and handlers of `Request`.
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";

/** What answers requests. */
export type FetchHandler = (request: Request) => Promise<Response>;

/**
 * A listener for `createServer` of `node:http`, or of `node:https`, that asks a handler.
 *
 * The request's signal is aborted when the client leaves, and bodies go through piece by piece, no faster than the
 * client takes them.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { once } from "node:events";
 * import { nodeListener } from "./mod.ts";
 *
 * const server = createServer(nodeListener(() => Promise.resolve(new Response("hello")))).listen(0, "127.0.0.1");
 * await once(server, "listening");
 * const { port } = server.address() as { port: number };
 * const answer = await fetch(`http://127.0.0.1:${port}/`);
 * if (await answer.text() !== "hello") throw new Error("unexpected answer");
 * await new Promise((resolve) => server.close(resolve));
 * ```
 */
export function nodeListener(handler: FetchHandler): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    answer(handler, request, response).catch(() => response.destroy());
  };
}

async function answer(handler: FetchHandler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const left = new AbortController();
  outgoing.once("close", () => {
    if (!outgoing.writableFinished) left.abort(new Error("The client has left"));
  });
  // Nobody else hears of a connection that broke.
  outgoing.on("error", () => {});
  let request: Request;
  try {
    request = requestOf(incoming, left.signal);
  } catch {
    // A method or a host that the class does not take.
    outgoing.writeHead(400, { "connection": "close" }).end();
    return;
  }
  const response = await handler(request);
  // One by one, as a record would join cookies.
  for (const [name, value] of response.headers) outgoing.appendHeader(name, value);
  outgoing.writeHead(response.status);
  const reader = response.body?.getReader();
  if (reader === undefined || incoming.method === "HEAD") {
    outgoing.end();
    return;
  }
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      if (!outgoing.write(value)) await drained(outgoing);
      if (outgoing.destroyed) throw new Error("The client has left");
    }
    outgoing.end();
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    outgoing.destroy();
  }
}

function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = "GET", url = "/", headersDistinct } = incoming;
  const headers = new Headers();
  for (const [name, values] of Object.entries(headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  // The host's own form is not taken for granted: proxies pass requests on with whole URLs.
  const target = url.startsWith("/") ? `http://${headers.get("host") ?? "localhost"}${url}` : url;
  // The class takes no such methods, but handlers are to say themselves that they do not.
  if (method === "TRACE" || method === "TRACK") {
    return Object.defineProperty(new Request(target, { headers, signal }), "method", { value: method });
  }
  const hasBody = method !== "GET" && method !== "HEAD";
  return new Request(target, {
    method,
    headers,
    signal,
    ...(hasBody ? { body: bodyOf(incoming), duplex: "half" } : {}),
  } as RequestInit);
}

function bodyOf(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks = incoming[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(new Uint8Array(value));
    },
    async cancel() {
      await chunks.return?.();
    },
  }, { highWaterMark: 0 });
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    function settle(): void {
      outgoing.off("drain", settle);
      outgoing.off("close", settle);
      resolve();
    }
    outgoing.on("drain", settle);
    outgoing.on("close", settle);
  });
}
