/**
 * A page that shows a snapshot while it is being served: its shards, its history, the way of a look-up, live figures.
 *
 * Serves `/`, `/ui/…` and nothing else:
 *
 * ```text
 * GET  /              the page                 GET /ui/…                what it is made of
 * GET  /ui/snapshot   the snapshot, its shards GET /ui/history          what was published
 * GET  /ui/live       counts, health           GET /ui/trace?key=…      a look-up, step by step
 * POST /ui/rollback   goes back to a snapshot; needs the token in a header, so that no other site's page can send it
 * ```
 * @module
 */
import { ConfigValidationError, PublishConflictError, ReaderStateError, ShardyfusionError } from "../errors.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import { openManifest } from "../snapshots/lazy_manifest.ts";
import { objectManifestReader } from "../snapshots/object_manifest_reader.ts";
import { assetAnswer, errorAnswer, jsonAnswer } from "./answers.ts";
import { carries } from "./bearer.ts";
import { checkExplorerOptions, type ExplorerOptions, type ExplorerPlace } from "./explorer_options.ts";
import { goBack, historyView, type RollBackWish } from "./history_view.ts";
import { knownManifests } from "./known_manifests.ts";
import { liveView } from "./live_view.ts";
import { type PageAsset, pageAssets } from "./page_assets.ts";
import { messageOf, publicText } from "./public_text.ts";
import { manifestId, snapshotView } from "./snapshot_view.ts";
import { Tracer } from "./trace.ts";

export type { ExplorerOptions } from "./explorer_options.ts";

/** Answers requests for the explorer; null for those that are none. Errors become answers. */
export type ExplorerHandler = (request: Request) => Promise<Response | null>;

/** Longest body of a roll back. */
const BODY_BYTES_MAX = 4096;

interface Explorer {
  readonly place: ExplorerPlace;
  readonly manifests: ManifestReader;
  readonly tracer: Tracer;
  readonly assets: ReadonlyMap<string, PageAsset>;
}

/** What answers a request for data, by path. */
type View = (explorer: Explorer, request: Request, url: URL) => Promise<unknown> | unknown;

const VIEWS: ReadonlyMap<string, View> = new Map<string, View>([
  ["/ui/snapshot", ({ place, manifests }) => snapshotView(place, manifests)],
  ["/ui/live", ({ place }) => liveView(place)],
  ["/ui/history", ({ place, manifests }, request) => historyView(place, manifests, request.signal)],
  ["/ui/trace", trace],
]);

/**
 * Makes the handler of the explorer.
 *
 * What it shows, values of keys included, everybody may see who can reach the server, unless `readToken` is given.
 * Rolling back needs `token`. Paths of this machine, URLs of the store and credentials are in none of the answers.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { explorerHandler } from "./explorer_handler.ts";
 * import type { SnapshotReader } from "../read/snapshot_reader.ts";
 * import type { ObjectStore } from "../stores/store.ts";
 *
 * function handlerOf(reader: SnapshotReader, store: ObjectStore): (request: Request) => Promise<Response> {
 *   const explorer = explorerHandler({ reader, store });
 *   return async (request) => await explorer(request) ?? new Response("Not found", { status: 404 });
 * }
 * if (typeof handlerOf !== "function") throw new Error("unreachable");
 * ```
 */
export function explorerHandler(options: ExplorerOptions): ExplorerHandler {
  const place = checkExplorerOptions(options);
  const { store, pointerKey, resolveStore, manifestStore } = place;
  const manifests = manifestStore ?? objectManifestReader(store, { pointerKey, resolveStore, open: openManifest });
  const explorer = { place, manifests: knownManifests(manifests), tracer: new Tracer(place), assets: pageAssets() };
  return (request) => mayBeOurs(request.url) ? answer(explorer, request) : Promise.resolve(null);
}

/** Said of every request that the server gets, so it costs next to nothing. */
function mayBeOurs(url: string): boolean {
  const path = url.indexOf("/", url.indexOf("//") + 2);
  return path < 0 || path + 1 === url.length || "?#".includes(url[path + 1]!) || url.startsWith("ui", path + 1);
}

async function answer(explorer: Explorer, request: Request): Promise<Response | null> {
  const url = new URL(request.url);
  const { pathname } = url;
  if (pathname !== "/" && pathname !== "/ui" && !pathname.startsWith("/ui/")) return null;
  const asset = explorer.assets.get(pathname);
  const view = VIEWS.get(pathname);
  const isWrite = pathname === "/ui/rollback";
  if (asset === undefined && view === undefined && !isWrite) {
    return errorAnswer(request, { status: 404, code: "NOT_FOUND", message: "There is nothing at this path" });
  }
  const methods = isWrite ? ["POST"] : ["GET", "HEAD"];
  if (!methods.includes(request.method)) {
    const allow = methods.join(", ");
    const message = `This path takes ${allow}`;
    return errorAnswer(request, { status: 405, code: "METHOD_NOT_ALLOWED", message, headers: { allow } });
  }
  if (asset !== undefined) return assetAnswer(request, asset);
  try {
    if (isWrite) return await rollBackAnswer(explorer, request);
    const { readToken } = explorer.place;
    if (readToken !== undefined && !await carries(request, readToken)) return unauthorised(request);
    return jsonAnswer(request, await view!(explorer, request, url));
  } catch (error) {
    return failure(request, error, explorer);
  }
}

async function trace({ tracer }: Explorer, request: Request, { searchParams }: URL): Promise<unknown> {
  const text = searchParams.get("key");
  if (text === null) throw new ConfigValidationError("Cannot look up a key as there is none: give ?key=…", "key");
  return await tracer.trace({
    text,
    isHex: searchParams.get("form") === "hex",
    columns: searchParams.getAll("column"),
    isCold: searchParams.get("state") === "cold",
    signal: request.signal,
  });
}

async function rollBackAnswer({ place, manifests }: Explorer, request: Request): Promise<Response> {
  const { token, reader } = place;
  if (token === undefined) {
    const message = "Cannot roll back as the server was started without a token for it";
    return errorAnswer(request, { status: 403, code: "FORBIDDEN", message });
  }
  // A page of another site cannot set this header without asking first, and nothing here answers that question.
  if (!await carries(request, token)) return unauthorised(request);
  const site = request.headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin" && site !== "none") {
    return errorAnswer(request, { status: 403, code: "FORBIDDEN", message: "Cannot roll back from another site" });
  }
  const wish = await wishOf(request);
  if (wish === null) {
    const message = 'Cannot roll back as the body must be {"id": "…", "current": "…"} as application/json';
    return errorAnswer(request, { status: 400, code: "CONFIG_VALIDATION", message });
  }
  const { runId } = await goBack(place, manifests, { ...wish, signal: request.signal });
  const { info } = reader;
  return jsonAnswer(request, { runId, servedId: manifestId(info.manifestRef), generation: info.generation });
}

async function wishOf(request: Request): Promise<RollBackWish | null> {
  const type = request.headers.get("content-type") ?? "";
  const length = Number(request.headers.get("content-length") ?? 0);
  if (!/^application\/json\b/i.test(type) || length > BODY_BYTES_MAX) return null;
  try {
    const text = await shortText(request);
    const { id, current } = JSON.parse(text) as Partial<RollBackWish>;
    return typeof id === "string" && typeof current === "string" ? { id, current } : null;
  } catch (error) {
    if (request.signal.aborted) throw error;
    return null;
  }
}

/** The body. @throws when it is too long. */
async function shortText(request: Request): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  for await (const chunk of request.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > BODY_BYTES_MAX) throw new RangeError("The body is too long");
  }
  return text + decoder.decode();
}

function unauthorised(request: Request): Response {
  const headers = { "www-authenticate": 'Bearer realm="shardyfusion"' };
  return errorAnswer(request, { status: 401, code: "UNAUTHORIZED", message: "The token is missing or wrong", headers });
}

function report({ onError }: ExplorerPlace, error: unknown, request: Request): void {
  try {
    onError?.(error, request);
  } catch {
    // An answer does not depend on who listens.
  }
}

/** What went wrong, as far as it is anybody's business. */
function failure(request: Request, error: unknown, { place }: Explorer): Response {
  const isFault = !(error instanceof ConfigValidationError || error instanceof PublishConflictError);
  if (isFault && !request.signal.aborted) report(place, error, request);
  if (!(error instanceof ShardyfusionError)) {
    const message = "Something went wrong in the server";
    return errorAnswer(request, { status: 500, code: "INTERNAL", message });
  }
  const status = error instanceof ConfigValidationError
    ? 400
    : error instanceof PublishConflictError
    ? 409
    : error instanceof ReaderStateError
    ? (request.method === "POST" ? 404 : 503)
    : 502;
  return errorAnswer(request, { status, code: error.code, message: publicText(messageOf(error), place.store) });
}
