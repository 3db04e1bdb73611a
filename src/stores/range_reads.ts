/**
 * Several ranges of one object by several requests.
 * @module
 */
import type { ByteRange, StoredRanges } from "./store.ts";
import { replacedError } from "./stored_object.ts";

/** What one request for a range gave. */
export interface RangeAnswer {
  readonly etag: string | null;
  /** Length of the whole object; null when the answer did not tell. */
  readonly sizeBytes: number | null;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** How ranges are read. */
export interface RangeReads {
  readonly signal: AbortSignal | undefined;
  /** Reads one range; its signal is aborted when another range fails. */
  readOne(range: ByteRange, signal: AbortSignal): Promise<RangeAnswer>;
}

/** A browser and a Worker send no more to one host. */
const RANGES_AT_ONCE = 6;

/**
 * Reads ranges, up to six at once.
 *
 * @throws {StoreError} retryable, when they are not all of one version.
 */
export async function rangesTogether(
  url: string,
  ranges: readonly ByteRange[],
  { signal, readOne }: RangeReads,
): Promise<StoredRanges> {
  const answers: RangeAnswer[] = [];
  // When one range fails, the others must not hold their connections.
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  let next = 0;
  let version: RangeAnswer | undefined;
  async function work(): Promise<void> {
    while (next < ranges.length && !stop.signal.aborted) {
      const index = next++;
      const answer = answers[index] = await readOne(ranges[index]!, either);
      version ??= answer;
      if (version.etag !== answer.etag || version.sizeBytes !== answer.sizeBytes) throw replacedError(url);
    }
  }
  try {
    await Promise.all(Array.from({ length: RANGES_AT_ONCE }, work));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
  const { etag = null, sizeBytes = null } = version ?? {};
  return { etag, sizeBytes, parts: answers.map(({ bytes }) => bytes) };
}
