/**
 * A snapshot as a service: from a request to its answer, on every runtime.
 * @module
 */
import { type EventSink, guardedEventSink } from "../events.ts";
import type { KeyReader } from "../read/key_reader.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { TokenGuard } from "./bearer_token.ts";
import type { Service } from "./call.ts";
import { corsHeaders, preflightHeaders } from "./cors.ts";
import { CurrentSnapshot } from "./current_snapshot.ts";
import { allowedMethods, endpointOf } from "./endpoints.ts";
import { Problem, problemOf, problemResponse } from "./problems.ts";
import { hasWaitUntil, Refresher } from "./refresher.ts";
import { urlParts } from "./request_parts.ts";
import { checkServeOptions, type SnapshotHandlerOptions } from "./serve_options.ts";

/** Methods that events tell apart: others could be as many as a client likes. */
const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/** How a handler ends. */
export interface CloseHandlerOptions {
  /**
   * For how long requests are still answered while the health endpoint answers 503 already, in milliseconds, so that a
   * load balancer can look elsewhere.
   * @default {0}
   */
  readonly graceMs?: number;
  /** How long to wait for requests that are under way, in milliseconds. @default {10000} */
  readonly timeoutMs?: number;
}

/** Answers requests; never rejects. */
export interface SnapshotHandler extends AsyncDisposable {
  /**
   * @param context What the platform gives with a request. Only its `waitUntil` is used, where it has one: refreshes
   * are then done with requests, and what a request fetches goes on when its client leaves, as others may wait for it.
   */
  (request: Request, context?: unknown): Promise<Response>;
  /** Requests that are being answered. */
  readonly underWay: number;
  /**
   * Ends the refreshing, answers new requests with 503, and waits for those under way. The reader stays open.
   * Idempotent.
   *
   * @returns Whether all requests were answered in time.
   */
  close(options?: CloseHandlerOptions): Promise<boolean>;
}

/**
 * Serves what a reader can read: `/v1/get/{key}`, `/v1/multiget`, `/v1/scan`, `/v1/search`, `/v1/route/{key}`,
 * `/v1/info`, `/v1/shards`, `/v1/health`, `/metrics`, and a description of all that at `/v1/openapi.json`.
 *
 * Nothing is cached here and nothing is written: each answer is of the snapshot that the reader has at the moment, and
 * its ETag says of which. With a reader of `./reader` there are no scans, searches and lists of shards.
 *
 * @throws {ConfigValidationError} naming the first wrong option.
 *
 * @example
 * ```ts
 * import { hashSharding, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
 * import { snapshotHandler } from "./mod.ts";
 *
 * const store = memoryStore();
 * const sharding = hashSharding({ shards: 2 });
 * await writeSnapshot([1, 2], { store, sharding, key: (id) => id, value: (id) => `${id}` });
 * await using reader = await openSnapshot({ store });
 * await using handler = snapshotHandler(reader, { contentType: "text/plain" }); // Deno.serve(handler)
 *
 * const answer = await handler(new Request("http://localhost/v1/get/2"));
 * if (answer.status !== 200 || await answer.text() !== "2") throw new Error("unexpected answer");
 * ```
 */
export function snapshotHandler(reader: KeyReader, options: SnapshotHandlerOptions = {}): SnapshotHandler {
  const running = new RunningHandler(reader, options);
  // Not an async function: what is answered from memory costs as few promises as possible.
  const handler = (request: Request, context?: unknown): Promise<Response> => running.handle(request, context);
  const members = {
    close: (how?: CloseHandlerOptions) => running.close(how),
    [Symbol.asyncDispose]: async () => void await running.close(),
  };
  return Object.defineProperty(Object.assign(handler, members), "underWay", {
    get: () => running.underWay,
  }) as unknown as SnapshotHandler;
}

class RunningHandler {
  /** Requests, and answers that are still being sent. */
  underWay = 0;
  readonly #service: Service;
  readonly #guard: TokenGuard;
  readonly #refresher: Refresher;
  /** Null where nobody listens: then no clock is looked at. */
  readonly #emit: EventSink | null;
  #isDraining = false;
  #isClosed = false;
  #closing: Promise<boolean> | null = null;
  #whenIdle: (() => void) | null = null;

  constructor(reader: KeyReader, given: SnapshotHandlerOptions) {
    const options = checkServeOptions(given);
    const { clock, refreshEvery: everyMs, onEvent } = options;
    this.#emit = onEvent === undefined ? null : guardedEventSink(onEvent);
    this.#guard = new TokenGuard(options.tokens, options.tokenPaths);
    this.#refresher = new Refresher(reader, { everyMs, clock, onError: (error) => this.#report(error, null) });
    this.#service = {
      reader,
      full: "scanStream" in reader ? reader as SnapshotReader : null,
      current: new CurrentSnapshot(reader, options),
      options,
      hold: () => this.#hold(),
      report: (error, request) => this.#report(error, request),
      refreshFailures: () => this.#refresher.failures,
      isClosing: () => this.#isDraining,
    };
  }

  handle(request: Request, context: unknown): Promise<Response> {
    const answer = this.#emit === null ? this.#handle(request, context) : this.#observe(this.#emit, request, context);
    if (hasWaitUntil(context)) context.waitUntil(answer);
    return answer;
  }

  close(how: CloseHandlerOptions = {}): Promise<boolean> {
    return this.#closing ??= this.#close(how);
  }

  async #close({ graceMs = 0, timeoutMs = 10_000 }: CloseHandlerOptions): Promise<boolean> {
    const { clock } = this.#service.options;
    this.#isDraining = true;
    this.#refresher.stop();
    if (graceMs > 0) await clock.sleep(graceMs);
    this.#isClosed = true;
    if (this.underWay === 0) return true;
    const end = new AbortController();
    const idle = new Promise<boolean>((resolve) => this.#whenIdle = () => resolve(true));
    const late = clock.sleep(timeoutMs, end.signal).then(() => false, () => false);
    const isIdle = await Promise.race([idle, late]);
    end.abort();
    return isIdle;
  }

  async #observe(emit: EventSink, request: Request, context: unknown): Promise<Response> {
    const { clock } = this.#service.options;
    const startMs = clock.monotonicMs();
    const answer = await this.#handle(request, context);
    const { method, url } = request;
    const payload = {
      method: METHODS.includes(method) ? method : "_OTHER",
      route: endpointOf(urlParts(url).path)?.route ?? "other",
      scheme: url.slice(0, url.indexOf(":")),
      status: answer.status,
      "duration_s": (clock.monotonicMs() - startMs) / 1000,
    };
    emit({ name: "serve.request", payload });
    return answer;
  }

  async #handle(request: Request, context: unknown): Promise<Response> {
    this.underWay++;
    let answer: Response;
    try {
      answer = await this.#answer(request, context);
    } catch (error) {
      answer = this.#failure(error, request);
    }
    this.#release();
    const { cors } = this.#service.options;
    return cors === undefined ? answer : withHeaders(answer, corsHeaders(cors, request.headers.get("origin")));
  }

  async #answer(request: Request, context: unknown): Promise<Response> {
    const { routes, limits } = this.#service.options;
    this.#refresher.touch(context);
    if (this.#isClosed || this.underWay > limits.requestsMax) throw busy(this.#isClosed);
    if (request.url.length > limits.urlCharsMax) throw new Problem(414, "The path and query are too long");
    const own = routes === undefined ? null : await routes(request);
    if (own !== null) return own;
    const { path, query } = urlParts(request.url);
    const found = endpointOf(path);
    const method = request.method === "HEAD" ? "GET" : request.method;
    if (method === "OPTIONS" && found !== null) return this.#options(request, allowedMethods(found.methods));
    this.#guard.check(path, request.headers);
    if (found === null) throw new Problem(404, "There is nothing at this path");
    const endpoint = method === "GET" || method === "POST" ? found.methods[method] : undefined;
    if (endpoint === undefined) {
      throw new Problem(405, "The method is not allowed here", { headers: { "allow": allowedMethods(found.methods) } });
    }
    const answer = await endpoint({ service: this.#service, request, keyText: found.keyText, query });
    return request.method === "HEAD" ? await withoutBody(answer) : answer;
  }

  /** Says what may be asked, to browsers before they let a page ask. Needs no token: browsers send none. */
  #options(request: Request, allow: string): Response {
    const { cors } = this.#service.options;
    const isPreflight = cors !== undefined && request.headers.has("access-control-request-method");
    const headers = isPreflight ? { allow, ...preflightHeaders(cors, allow) } : { allow };
    return new Response(null, { status: 204, headers });
  }

  #failure(error: unknown, request: Request): Response {
    const problem = problemOf(error);
    if (problem.status >= 500 && !(error instanceof Problem)) {
      if (request.signal?.aborted) return problemResponse(new Problem(499, "The client has left"));
      this.#report(error, request);
    }
    const answer = problemResponse(problem);
    return request.method === "HEAD" ? new Response(null, answer) : answer;
  }

  #hold(): () => void {
    this.underWay++;
    let isHeld = true;
    return () => {
      if (isHeld) this.#release();
      isHeld = false;
    };
  }

  #release(): void {
    if (--this.underWay === 0) this.#whenIdle?.();
  }

  #report(error: unknown, request: Request | null): void {
    try {
      this.#service.options.onError?.(error, request);
    } catch {
      // An answer does not depend on who listens.
    }
  }
}

function busy(isClosed: boolean): Problem {
  return new Problem(503, isClosed ? "The service is being shut down" : "Too many requests are under way", {
    headers: { "retry-after": "1", ...(isClosed ? { "connection": "close" } : {}) },
  });
}

async function withoutBody(answer: Response): Promise<Response> {
  if (answer.body === null) return answer;
  await answer.body.cancel();
  return new Response(null, { status: answer.status, headers: answer.headers });
}

/** Adds headers; to a copy where they cannot be changed, as in answers that were fetched. */
function withHeaders(answer: Response, headers: Readonly<Record<string, string>>): Response {
  let changed = answer;
  for (const [name, value] of Object.entries(headers)) {
    try {
      changed.headers.append(name, value);
    } catch {
      changed = new Response(answer.body, answer);
      changed.headers.append(name, value);
    }
  }
  return changed;
}
