/**
 * One look-up, told step by step: what the key is hashed as, which shard that gives, which pages and GETs it takes.
 *
 * The key is looked up twice. First in the reader that serves, as everybody else's keys are. Then in a reader of the
 * same snapshot that only reads ranges and is asked by nobody else, so that each of its GETs belongs to this key: that
 * is what programs pay that keep no shards.
 * @module
 */
import { xxh3Hex } from "../bytes/xxh3.ts";
import { ReaderStateError, UnknownRoutingTokenError } from "../errors.ts";
import { openSnapshot } from "../read/open_snapshot.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { canonicalBytes, encodeKey, type Key } from "../routing/key.ts";
import type { RoutingColumns } from "../routing/router.ts";
import type { ExplorerPlace } from "./explorer_options.ts";
import { messageOf, publicText } from "./public_text.ts";
import { type RecordedRequest, type Recording, recordRequests } from "./recording.ts";
import { SeenPages, type TreeWay } from "./tree_walk.ts";
import { typedColumns, type TypedKey, typedKey } from "./typed_key.ts";
import { type ValuePreview, valuePreview } from "./value_preview.ts";

/** So many look-ups wait for their turn at most. */
const WAITING_MAX = 16;
const CACHE_BYTES_MAX = 1 << 24;

/** What is to be looked up. */
export interface TraceRequest extends TypedKey {
  /** Columns of the routing expression, as `NAME=VALUE`. */
  readonly columns: readonly string[];
  /** Whether to begin with nothing in memory, as a reader does that was just opened. */
  readonly isCold: boolean;
  readonly signal: AbortSignal;
}

/** The key, and the bytes that are stored and hashed of it. */
export interface TracedKey {
  readonly text: string;
  readonly encoding: string;
  readonly storedHex: string;
  readonly canonicalHex: string;
}

/** How the key finds its shard. `hashHex` is missing where an expression decides. */
export interface TracedRouting {
  readonly strategy: "hash" | "cel";
  readonly hashHex: string | null;
  readonly expr: string | null;
  readonly shardCount: number;
  /** Null: the expression's answer is no shard of this snapshot. */
  readonly shardId: number | null;
  readonly note: string | null;
}

/** What the serving reader did. Counts are of this look-up alone where `isAlone`. */
export interface ServedLookUp {
  readonly access: string;
  readonly durationMs: number;
  readonly requests: number;
  readonly bytesRead: number;
  readonly isAlone: boolean;
}

/** One GET. */
export interface TracedRequest {
  /** What was fetched: `manifest`, `sidecar`, `guard`, `pages` or, of other engines, `object`. */
  readonly what: string;
  /** Last part of the object's name. */
  readonly name: string;
  readonly firstPage: number | null;
  readonly pageCount: number | null;
  readonly offset: number | null;
  readonly sizeBytes: number;
  readonly startedMs: number;
  readonly durationMs: number;
  readonly isFailed: boolean;
}

/** The look-up over ranges. */
export interface RangedLookUp {
  readonly isCold: boolean;
  readonly durationMs: number;
  /** Requests that opened the snapshot, then those of the look-up; times count from the first one. */
  readonly opening: readonly TracedRequest[];
  readonly requests: readonly TracedRequest[];
  /** Whether the shard's filter knew that the key is absent, so that no page was read. */
  readonly isFiltered: boolean;
  readonly way: TreeWay | null;
  /** Why there was no answer. */
  readonly error: string | null;
}

/** The shard that the key belongs to. */
export interface TracedShard {
  readonly shardId: number;
  readonly rowCount: number;
  readonly sizeBytes: number;
}

/** A look-up, told. */
export interface Trace {
  readonly runId: string;
  readonly key: TracedKey;
  readonly routing: TracedRouting;
  readonly shard: TracedShard | null;
  readonly served: ServedLookUp;
  readonly ranged: RangedLookUp;
  /** Null: there is no such key. */
  readonly value: ValuePreview | null;
}

/** The reader that only traces use. */
interface RangeReader {
  readonly manifestRef: string;
  readonly recording: Recording;
  readonly reader: SnapshotReader;
  readonly seen: SeenPages;
}

/** Looks keys up one after the other, so that what is counted belongs to one key. */
export class Tracer {
  readonly #place: ExplorerPlace;
  #ranges: RangeReader | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(place: ExplorerPlace) {
    this.#place = place;
  }

  /**
   * Looks a key up.
   *
   * @throws {ConfigValidationError} when the snapshot cannot have such a key, or columns are missing.
   * @throws {ReaderStateError} when too many look-ups wait.
   * @throws what `reader.get` throws.
   */
  trace(request: TraceRequest): Promise<Trace> {
    if (this.#waiting >= WAITING_MAX) {
      throw new ReaderStateError(`Cannot trace the look-up as ${WAITING_MAX} others wait: try again`);
    }
    this.#waiting++;
    const done = this.#turn.then(() => this.#traceNow(request)).finally(() => this.#waiting--);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #traceNow(request: TraceRequest): Promise<Trace> {
    const { reader } = this.#place;
    const { signal } = request;
    const { info } = reader;
    const key = typedKey(request, info.keyEncoding);
    const columns = typedColumns(request.columns, info.routing);
    const routing = routingOf(reader, key, columns);
    const { value, served } = await this.#serve(key, columns, signal);
    const shard = routing.shardId === null ? null : await shardOf(reader, routing.shardId, signal);
    const ranged = await this.#range(key, { columns, request, manifestRef: info.manifestRef });
    return {
      runId: info.runId,
      key: {
        text: request.text,
        encoding: info.keyEncoding,
        storedHex: hex(encodeKey(info.keyEncoding, key)),
        canonicalHex: hex(canonicalBytes(key)),
      },
      routing,
      shard,
      served,
      ranged,
      value: value === null ? null : valuePreview(value),
    };
  }

  async #serve(
    key: Key,
    columns: RoutingColumns | undefined,
    signal: AbortSignal,
  ): Promise<{ value: Uint8Array | null; served: ServedLookUp }> {
    const { reader, clock } = this.#place;
    const before = reader.stats();
    const startedMs = clock.monotonicMs();
    const value = await reader.get(key, columns === undefined ? { signal } : { signal, columns });
    const durationMs = clock.monotonicMs() - startedMs;
    const after = reader.stats();
    return {
      value,
      served: {
        access: reader.info.access,
        durationMs,
        requests: after.requests - before.requests,
        bytesRead: after.bytesRead - before.bytesRead,
        isAlone: after.lookUps - before.lookUps === 1,
      },
    };
  }

  async #range(
    key: Key,
    { columns, request, manifestRef }: {
      readonly columns: RoutingColumns | undefined;
      readonly request: TraceRequest;
      readonly manifestRef: string;
    },
  ): Promise<RangedLookUp> {
    const { clock, store } = this.#place;
    const { signal } = request;
    const startedMs = clock.monotonicMs();
    let opening: RecordedRequest[] = [];
    let isOpened = false;
    try {
      isOpened = request.isCold || this.#ranges?.manifestRef !== manifestRef;
      const ranges = isOpened ? await this.#open(manifestRef, signal) : this.#ranges!;
      const { recording, reader, seen } = ranges;
      opening = isOpened ? recording.requests() : [];
      if (!isOpened) recording.begin();
      const { filterHits } = reader.stats();
      await reader.get(key, columns === undefined ? { signal } : { signal, columns });
      const durationMs = clock.monotonicMs() - startedMs;
      const requests = recording.requests().filter((entry) => !opening.includes(entry));
      seen.add(requests);
      const isFiltered = reader.stats().filterHits > filterHits;
      const dbUrl = isFiltered ? null : await dbUrlOf(reader, key, columns);
      const stored = encodeKey(reader.info.keyEncoding, key);
      const way = dbUrl === null ? null : await seen.wayTo(stored, dbUrl, requests);
      const told = (entries: readonly RecordedRequest[]): TracedRequest[] =>
        entries.map((entry) => tracedRequest(entry, way?.pageSizeBytes ?? null));
      return {
        isCold: isOpened,
        durationMs,
        opening: told(opening),
        requests: told(requests),
        isFiltered,
        way,
        error: null,
      };
    } catch (error) {
      signal.throwIfAborted();
      // Whatever it was, the next look-up begins anew.
      this.#ranges = null;
      return {
        isCold: isOpened,
        durationMs: clock.monotonicMs() - startedMs,
        opening: [],
        requests: [],
        isFiltered: false,
        way: null,
        error: publicText(messageOf(error), store),
      };
    }
  }

  async #open(manifestRef: string, signal: AbortSignal): Promise<RangeReader> {
    const { store, manifestStore, pointerKey, resolveStore, clock } = this.#place;
    const old = this.#ranges;
    this.#ranges = null;
    await old?.reader.close();
    const recording = recordRequests(clock);
    const reader = await openSnapshot({
      store: recording.through(store),
      manifestStore,
      pointerKey,
      resolveStore: resolveStore && ((url) => recording.through(resolveStore(url))),
      pin: manifestRef,
      access: "range",
      cacheBytesMax: CACHE_BYTES_MAX,
      signal,
    });
    return this.#ranges = { manifestRef, recording, reader, seen: new SeenPages() };
  }
}

function routingOf(reader: SnapshotReader, key: Key, columns: RoutingColumns | undefined): TracedRouting {
  const { routing, shardCount } = reader.info;
  const { strategy } = routing;
  const common = {
    strategy,
    shardCount,
    hashHex: strategy === "hash" ? xxh3Hex(canonicalBytes(key)) : null,
    expr: strategy === "cel" ? routing.expr : null,
  };
  try {
    return { ...common, shardId: reader.route(key, columns === undefined ? {} : { columns }), note: null };
  } catch (error) {
    if (!(error instanceof UnknownRoutingTokenError)) throw error;
    return { ...common, shardId: null, note: error.message };
  }
}

async function shardOf(reader: SnapshotReader, shardId: number, signal: AbortSignal): Promise<TracedShard> {
  const { rowCount, sizeBytes } = await reader.shard(shardId, { signal });
  return { shardId, rowCount, sizeBytes };
}

/** The folder of the shard of a key; null where the shard is empty. */
async function dbUrlOf(reader: SnapshotReader, key: Key, columns: RoutingColumns | undefined): Promise<string | null> {
  const shardId = reader.route(key, columns === undefined ? {} : { columns });
  return (await reader.shard(shardId)).dbUrl;
}

function tracedRequest(entry: RecordedRequest, pageSizeBytes: number | null): TracedRequest {
  const { url, range, sizeBytes, startedMs, durationMs, bytes } = entry;
  const name = url.slice(url.lastIndexOf("/") + 1);
  const isPages = name === "shard.db" && range !== null && pageSizeBytes !== null;
  return {
    what: isPages ? "pages" : OBJECT_KINDS.get(name) ?? "object",
    name,
    firstPage: isPages ? range.offset / pageSizeBytes + 1 : null,
    pageCount: isPages ? range.lengthBytes / pageSizeBytes : null,
    offset: range?.offset ?? null,
    sizeBytes,
    startedMs,
    durationMs,
    isFailed: bytes === null,
  };
}

const OBJECT_KINDS: ReadonlyMap<string, string> = new Map([
  ["manifest", "manifest"],
  ["shard.sidecar", "sidecar"],
  ["shard.guard", "guard"],
]);

function hex(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 64), (byte) => byte.toString(16).padStart(2, "0")).join("") +
    (bytes.length > 64 ? "…" : "");
}
