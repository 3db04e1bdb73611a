/**
 * How far a build has come, on stderr.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { WriteProgress } from "../write/write_options.ts";

/** Where and how progress is shown. */
export interface ProgressLineOptions {
  readonly write: (text: string) => void;
  /** True: one line that is overwritten; false: a line every second. */
  readonly isTerminal: boolean;
  readonly clock: Clock;
  /** How much of the input was read, from 0 to 1; null when nobody knows. */
  readonly fractionRead: () => number | null;
}

const BAR_CELLS = 20;
const PLAIN_INTERVAL_MS = 1000;
/** Back to the first column, and clear the line. */
const ERASE = "\r\x1b[K";

/** Shows progress until it is cleared. */
export class ProgressLine {
  readonly #options: ProgressLineOptions;
  readonly #startedMs: number;
  #shownMs: number;
  #isOpen = false;

  constructor(options: ProgressLineOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
    this.#shownMs = this.#startedMs;
  }

  /** Shows what `writeSnapshot` reports. */
  show(progress: WriteProgress): void {
    const { write, isTerminal, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (isTerminal) {
      write(ERASE + this.#text(progress, nowMs));
      this.#isOpen = true;
    } else if (nowMs - this.#shownMs >= PLAIN_INTERVAL_MS) {
      write(`${this.#text(progress, nowMs)}\n`);
      this.#shownMs = nowMs;
    }
  }

  /** Leaves the line empty for what is printed next. */
  clear(): void {
    if (this.#isOpen) this.#options.write(ERASE);
    this.#isOpen = false;
  }

  #text(progress: WriteProgress, nowMs: number): string {
    const { phase, rowsRead, shardsBuilt, shardsToBuild } = progress;
    if (phase === "publish") return "publishing";
    if (phase === "shards") {
      const total = shardsToBuild ?? 0;
      return `${this.#bar(total === 0 ? 1 : shardsBuilt / total)}${shardsBuilt} of ${total} shards built`;
    }
    const seconds = Math.max(0.001, (nowMs - this.#startedMs) / 1000);
    return `${this.#bar(this.#options.fractionRead())}${count(rowsRead)} rows, ${count(rowsRead / seconds)} rows/s`;
  }

  #bar(fraction: number | null): string {
    if (fraction === null) return "";
    const percent = `${Math.floor(fraction * 100)}%`.padStart(4);
    if (!this.#options.isTerminal) return `${percent.trim()}, `;
    const filled = Math.round(fraction * BAR_CELLS);
    return `[${"#".repeat(filled)}${".".repeat(BAR_CELLS - filled)}] ${percent}  `;
  }
}

/** With commas between thousands. */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(?:\d{3})+$)/g, ",");
}
