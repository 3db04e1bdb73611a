/**
 * Whether a reader works, and how old its snapshot is.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { Generation } from "./generation.ts";

/** Whether a reader works. */
export interface SnapshotHealth {
  /** `"degraded"`: the snapshot is older than asked for; `"unhealthy"`: the reader is closed. */
  readonly status: "healthy" | "degraded" | "unhealthy";
  /** URL of the manifest being read. */
  readonly manifestRef: string;
  /** Milliseconds since the snapshot was published. */
  readonly manifestAgeMs: number;
  /** Shards of the snapshot. */
  readonly shardCount: number;
  /** Whether the reader was closed. */
  readonly isClosed: boolean;
}

/**
 * Tells how a reader is.
 *
 * @throws {ConfigValidationError} when `staleAfterMs` is no number from 0 up.
 */
export function healthOf(
  active: Generation,
  state: { readonly nowMicros: number; readonly isClosed: boolean; readonly staleAfterMs: number | undefined },
): SnapshotHealth {
  const { nowMicros, isClosed, staleAfterMs = Infinity } = state;
  if (typeof staleAfterMs !== "number" || !(staleAfterMs >= 0)) {
    throw new ConfigValidationError(
      `Cannot use option "staleAfterMs" as it must be a number from 0 up: current value is ${shown(staleAfterMs)}`,
      "staleAfterMs",
    );
  }
  const manifestAgeMs = Math.max(0, (nowMicros - active.publishedAtMicros) / 1000);
  return {
    status: isClosed ? "unhealthy" : manifestAgeMs > staleAfterMs ? "degraded" : "healthy",
    manifestRef: active.manifestRef,
    manifestAgeMs,
    shardCount: active.manifest.shardCount,
    isClosed,
  };
}
