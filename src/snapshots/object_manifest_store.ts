/**
 * Publishes manifests on an object store: first the manifest under a name of its own, then the pointer, by
 * compare-and-set (WIRE_FORMATS 17). Whatever request fails, the pointer names the old manifest or the new one, and
 * what it names is whole.
 * @module
 */
import * as v from "valibot";
import { type Clock, systemClock } from "../clock.ts";
import { ManifestParseError, PreconditionFailedError, PublishConflictError, PublishManifestError } from "../errors.ts";
import { clockOption, functionOf, nonEmptyText, parseOptions, positiveInteger, wholeNumber } from "../options.ts";
import type { ObjectStore, ReadableStore, RequestOptions } from "../stores/store.ts";
import {
  checkSegment,
  joinUrl,
  manifestKey,
  manifestKeyOfRef,
  MANIFESTS_PREFIX,
  parseManifestFolder,
  runIdOfManifestRef,
} from "./layout.ts";
import type { Manifest, ManifestRef } from "./manifest.ts";
import { writeManifest } from "./write_manifest.ts";
import type { CurrentPointer, ManifestStore } from "./manifest_store.ts";
import { movePointer, type PointerRetry } from "./move_pointer.ts";
import { laterThan, nextPointer } from "./next_pointer.ts";
import {
  loadPointer,
  loadPointerBytes,
  type ManifestReaderOptions,
  objectManifestReader,
} from "./object_manifest_reader.ts";
import { MANIFEST_CONTENT_TYPE, parsePointer } from "./pointer.ts";
import { isThere, refuseIfRemoving } from "./removals.ts";
import { withReplaced } from "./tenures.ts";

export { type ManifestReaderOptions, objectManifestReader } from "./object_manifest_reader.ts";

/** Options of {@linkcode objectManifestStore}. */
export interface ManifestStoreOptions extends ManifestReaderOptions {
  /** Name of the manifest in its folder. @default {"manifest"} */
  readonly manifestName?: string | undefined;
  /** Tries to move the pointer, for errors that are `retryable`; the store's own retries come on top. */
  readonly requestRetry?: Partial<PointerRetry> | undefined;
  /** Gives time stamps and waits. */
  readonly clock?: Clock | undefined;
}

interface CheckedStoreOptions extends ManifestReaderOptions {
  readonly pointerKey: string;
  readonly manifestName: string;
  readonly requestRetry: PointerRetry;
  readonly clock: Clock;
}

const schema = v.strictObject({
  pointerKey: v.optional(nonEmptyText, "_CURRENT"),
  resolveStore: v.optional(functionOf<(url: string) => ReadableStore>()),
  manifestName: v.optional(v.string("a non-empty string"), "manifest"),
  requestRetry: v.optional(
    v.strictObject({
      attemptsMax: v.optional(positiveInteger, 4),
      initialBackoffMs: v.optional(wholeNumber, 1000),
      multiplier: v.optional(positiveInteger, 2),
    }),
    {},
  ),
  clock: v.optional(clockOption, systemClock),
}) as unknown as v.GenericSchema<ManifestStoreOptions, CheckedStoreOptions>;

/**
 * Keeps manifests and the pointer in an object store.
 *
 * Each publish has a later time stamp than the pointer that it replaces, whatever the clock says, and a higher
 * `generation`. On a store that gives no versions (ETags) of the pointer the pointer is read again shortly before it is
 * replaced, which leaves a moment in which two publishers can still overwrite each other.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 */
export function objectManifestStore(store: ObjectStore, options: ManifestStoreOptions = {}): ManifestStore {
  const checked = parseOptions(schema, options);
  checkSegment(checked.manifestName, "manifestName");
  const { pointerKey, resolveStore } = checked;
  const place: Place = { store, ...checked, reader: objectManifestReader(store, { pointerKey, resolveStore }) };
  return {
    ...place.reader,
    publish: (manifest, expected, request = {}) => publish(place, { manifest, expected }, request),
    list: (limit, request = {}) => list(place, limit, request),
    setCurrent: (ref, expected, request = {}) => setCurrent(place, { ref, expected }, request),
  };
}

interface Place extends CheckedStoreOptions {
  readonly store: ObjectStore;
  readonly reader: ReturnType<typeof objectManifestReader>;
}

async function publish(
  place: Place,
  { manifest, expected }: { manifest: Manifest; expected: CurrentPointer | null },
  { signal }: RequestOptions,
): Promise<ManifestRef> {
  signal?.throwIfAborted();
  const { runId } = manifest;
  const publishedAtMicros = laterThan(expected, place.clock);
  const bytes = await writeManifest({ ...manifest, custom: withReplaced(manifest.custom, expected) });
  const key = manifestKey(publishedAtMicros, runId, place.manifestName);
  const ref = joinUrl(place.store.url, key);
  try {
    await putManifest(place, { key, ref, bytes }, signal);
    signal?.throwIfAborted();
  } catch (error) {
    const isOthers = error instanceof PublishManifestError && error.cause instanceof PreconditionFailedError;
    if (!signal?.aborted || isOthers) throw error;
    // The caller may remove the shards now: the history should not show their manifest.
    await place.store.delete(key).catch(() => {});
    throw signal.reason;
  }
  await moveToNew(place, { target: { ref, runId, publishedAtMicros }, expected }, signal);
  return { ref, runId, publishedAtMicros };
}

/** How often a clean-up may move the pointer before a publish counts that as a conflict. */
const CLEAN_UPS_MAX = 5;

async function moveToNew(
  place: Place,
  { target, expected }: { target: ManifestRef; expected: CurrentPointer | null },
  signal: AbortSignal | undefined,
): Promise<void> {
  let seen = expected;
  for (let cleanUps = 0;; cleanUps++) {
    try {
      await movePointer({
        ...moveOf(place, seen, signal),
        next: nextPointer(target, seen, place.clock),
        isNewRef: true,
      });
      return;
    } catch (error) {
      if (!(error instanceof PublishConflictError) || cleanUps === CLEAN_UPS_MAX) throw error;
      const current = await place.reader.loadCurrent({ signal }).catch(() => null);
      // A clean-up moves the pointer to where it is already, and leaves its generation; whoever else moves it does not.
      if (current === null || seen === null || !isSamePlace(current, seen)) throw error;
      const removal = { ref: target.ref, purpose: "publish" };
      await refuseIfRemoving(place.store, removal, { signal }).catch(() => {
        throw error;
      });
      // Who was suspended for hours may come after the removal itself.
      if (!await isThere(place.store, target.ref.slice(joinUrl(place.store.url).length + 1), { signal })) throw error;
      seen = current;
    }
  }
}

function isSamePlace(current: CurrentPointer, seen: CurrentPointer): boolean {
  if (current.ref !== seen.ref || current.generation !== seen.generation) return false;
  // Pointers of the Python package have no generation: a clean-up adds a microsecond.
  return current.generation !== null || current.publishedAtMicros - seen.publishedAtMicros <= CLEAN_UPS_MAX;
}

async function putManifest(
  { store }: Place,
  { key, ref, bytes }: { key: string; ref: string; bytes: Uint8Array },
  signal: AbortSignal | undefined,
): Promise<void> {
  const request = signal === undefined ? {} : { signal };
  try {
    await store.put(key, bytes, {
      ...request,
      contentType: MANIFEST_CONTENT_TYPE,
      precondition: { ifNoneMatch: "*" },
    }).catch(async (error) => {
      // The store may have stored it, lost the reply and tried again.
      if (error instanceof PreconditionFailedError && await isStored(store, { key, bytes }, request)) return;
      throw error;
    });
  } catch (cause) {
    const reason = cause instanceof Error ? `: ${cause.message}` : "";
    throw new PublishManifestError(`Cannot store the manifest "${ref}"${reason}`, { cause });
  }
}

async function isStored(
  store: ObjectStore,
  { key, bytes }: { key: string; bytes: Uint8Array },
  request: RequestOptions,
): Promise<boolean> {
  const stored = await (await store.get(key, request)).bytes();
  return stored.length === bytes.length && stored.every((byte, index) => byte === bytes[index]);
}

async function setCurrent(
  place: Place,
  { ref, expected }: { ref: string; expected: CurrentPointer | null },
  request: RequestOptions,
): Promise<CurrentPointer> {
  const { signal } = request;
  signal?.throwIfAborted();
  await refuseIfRemoving(place.store, { ref, purpose: "roll back to" }, request);
  // Reading it whole proves that there is something to roll back to.
  const manifest = await place.reader.loadManifest(ref, request);
  const publishedAtMicros = laterThan(expected, place.clock);
  const next = nextPointer(
    { ref, runId: runIdOfManifestRef(ref) ?? manifest.runId, publishedAtMicros },
    expected,
    place.clock,
  );
  const move = moveOf(place, expected, signal);
  const malformed = expected === null ? await malformedPointer(place, request) : null;
  return malformed === null ? await movePointer({ ...move, next, isNewRef: false }) : await movePointer({
    ...move,
    next: { ...next, generation: publishedAtMicros },
    isNewRef: false,
    seen: malformed,
  });
}

/** A pointer that nobody can read, which a roll back may replace. */
async function malformedPointer(
  { store, pointerKey }: Place,
  request: RequestOptions,
): Promise<{ ref: null; version: string | null } | null> {
  const found = await loadPointerBytes(store, pointerKey, request);
  if (!found) return null;
  try {
    parsePointer(found.bytes, found);
    return null;
  } catch {
    return { ref: null, version: found.version };
  }
}

function moveOf(
  { store, pointerKey, clock, requestRetry }: Place,
  expected: CurrentPointer | null,
  signal: AbortSignal | undefined,
): Pick<Parameters<typeof movePointer>[0], "store" | "pointerKey" | "clock" | "retry" | "seen" | "signal"> {
  return { store, pointerKey, clock, retry: requestRetry, seen: expected, signal };
}

async function list(place: Place, limit: number, request: RequestOptions): Promise<ManifestRef[]> {
  const folders = await place.store.listFolders(MANIFESTS_PREFIX, request);
  const seriesUrl = await publishedUrl(place, new Set(folders), request);
  const found = folders.flatMap((folder) => {
    const parts = parseManifestFolder(folder);
    const ref = joinUrl(seriesUrl, MANIFESTS_PREFIX, folder, place.manifestName);
    return parts === null ? [] : [{ ref, ...parts }];
  });
  // Sorting is stable: folders of the same time stay ascending.
  return found.sort((one, other) => other.publishedAtMicros - one.publishedAtMicros).slice(0, limit);
}

/** Where refs begin: in a copy of a series they keep naming the place where the series was published. */
async function publishedUrl(
  { store, pointerKey }: Place,
  folders: ReadonlySet<string>,
  request: RequestOptions,
): Promise<string> {
  const current = await loadPointer(store, pointerKey, request).catch((error) => {
    if (error instanceof ManifestParseError) return null;
    throw error;
  });
  const key = current && manifestKeyOfRef(current.ref);
  if (current === null || key === null || !folders.has(key.split("/")[1]!)) return store.url;
  return current.ref.slice(0, -key.length - 1);
}
