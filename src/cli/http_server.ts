/**
 * A server on whichever runtime this is: the runtime's own where it has one, as these are the fastest.
 * @module
 */
import type { AddressInfo } from "node:net";
import { type FetchHandler, nodeListener } from "../serve/node_listener.ts";
import { CliError, messageOf } from "./cli_errors.ts";

/** A server that listens. */
export interface HttpServer {
  /** Without slash at its end. */
  readonly url: string;
  /** Takes no connections any more, waits for answers, and cuts off those that take longer. */
  close(timeoutMs: number): Promise<void>;
}

/** Where to listen. */
export interface ListenOptions {
  readonly host: string;
  /** 0 for a free one. */
  readonly port: number;
}

/** Of Bun's server only what is used; its types are not at hand everywhere. */
interface BunServer {
  readonly port: number;
  stop(closeActiveConnections?: boolean): Promise<void>;
}

type BunServe = (options: { hostname: string; port: number; fetch: FetchHandler; idleTimeout: number }) => BunServer;

/** Bun cuts connections off that are silent for so many seconds; the longest that it allows. */
const IDLE_SECONDS = 255;

/** @throws {CliError} when the address is taken or none of this machine. */
export async function startHttpServer(handler: FetchHandler, options: ListenOptions): Promise<HttpServer> {
  const { host, port } = options;
  try {
    if ("Deno" in globalThis) return startOnDeno(handler, options);
    if ("Bun" in globalThis) return startOnBun(handler, options);
    return await startOnNode(handler, options);
  } catch (cause) {
    throw new CliError(`Cannot listen on ${urlOf(host, port)}: ${messageOf(cause)}`, { cause });
  }
}

function startOnDeno(handler: FetchHandler, { host, port }: ListenOptions): HttpServer {
  const end = new AbortController();
  const server = Deno.serve({ hostname: host, port, signal: end.signal, onListen() {} }, (request) => handler(request));
  return {
    url: urlOf(host, server.addr.port),
    close: (timeoutMs) => closed(server.shutdown(), timeoutMs, () => end.abort()),
  };
}

function startOnBun(fetch: FetchHandler, { host, port }: ListenOptions): HttpServer {
  const { serve } = (globalThis as unknown as { Bun: { serve: BunServe } }).Bun;
  const server = serve({ hostname: host, port, idleTimeout: IDLE_SECONDS, fetch: (request) => fetch(request) });
  return {
    url: urlOf(host, server.port),
    close: (timeoutMs) => closed(server.stop(), timeoutMs, () => void server.stop(true)),
  };
}

async function startOnNode(handler: FetchHandler, { host, port }: ListenOptions): Promise<HttpServer> {
  const { createServer } = await import("node:http");
  const server = createServer(nodeListener(handler));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    url: urlOf(host, (server.address() as AddressInfo).port),
    close(timeoutMs) {
      const closing = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      return closed(closing, timeoutMs, () => server.closeAllConnections());
    },
  };
}

/** Waits for the end, and forces it when it does not come in time. */
async function closed(closing: Promise<void>, timeoutMs: number, force: () => void): Promise<void> {
  const timer = setTimeout(force, timeoutMs);
  await closing.finally(() => clearTimeout(timer));
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
