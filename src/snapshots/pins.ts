/**
 * Pins: snapshots that `cleanUp` leaves alone for a time. Each is a small object of its own,
 * `pins/<folder of the manifest>/<id>.json`:
 *
 * ```json
 * {"created_at":"2026-01-02T03:04:05Z","format_version":1,"note":"audit","ref":"s3://…","until":"2026-02-01T00:00:00Z"}
 * ```
 *
 * A pin of a manifest that is kept elsewhere, in a database, has the runs whose shards the manifest names, too:
 * `"runs":["r1"]`. A clean-up that is not given the manifest store leaves these alone, as it cannot know more.
 *
 * The Python package does not know pins: its own `shardy cleanup` removes the shards of pinned snapshots.
 * @module
 */
import * as v from "valibot";
import { dumpJson, type JsonObject } from "../bytes/python_json.ts";
import { jsonStamp, parseStamp } from "../bytes/timestamps.ts";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError, ObjectNotFoundError, ReaderStateError } from "../errors.ts";
import { clockOption, objectWith, parseOptions, signalOption } from "../options.ts";
import type { ObjectStore, RequestOptions } from "../stores/store.ts";
import { isJsonObject, jsonOf } from "./checked_fields.ts";
import { checkRunId, keyUnder, MANIFESTS_PREFIX, newHexId, runOfKey } from "./layout.ts";
import type { ManifestReader } from "./manifest_store.ts";
import { bytesOrNull, folderOfRef, refuseIfRemoving } from "./removals.ts";

const PINS_PREFIX = "pins/";

/** Options of {@linkcode pin}. */
export interface PinOptions {
  /** When the pin ends; null: never, until `unpin`. */
  readonly until: Date | null;
  /** Who needs the snapshot, or why; for people. */
  readonly note?: string | undefined;
  /** Where the manifest is kept. Default: in the store, where pins are in any case. */
  readonly manifestStore?: ManifestReader | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
  /** Aborts the requests. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@linkcode unpin}. */
export interface UnpinOptions {
  /** As for {@linkcode pin}: needed to unpin by the ref of such a manifest. */
  readonly manifestStore?: ManifestReader | undefined;
  /** Aborts the requests. */
  readonly signal?: AbortSignal | undefined;
}

/** A pin as it is stored. */
export interface Pin {
  /** Key of the pin in the store. */
  readonly key: string;
  /** URL of the manifest. */
  readonly ref: string;
  /** When the pin ends, in microseconds since 1970; null: never. */
  readonly untilMicros: number | null;
}

/** A pin as a listing and its content show it. */
export interface FoundPin {
  readonly key: string;
  /** Name of the manifest's folder. */
  readonly folder: string;
  /** Those that the manifest needs, where it is kept elsewhere; else empty. */
  readonly runs: readonly string[];
  /** Null: never ends, or cannot be read. */
  readonly untilMicros: number | null;
}

const pinOptions = v.strictObject({
  until: v.nullable(v.date("a date, or null"), undefined),
  note: v.optional(v.string("a string")),
  manifestStore: v.optional(objectWith<ManifestReader>("a manifest store", "loadCurrent", "loadManifest")),
  clock: v.optional(clockOption, systemClock),
  signal: v.optional(signalOption),
}) as unknown as v.GenericSchema<PinOptions, PinOptions & { readonly clock: Clock }>;

/**
 * Keeps a snapshot from being removed by `cleanUp` until a time. Several pins of one snapshot hold each for itself.
 * When the promise resolves, no clean-up removes the snapshot any more (P5), also none that is running.
 *
 * The Python package's own cleanup does not honour pins.
 *
 * A pin of a manifest that is kept elsewhere holds its runs also against clean-ups that are not given `manifestStore`.
 *
 * Costs one PUT and two LISTs, and with `manifestStore` reading the manifest.
 *
 * @param ref URL of the manifest, as in `history` and in the result of a write; with `manifestStore`, what it is called
 * there.
 * @returns The pin, which `unpin` takes.
 * @throws {ConfigValidationError} when an option is wrong, or the ref names no manifest.
 * @throws {ReaderStateError} when there is no such manifest, or a clean-up is removing it or what it needs.
 * @throws {StoreError} when the store fails.
 *
 * @example
 * ```ts
 * import { pin, unpin } from "./pins.ts";
 * import type { ObjectStore } from "../stores/store.ts";
 *
 * async function whileKept(store: ObjectStore, ref: string, work: () => Promise<void>): Promise<void> {
 *   const kept = await pin(store, ref, { until: new Date(Date.now() + 3_600_000), note: "nightly report" });
 *   await work();
 *   await unpin(store, kept);
 * }
 * if (typeof whileKept !== "function") throw new Error("unreachable");
 * ```
 */
export async function pin(store: ObjectStore, ref: string, options: PinOptions): Promise<Pin> {
  const { until, note, manifestStore, clock, signal } = parseOptions(pinOptions, options);
  const folder = folderOf(ref, manifestStore);
  const untilMicros = until === null ? null : until.getTime() * 1000;
  const nowMicros = clock.nowMicros();
  if (untilMicros !== null && !(untilMicros > nowMicros)) {
    throw new ConfigValidationError(
      `Cannot use option "until" as it must be a time to come: current value is ${jsonText(untilMicros)}`,
      "until",
    );
  }
  const request = signal === undefined ? {} : { signal };
  const key = `${PINS_PREFIX}${folder}/${newHexId()}.json`;
  const shards = manifestStore && await shardsElsewhere(manifestStore, { ref, store }, request);
  const fields: JsonObject = {
    "created_at": jsonStamp(nowMicros),
    "format_version": 1,
    "note": note ?? null,
    ref,
    ...shards && { "runs": [...shards.runs] },
    "until": untilMicros === null ? null : jsonStamp(untilMicros),
  };
  const bytes = new TextEncoder().encode(dumpJson(fields, { compact: true, path: "pin" }));
  try {
    await store.put(key, bytes, { ...request, contentType: "application/json" });
    // Only now: what is announced from here on heeds the pin.
    await refuseIfRemoving(store, { ref, purpose: "pin", runs: shards?.runs }, request);
    if (shards === undefined) await refuseIfGone(store, { ref, folder }, request);
    else await refuseIfShardsGone(store, { ref, ...shards }, request);
  } catch (error) {
    await store.delete(key).catch(() => {});
    throw error;
  }
  return { key, ref, untilMicros };
}

/**
 * Ends a pin, or all pins of a snapshot; none is no error.
 *
 * @param pinned What `pin` gave, for that pin alone, or the URL of the manifest, for all of its pins.
 * @returns How many pins were removed; 1 for a pin that `pin` gave, also when it had gone.
 * @throws {ConfigValidationError} when the ref names no manifest.
 * @throws {StoreError} when the store fails.
 *
 * @example
 * ```ts
 * import { unpin } from "./pins.ts";
 * import type { ObjectStore } from "../stores/store.ts";
 *
 * async function release(store: ObjectStore, ref: string): Promise<boolean> {
 *   return await unpin(store, ref) > 0;
 * }
 * if (typeof release !== "function") throw new Error("unreachable");
 * ```
 */
export async function unpin(
  store: ObjectStore,
  pinned: string | Pin,
  { manifestStore, signal }: UnpinOptions = {},
): Promise<number> {
  const request = signal === undefined ? {} : { signal };
  if (typeof pinned === "string") {
    return await store.deletePrefix(`${PINS_PREFIX}${folderOf(pinned, manifestStore)}`, request);
  }
  await store.delete(pinned.key, request);
  return 1;
}

/** All pins, also ended ones. Costs a LIST, and a GET for each pin. */
export async function loadPins(store: ObjectStore, request: RequestOptions): Promise<FoundPin[]> {
  const found: FoundPin[] = [];
  for await (const page of store.list(PINS_PREFIX, request)) {
    for (const { key } of page) {
      const [, folder, name] = key.split("/");
      const bytes = name === undefined ? null : await bytesOrNull(store, key, request);
      if (bytes !== null) found.push({ key, folder: folder!, ...contentOf(bytes) });
    }
  }
  return found;
}

/** Pins that have not ended. */
export function livePins(pins: readonly FoundPin[], nowMicros: number): FoundPin[] {
  return pins.filter(({ untilMicros }) => untilMicros === null || untilMicros > nowMicros);
}

function contentOf(bytes: Uint8Array): Pick<FoundPin, "runs" | "untilMicros"> {
  const fields = jsonOf(new TextDecoder().decode(bytes));
  const { until, runs } = isJsonObject(fields) ? fields : {};
  return {
    runs: Array.isArray(runs) ? runs.filter((runId) => typeof runId === "string") : [],
    untilMicros: typeof until === "string" ? parseStamp(until) : null,
  };
}

/** Name of the folder of pins: that of the manifest, or, of one that is kept elsewhere, what it is called. */
function folderOf(ref: string, manifestStore: ManifestReader | undefined): string {
  const folder = folderOfRef(ref);
  if (folder !== null) return folder;
  if (manifestStore !== undefined) {
    checkRunId(ref, "ref");
    return ref;
  }
  throw new ConfigValidationError(
    `Cannot use option "ref" as it must be the URL of a manifest, as in the history: current value is "${ref}"`,
    "ref",
  );
}

/** What a manifest that is kept elsewhere needs of the store. */
interface ShardsElsewhere {
  /** The manifest's own run, and those whose shards it names. */
  readonly runs: readonly string[];
  readonly shardPrefix: string;
  /** Runs with shards that it names. */
  readonly shardRuns: readonly string[];
}

async function shardsElsewhere(
  manifests: ManifestReader,
  { ref, store }: { ref: string; store: ObjectStore },
  request: RequestOptions,
): Promise<ShardsElsewhere> {
  const { runId, s3Prefix, shardPrefix, shards } = await manifests.loadManifest(ref, request).catch((error) => {
    throw error instanceof ObjectNotFoundError ? noManifest(ref) : error;
  });
  const shardRuns = new Set<string>();
  for (const { dbUrl } of shards) {
    const url = dbUrl?.replace(/\/+$/, "") ?? "";
    const run = runOfKey(keyUnder(s3Prefix, url) ?? keyUnder(store.url, url) ?? "", shardPrefix);
    if (run !== null) shardRuns.add(run);
  }
  return { runs: [...new Set([runId, ...shardRuns])], shardPrefix, shardRuns: [...shardRuns] };
}

/** A clean-up that was not given the manifest store may have removed them. */
async function refuseIfShardsGone(
  store: ObjectStore,
  { ref, shardPrefix, shardRuns }: ShardsElsewhere & { ref: string },
  request: RequestOptions,
): Promise<void> {
  const folders = new Set(await store.listFolders(`${shardPrefix}/`, request));
  const gone = shardRuns.find((runId) => !folders.has(`run_id=${runId}`) && !folders.has(`run_id=${runId}/`));
  if (gone === undefined) return;
  throw new ReaderStateError(
    `Cannot pin "${ref}" as the shards of run "${gone}", which it names, are not there any more`,
  );
}

async function refuseIfGone(
  store: ObjectStore,
  { ref, folder }: { ref: string; folder: string },
  request: RequestOptions,
): Promise<void> {
  for await (const page of store.list(`${MANIFESTS_PREFIX}${folder}/`, request)) {
    if (page.length > 0) return;
  }
  throw noManifest(ref);
}

function noManifest(ref: string): ReaderStateError {
  return new ReaderStateError(`Cannot pin "${ref}" as there is no such manifest: take a ref of the history`);
}

function jsonText(micros: number): string {
  return Number.isFinite(micros) ? `"${jsonStamp(micros)}"` : "no date";
}
