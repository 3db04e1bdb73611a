/**
 * `shardy health`: whether the snapshot can be read, and how old it is.
 * @module
 */
import type { CliCommand, CommandContext } from "../command.ts";
import { Float } from "../json_text.ts";
import { numberOption } from "../option_values.ts";

const EXIT_CODES = Object.freeze({ healthy: 0, degraded: 1, unhealthy: 2 });

/** Opens the snapshot with all its shards; the exit code tells the state. */
export const healthCommand: CliCommand = {
  name: "health",
  usage: "",
  summary: "Check that the snapshot can be read: exits with 0, 1 (degraded) or 2 (unhealthy)",
  examples: [
    ["health --staleness-threshold 3600", "degraded when the snapshot is an hour old"],
  ],
  readsSnapshot: true,
  errorExitCode: 2,
  declare(command) {
    command.option("--staleness-threshold <seconds>", "degraded from this age of the snapshot on");
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const thresholdSeconds = numberOption(context.options, "--staleness-threshold");
  const reader = await context.openReader();
  const health = reader.health(thresholdSeconds === undefined ? {} : { staleAfterMs: thresholdSeconds * 1000 });
  const ageSeconds = Math.round(health.manifestAgeMs) / 1000;
  context.print({
    fields: {
      op: "health",
      status: health.status,
      "manifest_ref": health.manifestRef,
      "manifest_age_seconds": new Float(ageSeconds),
      "num_shards": health.shardCount,
      "is_closed": health.isClosed,
    },
    text: () => line(health, ageSeconds),
    table: () => line(health, ageSeconds),
  });
  return EXIT_CODES[health.status];
}

function line({ status, shardCount, isClosed }: HealthState, ageSeconds: number): string {
  const state = `status=${status}  manifest_age=${ageSeconds.toFixed(1)}s  shards=${shardCount}`;
  return isClosed ? `${state}  CLOSED` : state;
}

interface HealthState {
  readonly status: string;
  readonly shardCount: number;
  readonly isClosed: boolean;
}
