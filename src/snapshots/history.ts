/**
 * Looks back over what was published, and goes back to it.
 * @module
 */
import * as v from "valibot";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError, ManifestParseError, ReaderStateError } from "../errors.ts";
import {
  clockOption,
  nonEmptyText,
  objectWith,
  parseOptions,
  positiveInteger,
  signalOption,
  wholeNumber,
} from "../options.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { ManifestRef } from "./manifest.ts";
import type { CurrentPointer, ManifestStore } from "./manifest_store.ts";
import { objectManifestStore } from "./object_manifest_store.ts";
import { fencedStore, type PreconditionPolicy, preconditionPolicy } from "./preconditions.ts";

/** Options that {@linkcode history} and {@linkcode rollBack} share. */
export interface ManifestPlaceOptions {
  /** Where manifests and the pointer are kept. Default: in the store. */
  readonly manifestStore?: ManifestStore | undefined;
  /** Key of the pointer in the store. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
  /** Aborts the requests. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@linkcode history}. */
export interface HistoryOptions extends ManifestPlaceOptions {
  /** How many manifests at most. @default {10} */
  readonly limit?: number | undefined;
}

/** Options of {@linkcode rollBack}: exactly one of `ref`, `runId` and `offset`. */
export interface RollBackOptions extends ManifestPlaceOptions {
  /** The manifest itself. */
  readonly ref?: string | undefined;
  /** The newest manifest of this run. */
  readonly runId?: string | undefined;
  /** Place in the history: 0 is the newest manifest. */
  readonly offset?: number | undefined;
  /** What to do about a store that ignores preconditions, as for `writeSnapshot`. @default {"require"} */
  readonly preconditions?: PreconditionPolicy | undefined;
}

interface CheckedPlace extends ManifestPlaceOptions {
  readonly pointerKey: string;
  readonly clock: Clock;
}

const placeOptions = {
  manifestStore: v.optional(objectWith<ManifestStore>("a manifest store", "loadCurrent", "list", "setCurrent")),
  pointerKey: v.optional(nonEmptyText, "_CURRENT"),
  clock: v.optional(clockOption, systemClock),
  signal: v.optional(signalOption),
};

const historyOptions = v.strictObject({
  ...placeOptions,
  limit: v.optional(positiveInteger, 10),
}) as unknown as v.GenericSchema<HistoryOptions, CheckedPlace & { readonly limit: number }>;

const rollBackOptions = v.strictObject({
  ...placeOptions,
  ref: v.optional(nonEmptyText),
  runId: v.optional(nonEmptyText),
  offset: v.optional(wholeNumber),
  preconditions: v.optional(preconditionPolicy, "require"),
}) as unknown as v.GenericSchema<
  RollBackOptions,
  CheckedPlace & RollBackOptions & { readonly preconditions: PreconditionPolicy }
>;

/**
 * The published manifests, newest first, by the time stamps of their folders. The current one need not be the first:
 * a roll back leaves the history as it is. In a copy of a series, refs name the place where it was published.
 *
 * Costs one listing and one GET.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 * @throws {StoreError} when the store fails.
 *
 * @example
 * ```ts
 * import { history } from "./history.ts";
 * import type { ObjectStore } from "../stores/store.ts";
 *
 * async function newestRun(store: ObjectStore): Promise<string | undefined> {
 *   const [newest] = await history(store, { limit: 1 });
 *   return newest?.runId;
 * }
 * if (typeof newestRun !== "function") throw new Error("unreachable");
 * ```
 */
export async function history(store: ObjectStore, options: HistoryOptions = {}): Promise<ManifestRef[]> {
  const checked = parseOptions(historyOptions, options);
  return await manifestsOf(store, checked).list(checked.limit, requestOf(checked));
}

/**
 * Makes an earlier manifest the current one: readers take it over at their next refresh. Nothing is removed, so that
 * one can go forward again in the same way. A pointer that is malformed is replaced.
 *
 * @returns The manifest that is current now, with the time of the roll back.
 * @throws {ConfigValidationError} when not exactly one of `ref`, `runId` and `offset` is given; when the store does not
 * honour preconditions.
 * @throws {ReaderStateError} when the history has no such run, or is shorter, or a clean-up is removing the snapshot.
 * @throws {ObjectNotFoundError} when there is no manifest of this ref.
 * @throws {ManifestParseError} when the manifest cannot be read.
 * @throws {PublishConflictError} when another writer moved the pointer at the same time.
 * @throws {PublishCurrentError} when the pointer could not be moved, after its retries.
 *
 * @example
 * ```ts
 * import { rollBack } from "./history.ts";
 * import type { ObjectStore } from "../stores/store.ts";
 *
 * async function undoLastPublish(store: ObjectStore): Promise<string> {
 *   const { ref } = await rollBack(store, { offset: 1 });
 *   return ref;
 * }
 * if (typeof undoLastPublish !== "function") throw new Error("unreachable");
 * ```
 */
export async function rollBack(store: ObjectStore, options: RollBackOptions): Promise<ManifestRef> {
  const checked = parseOptions(rollBackOptions, options);
  const given = (["ref", "runId", "offset"] as const).filter((name) => checked[name] !== undefined);
  if (given.length !== 1) {
    const state = given.length === 0 ? "none of them is given" : `given are ${given.join(" and ")}`;
    throw new ConfigValidationError(
      `Cannot roll back as exactly one of the options "ref", "runId" and "offset" must be given: ${state}`,
      given[1] ?? "ref",
    );
  }
  const request = requestOf(checked);
  const { manifestStore, preconditions: policy } = checked;
  const fenced = manifestStore === undefined ? await fencedStore(store, { ...request, policy }) : store;
  const manifests = manifestsOf(fenced, checked);
  // Read first, so that a publish between the choice and the move is noticed.
  const expected = await currentOrNull(manifests, request);
  const target = checked.ref ?? await findRef(manifests, checked, request);
  const { ref, runId, publishedAtMicros } = await manifests.setCurrent(target, expected, request);
  return { ref, runId, publishedAtMicros };
}

function manifestsOf(store: ObjectStore, { manifestStore, pointerKey, clock }: CheckedPlace): ManifestStore {
  return manifestStore ?? objectManifestStore(store, { pointerKey, clock });
}

function requestOf({ signal }: ManifestPlaceOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

async function currentOrNull(
  manifests: ManifestStore,
  request: { signal?: AbortSignal },
): Promise<CurrentPointer | null> {
  try {
    return await manifests.loadCurrent(request);
  } catch (error) {
    if (error instanceof ManifestParseError) return null;
    throw error;
  }
}

async function findRef(
  manifests: ManifestStore,
  { runId, offset }: RollBackOptions,
  request: { signal?: AbortSignal },
): Promise<string> {
  const refs = await manifests.list(offset === undefined ? Number.MAX_SAFE_INTEGER : offset + 1, request);
  const found = offset === undefined ? refs.find((entry) => entry.runId === runId) : refs[offset];
  if (found !== undefined) return found.ref;
  const wanted = offset === undefined ? `run "${runId}"` : `offset ${offset}`;
  throw new ReaderStateError(`Cannot roll back to ${wanted} as the history has ${refs.length} manifests without it`);
}
