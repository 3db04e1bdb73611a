/**
 * Figures that change while one looks.
 * @module
 */
import type { ExplorerPlace } from "./explorer_options.ts";
import { manifestId } from "./snapshot_view.ts";

/** Counts since the reader was opened. Times are milliseconds since 1970. */
export interface LiveView {
  readonly nowMs: number;
  /** The snapshot, so that the page sees that there is another one. */
  readonly id: string;
  readonly generation: number | null;
  readonly status: string;
  readonly manifestAgeMs: number;
  readonly lookUps: number;
  readonly requests: number;
  readonly bytesRead: number;
  readonly cacheHits: number;
  readonly filterHits: number;
  readonly hydratedShards: number;
  /** GETs by shard, of the shards that were asked most. */
  readonly shardRequests: readonly (readonly [shardId: number, requests: number])[];
}

const SHARDS_MAX = 1000;

/** What the reader counts. Costs no request. */
export function liveView({ reader, clock }: ExplorerPlace): LiveView {
  const { info } = reader;
  const { shards, ...counts } = reader.stats();
  const { status, manifestAgeMs } = reader.health();
  const asked = Array.from(shards, ([shardId, { requests }]) => [shardId, requests] as const);
  return {
    nowMs: clock.nowMicros() / 1000,
    id: manifestId(info.manifestRef),
    generation: info.generation,
    status,
    manifestAgeMs,
    ...counts,
    shardRequests: asked.sort((one, other) => other[1] - one[1]).slice(0, SHARDS_MAX),
  };
}
