/**
 * Remembers what is asked of stores: how a look-up went is told by its requests.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { ByteRange, ReadableStore, StoredObject } from "../stores/store.ts";

/** One GET. */
export interface RecordedRequest {
  /** The whole URL of the object. */
  readonly url: string;
  /** Null: the whole object. */
  readonly range: ByteRange | null;
  /** Bytes of the answer; 0 where it failed. */
  readonly sizeBytes: number;
  /** Milliseconds from the start of the recording to the request, and until its whole answer was there. */
  readonly startedMs: number;
  readonly durationMs: number;
  /** What came; null where it failed. */
  readonly bytes: Uint8Array | null;
}

/** Requests, as they are recorded. */
export interface Recording {
  /** The same store; what is asked through it is recorded. Answers are read as a whole before they are handed on. */
  through(store: ReadableStore): ReadableStore;
  /** Forgets what was recorded; times count from now on. */
  begin(): void;
  /** The requests since then that have ended, in the order in which they began. */
  requests(): RecordedRequest[];
}

/** Begins to record. */
export function recordRequests(clock: Clock): Recording {
  let beganMs = clock.monotonicMs();
  let recorded: RecordedRequest[] = [];

  async function timed<T>(url: string, send: () => Promise<T>, told: (answer: T) => Told[]): Promise<T> {
    const list = recorded;
    const startedMs = clock.monotonicMs() - beganMs;
    const note = (entries: Told[]): void => {
      const durationMs = clock.monotonicMs() - beganMs - startedMs;
      for (const { range, bytes } of entries) {
        list.push({ url, range, bytes, sizeBytes: bytes?.byteLength ?? 0, startedMs, durationMs });
      }
    };
    try {
      const answer = await send();
      note(told(answer));
      return answer;
    } catch (error) {
      note([{ range: null, bytes: null }]);
      throw error;
    }
  }

  return {
    through: (inner) => ({
      url: inner.url,
      get: async (key, options) => {
        const url = `${inner.url}/${key}`;
        return (await timed(url, async () => await whole(await inner.get(key, options)), wholeTold)).stored;
      },
      getRanges: async (key, ranges, options) =>
        await timed(
          `${inner.url}/${key}`,
          () => inner.getRanges(key, ranges, options),
          ({ parts }) => parts.map((bytes, index) => ({ range: ranges[index]!, bytes })),
        ),
    }),
    begin() {
      recorded = [];
      beganMs = clock.monotonicMs();
    },
    requests: () => recorded.toSorted((one, other) => one.startedMs - other.startedMs),
  };
}

/** What is told of an answer. */
interface Told {
  readonly range: ByteRange | null;
  readonly bytes: Uint8Array | null;
}

interface WholeObject {
  readonly stored: StoredObject;
  readonly bytes: Uint8Array;
}

function wholeTold({ bytes }: WholeObject): Told[] {
  return [{ range: null, bytes }];
}

async function whole(object: StoredObject): Promise<WholeObject> {
  const bytes = await object.bytes();
  const { etag, sizeBytes } = object;
  return { bytes, stored: { etag, sizeBytes, body: new Blob([bytes]).stream(), bytes: () => Promise.resolve(bytes) } };
}
