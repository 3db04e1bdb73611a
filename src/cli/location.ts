/**
 * From the URL of a pointer object to the store that holds it.
 * @module
 */
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { ManifestStore } from "../snapshots/manifest_store.ts";
import { isObjectStore, type ObjectStore, type ReadableStore } from "../stores/store.ts";
import type { EventSink } from "../events.ts";
import { CliError, messageOf } from "./cli_errors.ts";
import type { S3Settings } from "./s3_options.ts";

/** A snapshot series and the name of its pointer. */
export interface Location {
  readonly store: ReadableStore;
  readonly pointerKey: string;
  /** Where manifests and the pointer are kept, if not in the store. */
  readonly manifestStore?: ManifestStore | undefined;
  /** Ends connections. */
  [Symbol.asyncDispose]?(): Promise<void>;
}

/**
 * Opens the place of a pointer: `s3://bucket/prefix/_CURRENT`, `https://host/path/_CURRENT` (for reading, with or
 * without a query), `file:///dir/_CURRENT` or a plain path. Sends nothing.
 *
 * @param s3 Settings, asked for when the place is in S3.
 * @param onEvent Is told of requests that are sent again.
 * @throws {CliError} when the URL names no object, or is of a kind that cannot be opened.
 */
export async function openLocation(
  currentUrl: string,
  s3: () => Promise<S3Settings>,
  onEvent?: EventSink,
): Promise<Location> {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(currentUrl)?.[1]?.toLowerCase();
  if (scheme === undefined) return await openFolder(currentUrl);
  if (scheme === "file") return await openFolder(filePath(currentUrl));
  if (scheme === "https" || scheme === "http") return await openHttp(currentUrl);
  if (scheme !== "s3") {
    throw new CliError(
      `Cannot open CURRENT URL '${currentUrl}': it must begin with s3://, https:// or file://, or be a path of a ` +
        "local file",
    );
  }
  const [, url, pointerKey] = /^(s3:\/\/[^/]+(?:\/.*)?)\/([^/]+)$/i.exec(currentUrl) ?? [];
  if (url === undefined || pointerKey === undefined) throw noObject(currentUrl, "s3://bucket/prefix/_CURRENT");
  const { openS3Store } = await import("./s3_location.ts");
  return { store: openS3Store(url, await s3(), onEvent), pointerKey };
}

/**
 * The store of a place, for commands that write or list.
 *
 * @throws {CliError} when it can only be read.
 */
export function requireObjectStore({ store, pointerKey }: Location): ObjectStore {
  if (isObjectStore(store)) return store;
  throw new CliError(
    `Cannot write to or list '${store.url}/${pointerKey}', which can only be read: name the place as s3://…, ` +
      "file:///… or a path",
  );
}

/** The same for `history` and its like, which list. @throws {CliError} when the place can only be read. */
export function historyPlace(
  location: Location,
): { store: ObjectStore; pointerKey: string; manifestStore: ManifestStore | undefined } {
  const { pointerKey, manifestStore } = location;
  // With manifests elsewhere the store is not asked.
  const store = manifestStore === undefined ? requireObjectStore(location) : location.store as ObjectStore;
  return { store, pointerKey, manifestStore };
}

async function openHttp(currentUrl: string): Promise<Location> {
  const url = URL.parse(currentUrl);
  const [, folder, name] = /^(.*)\/([^/]+)$/.exec(url?.pathname ?? "") ?? [];
  if (url === null || folder === undefined || name === undefined) {
    throw noObject(currentUrl.replace(/\?.*/, ""), "https://host/path/_CURRENT");
  }
  url.pathname = folder;
  const { httpStore } = await import("../stores/http_store.ts");
  try {
    return { store: httpStore(url), pointerKey: decodeURIComponent(name) };
  } catch (error) {
    throw new CliError(`Cannot open CURRENT URL: ${messageOf(error)}`, { cause: error });
  }
}

async function openFolder(path: string): Promise<Location> {
  const pointerKey = basename(path);
  const isFolder = await stat(path).then((entry) => entry.isDirectory(), () => false);
  if (path.endsWith("/") || isFolder || pointerKey === "") throw noObject(path, `${path.replace(/\/+$/, "")}/_CURRENT`);
  const { fsStore } = await import("../stores/fs_store.ts");
  return { store: fsStore(dirname(path)), pointerKey };
}

function filePath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new CliError(`Cannot open CURRENT URL '${url}': it must look like file:///folder/_CURRENT`, { cause });
  }
}

function noObject(url: string, example: string): CliError {
  return new CliError(
    `Cannot open CURRENT URL '${url}': it must name the pointer object, as in '${example}'`,
  );
}
