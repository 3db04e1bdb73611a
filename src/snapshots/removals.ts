/**
 * Announcements of what a clean-up is about to remove: `removals/<time stamp>_<id>`, one for each clean-up that removes
 * manifests or runs, deleted at its end. Roll backs and pins refuse the manifests that one names, and writers that were
 * taken for dead do not publish the runs that one names. The Python package ignores them.
 *
 * ```json
 * {"format_version":1,"manifests":["2026-01-02T03:04:05.000000Z_run_id=r1"],"runs":["r1"]}
 * ```
 *
 * Looking and then deleting would leave a moment in which a roll back can choose what is deleted next. So who wants a
 * manifest says so first and then looks for announcements, and a clean-up announces first and then looks for pins; and
 * it moves the pointer in between (to the manifest that it names already), which makes a roll back that looked before
 * the announcement fail.
 * @module
 */
import { dumpJson, type JsonObject } from "../bytes/python_json.ts";
import { parseStamp, pathStamp } from "../bytes/timestamps.ts";
import type { Clock } from "../clock.ts";
import { ObjectNotFoundError, PublishConflictError, ReaderStateError } from "../errors.ts";
import type { ObjectStore, ReadableStore, RequestOptions } from "../stores/store.ts";
import { isJsonObject, jsonOf } from "./checked_fields.ts";
import { manifestKeyOfRef, newHexId } from "./layout.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { movePointer, type PointerRetry } from "./move_pointer.ts";
import { loadPointer } from "./object_manifest_reader.ts";

const REMOVALS_PREFIX = "removals/";
const MOVES_MAX = 20;
const POINTER_RETRY: PointerRetry = Object.freeze({ attemptsMax: 4, initialBackoffMs: 1000, multiplier: 2 });

/** One announcement. */
export interface Removal {
  readonly key: string;
  readonly startedAtMicros: number;
  /** Names of the manifests' folders. */
  readonly folders: ReadonlySet<string>;
  /** Runs of which everything goes. */
  readonly runs: ReadonlySet<string>;
}

/** Name of the folder of a manifest below `manifests/`; null when the ref has another form. */
export function folderOfRef(ref: string): string | null {
  return manifestKeyOfRef(ref)?.split("/")[1] ?? null;
}

/** Announces that manifests and runs are about to be removed. */
export async function announceRemoval(
  store: ObjectStore,
  { folders, runs, startedAtMicros }: Omit<Removal, "key">,
  request: RequestOptions,
): Promise<Removal> {
  const key = `${REMOVALS_PREFIX}${pathStamp(startedAtMicros)}_${newHexId()}`;
  const fields: JsonObject = { "format_version": 1, "manifests": [...folders], "runs": [...runs] };
  const bytes = new TextEncoder().encode(dumpJson(fields, { compact: true, path: "removal" }));
  await store.put(key, bytes, { ...request, contentType: "application/json" });
  return { key, startedAtMicros, folders, runs };
}

/** All announcements; costs a LIST, and a GET for each, of which there are hardly ever any. */
export async function loadRemovals(store: ObjectStore, request: RequestOptions): Promise<Removal[]> {
  const found: Removal[] = [];
  for await (const page of store.list(REMOVALS_PREFIX, request)) {
    for (const { key } of page) {
      const bytes = await bytesOrNull(store, key, request);
      if (bytes === null) continue;
      const stamp = key.slice(REMOVALS_PREFIX.length).split("_")[0]!;
      found.push({ key, startedAtMicros: parseStamp(stamp) ?? 0, ...announcedIn(bytes) });
    }
  }
  return found;
}

/**
 * Refuses a manifest that a clean-up is removing, or the shards of one of its runs.
 *
 * @param runs Those that the manifest needs, where it is kept elsewhere; else the manifest itself is announced.
 * @param purpose What errors say that cannot be done.
 * @throws {ReaderStateError} when an announcement names it.
 */
export async function refuseIfRemoving(
  store: ObjectStore,
  { ref, purpose, runs = [] }: { ref: string; purpose: string; runs?: readonly string[] | undefined },
  request: RequestOptions,
): Promise<void> {
  const folder = folderOfRef(ref);
  if (folder === null && runs.length === 0) return;
  const removal = (await loadRemovals(store, request)).find((announced) =>
    announced.folders.has(folder ?? ref) || runs.some((runId) => announced.runs.has(runId))
  );
  if (removal === undefined) return;
  throw new ReaderStateError(
    `Cannot ${purpose} "${ref}" as a clean-up is removing it, or was interrupted while it did: choose another ` +
      `snapshot, or run the clean-up again, which ends what "${removal.key}" announces`,
  );
}

/**
 * Moves the pointer to the manifest that it names already, without the announced manifests among `previous`, unless
 * these have been current meanwhile. From then on, who read the pointer before the announcement can no longer move it.
 *
 * @param currentLately The refs, among those before a pointer, that were current lately: they stay.
 * @throws {PublishConflictError} when others moved the pointer each time.
 * @throws {PublishCurrentError} when the store failed.
 */
export async function fencePointer(
  { store, pointerKey, clock }: { store: ObjectStore; pointerKey: string; clock: Clock },
  { folders, currentLately }: {
    folders: ReadonlySet<string>;
    currentLately: (pointer: CurrentPointer) => Promise<ReadonlySet<string>>;
  },
  { signal }: RequestOptions,
): Promise<void> {
  for (let move = 1;; move++) {
    const seen = await loadPointer(store, pointerKey, { signal });
    if (seen === null) return;
    const { ref, runId, publishedAtMicros, generation } = seen;
    const lately = await currentLately(seen);
    const previous = seen.previous?.filter((ref) => lately.has(ref) || !folders.has(folderOfRef(ref) ?? "")) ?? null;
    // With the same time the bytes, and so perhaps the version, would stay the same.
    const next = { ref, runId, publishedAtMicros: publishedAtMicros + 1, generation, previous };
    try {
      await movePointer({ store, pointerKey, clock, seen, next, isNewRef: false, retry: POINTER_RETRY, signal });
      return;
    } catch (error) {
      if (!(error instanceof PublishConflictError) || move === MOVES_MAX) throw error;
    }
  }
}

/** Whether an object is there; costs a GET. */
export async function isThere(store: ReadableStore, key: string, request: RequestOptions): Promise<boolean> {
  return await bytesOrNull(store, key, request) !== null;
}

/** A small object; null when there is none. */
export async function bytesOrNull(
  store: ReadableStore,
  key: string,
  request: RequestOptions,
): Promise<Uint8Array | null> {
  try {
    return await (await store.get(key, request)).bytes();
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
}

function announcedIn(bytes: Uint8Array): Pick<Removal, "folders" | "runs"> {
  const fields = jsonOf(new TextDecoder().decode(bytes));
  const names = (field: string): ReadonlySet<string> => {
    const found = isJsonObject(fields) ? fields[field] : null;
    return new Set(Array.isArray(found) ? found.filter((name) => typeof name === "string") : []);
  };
  return { folders: names("manifests"), runs: names("runs") };
}
