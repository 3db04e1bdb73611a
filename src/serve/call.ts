/**
 * One request on its way through the handler.
 * @module
 */
import { dumpJson, type JsonValue } from "../bytes/python_json.ts";
import type { KeyReader } from "../read/key_reader.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import type { CurrentSnapshot } from "./current_snapshot.ts";
import { isKnown } from "./entity_tag.ts";
import type { CheckedServeOptions } from "./serve_options.ts";

/** What endpoints have in common. */
export interface Service {
  readonly reader: KeyReader;
  /** The same reader where it can scan and search; null for one of `./reader`. */
  readonly full: SnapshotReader | null;
  readonly current: CurrentSnapshot;
  readonly options: CheckedServeOptions;
  /** Says that an answer goes on after it was begun; the function that it returns says that it has ended. */
  hold(): () => void;
  /** Tells of an error that the client cannot be told of any more. */
  report(error: unknown, request: Request): void;
  /** How many refreshes have failed since the last one that did not. */
  refreshFailures(): number;
  readonly isClosing: () => boolean;
}

/** A request for an endpoint. */
export interface Call {
  readonly service: Service;
  readonly request: Request;
  /** The key in the path, as it came; empty where the path has none. */
  readonly keyText: string;
  readonly query: string;
}

/** Answers requests. */
export type Endpoint = (call: Call) => Promise<Response>;

/** Headers of what a snapshot says, other than a value. */
export function snapshotHeaders(
  { options }: Service,
  { type, tag, vary }: { readonly type: string; readonly tag: string | null; readonly vary?: string },
): Record<string, string> {
  return {
    "content-type": type,
    "cache-control": tag === null ? "no-store" : options.cacheControl,
    "x-content-type-options": "nosniff",
    ...(tag === null ? {} : { "etag": tag }),
    ...(vary === undefined ? {} : { vary }),
  };
}

/** Answers JSON about a snapshot, or that the client knows it. */
export function jsonAnswer({ service, request }: Call, value: JsonValue, tag: string | null): Response {
  const headers = snapshotHeaders(service, { type: "application/json", tag });
  return isRead(request) && tag !== null && isKnown(request.headers.get("if-none-match"), tag, true)
    ? notModified(headers)
    : new Response(dumpJson(value, { compact: true }), { headers });
}

/** Whether a request may be answered with "not modified". */
export function isRead({ method }: Request): boolean {
  return method === "GET" || method === "HEAD";
}

/** Says that what the client has is still right. */
export function notModified(headers: Readonly<Record<string, string>>): Response {
  const { "content-type": _type, ...kept } = headers;
  return new Response(null, { status: 304, headers: kept });
}

/** Text in pieces, encoded as it is asked for. `release` is called at the end, however it comes. */
export function textBody(
  next: () => Promise<string | null>,
  { cancel, release, failed }: {
    readonly cancel?: () => Promise<unknown>;
    readonly release: () => void;
    readonly failed: (error: unknown) => void;
  },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      try {
        const text = await next();
        if (text !== null) return controller.enqueue(encoder.encode(text));
        controller.close();
        release();
      } catch (error) {
        release();
        failed(error);
        // Cuts the answer off, so that nobody takes it for whole; without the error, which servers might show.
        controller.error(new Error("The answer could not be completed"));
      }
    },
    async cancel() {
      release();
      await cancel?.();
    },
  }, { highWaterMark: 0 });
}
