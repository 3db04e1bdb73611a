/**
 * Where the objects of a snapshot series lie, and how they are named (WIRE_FORMATS 1 and 2).
 *
 * ```text
 * <url>/_CURRENT                                                             the pointer
 * <url>/manifests/<time stamp>_run_id=<run id>/manifest
 * <url>/<shard prefix>/run_id=<run id>/<db path>/attempt=<number>/…          one folder per attempt at a shard
 * <url>/<run registry prefix>/<time stamp>_run_id=<run id>_<hex id>/run.yaml  what a run says of itself
 * ```
 *
 * Keys are what follows `<url>/`. Refs are whole URLs; they keep naming the place where a series was published, also
 * when it was copied elsewhere since.
 * @module
 */
import { parseStamp, pathStamp } from "../bytes/timestamps.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";

/** What the keys of all manifests begin with. */
export const MANIFESTS_PREFIX = "manifests/";

const MANIFEST_FOLDER = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z)_run_id=([^/]+)\/?$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;
const PLACEHOLDER = /\{db_id(?::(?:0([1-9]\d?))?d)?\}/g;
/** Python's URL parser cuts a URL at `?` and `#`; a backslash separates folders on some systems. */
const UNFIT_FOR_NAMES = /[\\?#\p{Cc}\p{Cs}]/u;

/** A manifest's folder, taken apart. */
export interface ManifestFolder {
  readonly runId: string;
  /** Microseconds since 1970. */
  readonly publishedAtMicros: number;
}

/** What decides where the shards of a run lie. */
export interface ShardLayout {
  readonly runId: string;
  readonly shardPrefix: string;
  readonly dbPathTemplate: string;
}

/**
 * Appends path segments to a URL: one slash between two, none at the end; empty parts are left out.
 *
 * @example
 * ```ts
 * import { joinUrl } from "./layout.ts";
 *
 * if (joinUrl("s3://b/p/", "/x/", "", "y") !== "s3://b/p/x/y") throw new Error("unexpected URL");
 * ```
 */
export function joinUrl(base: string, ...parts: readonly string[]): string {
  const trimmed = parts.map((part) => part.replace(/^\/+|\/+$/g, "")).filter((part) => part !== "");
  return [base.replace(/\/+$/, ""), ...trimmed].join("/");
}

/** Key of a manifest. Keys of one series sort by time. */
export function manifestKey(publishedAtMicros: number, runId: string, manifestName: string): string {
  return `${MANIFESTS_PREFIX}${pathStamp(publishedAtMicros)}_run_id=${runId}/${manifestName}`;
}

/**
 * Takes the name of a folder under `manifests/` apart.
 *
 * @param name With or without a slash at the end.
 * @returns null for folders that hold no manifest.
 */
export function parseManifestFolder(name: string): ManifestFolder | null {
  const match = MANIFEST_FOLDER.exec(name);
  const publishedAtMicros = match && parseStamp(match[1]!);
  return match === null || publishedAtMicros === null ? null : { runId: match[2]!, publishedAtMicros };
}

/**
 * The run of a manifest, by the name of its folder; a `run_id=` elsewhere in the ref does not count.
 *
 * @returns null when the folder names no run.
 */
export function runIdOfManifestRef(ref: string): string | null {
  const folder = ref.split("/").at(-2) ?? "";
  return /(?:^|_)run_id=(.+)$/.exec(folder)?.[1] ?? null;
}

/** The key of a manifest in its own series, by the form of its ref alone; null when it has not that form. */
export function manifestKeyOfRef(ref: string): string | null {
  const [manifests, folder, name] = ref.split("/").slice(-3);
  const key = `${manifests}/${folder}/${name}`;
  return `${manifests}/` === MANIFESTS_PREFIX && isCleanPath(key) && parseManifestFolder(folder!) ? key : null;
}

/**
 * The key of an object that lies under a URL.
 *
 * @returns null when the ref lies elsewhere, or its path has an empty segment, `.` or `..`.
 *
 * @example
 * ```ts
 * import { keyUnder } from "./layout.ts";
 *
 * if (keyUnder("s3://b/p/", "s3://b/p/shards/x") !== "shards/x") throw new Error("unexpected key");
 * if (keyUnder("s3://b/p", "s3://b/p/../q") !== null) throw new Error("unexpected key");
 * ```
 */
export function keyUnder(prefixUrl: string, ref: string): string | null {
  const start = `${prefixUrl.replace(/\/+$/, "")}/`;
  if (start === "/" || !ref.startsWith(start)) return null;
  const key = ref.slice(start.length);
  return isCleanPath(key) ? key : null;
}

/** The run in whose folder with shards an object lies; null when it lies elsewhere. */
export function runOfKey(key: string, shardPrefix: string): string | null {
  const start = `${shardPrefix}/run_id=`;
  return key.startsWith(start) ? key.slice(start.length).split("/")[0]! : null;
}

/** Folder of one attempt at a shard, as a key without slash at the end. */
export function attemptPrefix(layout: ShardLayout, { shardId, attempt }: { shardId: number; attempt: number }): string {
  const { shardPrefix, runId, dbPathTemplate } = layout;
  const attemptDigits = String(attempt).padStart(2, "0");
  return `${shardPrefix}/run_id=${runId}/${dbPath(dbPathTemplate, shardId)}/attempt=${attemptDigits}`;
}

/**
 * The part of a shard's path that its number decides.
 *
 * @param template Text with `{db_id}`, `{db_id:d}` or, with zeros in front up to a width, `{db_id:05d}`.
 */
export function dbPath(template: string, shardId: number): string {
  return template.replace(PLACEHOLDER, (_match, width?: string) => String(shardId).padStart(Number(width ?? 0), "0"));
}

/**
 * Checks a template for {@linkcode dbPath}.
 *
 * @throws {ConfigValidationError} when it names not each shard differently, or would not give a clean path.
 */
export function checkDbPathTemplate(template: string): void {
  const rendered = dbPath(template, 1);
  if (!rendered.includes("{") && !rendered.includes("}") && rendered !== template && isFitPath(rendered)) return;
  throw new ConfigValidationError(
    'Cannot use option "dbPathTemplate" as it must be a path with "{db_id}" or "{db_id:05d}" in it: ' +
      `current value is ${shown(template)}`,
    "dbPathTemplate",
  );
}

/**
 * Checks a name that must be one segment of a path.
 *
 * @param path What errors call the option.
 * @throws {ConfigValidationError} when it is empty, has other characters than `A-Z a-z 0-9 . _ -`, or contains `..`.
 */
export function checkSegment(segment: string, path: string): void {
  if (SEGMENT.test(segment) && segment !== "." && !segment.includes("..")) return;
  throw new ConfigValidationError(
    `Cannot use option "${path}" as it must be one path segment of letters, digits, ".", "_" and "-", without "..": ` +
      `current value is ${shown(segment)}`,
    path,
  );
}

/**
 * Checks the id of a run that is to be written.
 *
 * @throws {ConfigValidationError} when objects could not be named after it.
 */
export function checkRunId(runId: string, path: string = "runId"): void {
  if (!runId.includes("/") && isFitPath(runId)) return;
  throw new ConfigValidationError(
    `Cannot use option "${path}" as it must be a non-empty text other than "." and "..", without slashes, "?", "#" ` +
      `and control characters: current value is ${shown(runId)}`,
    path,
  );
}

/** Key of the record of a run. Keys sort by time. */
export function runRecordKey(runRegistryPrefix: string, createdAtMicros: number, runId: string): string {
  return `${runRegistryPrefix}/${pathStamp(createdAtMicros)}_run_id=${runId}_${newHexId()}/run.yaml`;
}

/** 32 random hex digits: ids of runs and of checkpoints. */
export function newHexId(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

function isCleanPath(path: string): boolean {
  return path.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
}

function isFitPath(path: string): boolean {
  return isCleanPath(path) && !UNFIT_FOR_NAMES.test(path);
}
