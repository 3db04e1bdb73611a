/**
 * Tells how far a write has come.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { WriteProgress } from "./write_options.ts";

/** Between two reports of the same phase. */
const INTERVAL_MS = 100;

/** Collects counters and reports them now and then. */
export class ProgressMeter {
  rowsRead = 0;
  bytesRead = 0;
  shardsBuilt = 0;
  #phase: WriteProgress["phase"] = "rows";
  #shardsToBuild: number | null = null;
  #reportedMs = -Infinity;
  readonly #clock: Clock;
  readonly #onProgress: (progress: WriteProgress) => void;

  constructor(clock: Clock, onProgress: ((progress: WriteProgress) => void) | undefined) {
    this.#clock = clock;
    this.#onProgress = onProgress ?? (() => {});
  }

  /** Counts rows that were read. */
  addRows(rowCount: number, sizeBytes: number): void {
    this.rowsRead += rowCount;
    this.bytesRead += sizeBytes;
    if (this.#clock.monotonicMs() - this.#reportedMs >= INTERVAL_MS) this.#report();
  }

  /** All rows are read; so many shards have some. */
  beginShards(shardsToBuild: number): void {
    this.#phase = "shards";
    this.#shardsToBuild = shardsToBuild;
    this.#report();
  }

  /** A shard is in the store. */
  addShard(): void {
    this.shardsBuilt++;
    this.#report();
  }

  /** All shards are in the store. */
  beginPublish(): void {
    this.#phase = "publish";
    this.#report();
  }

  #report(): void {
    this.#reportedMs = this.#clock.monotonicMs();
    const { rowsRead, bytesRead, shardsBuilt } = this;
    const report = { phase: this.#phase, rowsRead, bytesRead, shardsBuilt, shardsToBuild: this.#shardsToBuild };
    try {
      this.#onProgress(report);
    } catch {
      // Watching must not fail what is watched.
    }
  }
}
