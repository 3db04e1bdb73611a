/**
 * Moves the pointer from one manifest to another, by compare-and-set, and finds out what became of it when the store
 * does not answer.
 * @module
 */
import type { Clock } from "../clock.ts";
import {
  ManifestParseError,
  PreconditionFailedError,
  PublishConflictError,
  PublishCurrentError,
  ShardyfusionError,
} from "../errors.ts";
import type { ObjectStore, Precondition } from "../stores/store.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { loadPointer } from "./object_manifest_reader.ts";
import { POINTER_CONTENT_TYPE, renderPointer } from "./pointer.ts";

/** How often a failing move is tried again. */
export interface PointerRetry {
  /** Tries in all. */
  readonly attemptsMax: number;
  /** Wait before the third try; the second follows the first at once, as in the Python package. */
  readonly initialBackoffMs: number;
  /** By what each further wait is longer than the one before. */
  readonly multiplier: number;
}

/** One move of the pointer. */
export interface PointerMove {
  readonly store: ObjectStore;
  readonly pointerKey: string;
  /** The pointer that is to be replaced, with ref null when it is malformed; null when there must be none. */
  readonly seen: { readonly ref: string | null; readonly version: string | null } | null;
  readonly next: Omit<CurrentPointer, "version">;
  /** Whether no earlier pointer can have named `next.ref`: then finding it among `previous` proves that we moved it. */
  readonly isNewRef: boolean;
  readonly clock: Clock;
  readonly retry: PointerRetry;
  readonly signal: AbortSignal | undefined;
}

/**
 * Writes the pointer if it is still the one that was seen. Where the store gives no versions it is only compared
 * shortly before it is replaced.
 *
 * An abort is heeded until the first request; from then on the outcome is unknown and so it ends the tries with
 * `PublishCurrentError`, whose cause is the signal's reason.
 *
 * @throws {PublishConflictError} when another one was faster.
 * @throws {PublishCurrentError} when the store failed; the pointer may have been moved in spite of it.
 */
export async function movePointer(move: PointerMove): Promise<CurrentPointer> {
  const { clock, retry, signal } = move;
  signal?.throwIfAborted();
  let failure: unknown;
  try {
    for (let attempt = 1; attempt <= retry.attemptsMax; attempt++) {
      if (attempt > 2) await clock.sleep(retry.initialBackoffMs * retry.multiplier ** (attempt - 3), signal);
      try {
        return await tryMove(move);
      } catch (error) {
        if (error instanceof PublishConflictError || signal?.aborted) throw error;
        failure = error;
        if (!(error instanceof ShardyfusionError && error.retryable)) break;
      }
    }
    // The last request may have arrived although its answer did not.
    return await outcome(move, failure);
  } catch (error) {
    if (error instanceof PublishConflictError) throw error;
    throw notMoved(move, signal?.aborted ? signal.reason : failure);
  }
}

async function tryMove(move: PointerMove): Promise<CurrentPointer> {
  const { store, pointerKey, seen, next, signal } = move;
  const request = signal === undefined ? {} : { signal };
  const precondition = preconditionOf(seen);
  if (precondition === undefined) {
    const current = await loadPointer(store, pointerKey, request);
    if (current !== null && isOurs(move, current)) return current;
    if (current?.ref !== seen?.ref) throw conflict(move, current, undefined);
  }
  try {
    const { etag } = await store.put(pointerKey, renderPointer(next), {
      ...request,
      contentType: POINTER_CONTENT_TYPE,
      ...(precondition === undefined ? {} : { precondition }),
    });
    return { ...next, version: etag };
  } catch (error) {
    if (error instanceof PreconditionFailedError) return await outcome(move, error);
    throw error;
  }
}

function preconditionOf(seen: PointerMove["seen"]): Precondition | undefined {
  if (seen === null) return { ifNoneMatch: "*" };
  return seen.version === null ? undefined : { ifMatch: seen.version };
}

/**
 * What the pointer is now: ours, which means that a reply was lost, or another one's.
 *
 * @throws {PublishConflictError} when it is another one's.
 * @throws `failure` when it is what it was before, and the store's errors.
 */
async function outcome(move: PointerMove, failure: unknown): Promise<CurrentPointer> {
  const { store, pointerKey, seen, signal } = move;
  const wasRefused = failure instanceof PreconditionFailedError;
  let current: CurrentPointer | null;
  try {
    current = await loadPointer(store, pointerKey, signal === undefined ? {} : { signal });
  } catch (error) {
    if (!(error instanceof ManifestParseError)) throw error;
    throw seen?.ref === null && !wasRefused ? failure : conflict(move, null, error);
  }
  if (current !== null && isOurs(move, current)) return current;
  const isUnmoved = current?.ref === seen?.ref && current?.version === seen?.version;
  throw isUnmoved && !wasRefused ? failure : conflict(move, current, failure);
}

function isOurs({ seen, next, isNewRef }: PointerMove, current: CurrentPointer): boolean {
  if (isNewRef && current.previous?.includes(next.ref)) return true; // Published, and followed by another one.
  if (current.ref !== next.ref) return false;
  // A roll back to what is current already shows in the generation only, and a clean-up in the time.
  return seen?.ref !== next.ref ||
    (current.generation === next.generation && current.publishedAtMicros === next.publishedAtMicros);
}

function conflict({ next }: PointerMove, winner: CurrentPointer | null, cause: unknown): PublishConflictError {
  const state = winner === null ? "names none that can be read" : `names "${winner.ref}"`;
  return new PublishConflictError(
    `Cannot make "${next.ref}" the current manifest as another writer moved the pointer in between: it ${state}`,
    { manifestRef: next.ref, winnerRef: winner?.ref ?? null },
    cause === undefined ? {} : { cause },
  );
}

function notMoved({ next, store, pointerKey }: PointerMove, cause: unknown): PublishCurrentError {
  const reason = cause instanceof Error ? `: ${cause.message}` : "";
  return new PublishCurrentError(
    `Cannot move the pointer "${store.url}/${pointerKey}" to "${next.ref}", which is stored${reason}`,
    next.ref,
    { cause },
  );
}
