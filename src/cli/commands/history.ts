/**
 * `shardy history`: the published snapshots, newest first.
 * @module
 */
import type { ManifestRef } from "../../snapshots/manifest.ts";
import { history } from "../../snapshots/history.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { historyPlace } from "../location.ts";
import { integerOption } from "../option_values.ts";
import { isoStamp } from "./info.ts";

/** Lists manifests by the time of publishing; a rolled-back pointer names one that is not the first. */
export const historyCommand: CliCommand = {
  name: "history",
  usage: "",
  summary: "List the published snapshots, newest first",
  examples: [
    ["history --limit 3 --output-format table", "the three newest"],
  ],
  readsSnapshot: false,
  declare(command) {
    command.option("--limit <n>", "how many at most (10)");
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const limit = integerOption(context.options, "--limit", 1) ?? 10;
  const { store, ...place } = historyPlace(await context.location());
  const manifests = await history(store, { ...place, limit, signal: context.signal });
  context.print({
    fields: {
      op: "history",
      manifests: manifests.map(({ runId, publishedAtMicros, ref }, offset) => ({
        offset,
        "run_id": runId,
        "published_at": isoStamp(publishedAtMicros),
        ref,
      })),
    },
    text: () => manifests.map(line).join("\n") || "(no manifests)",
    table: () => table(manifests),
  });
  return 0;
}

function line({ runId, publishedAtMicros }: ManifestRef, offset: number): string {
  return `[${offset}] ${isoStamp(publishedAtMicros)}  run_id=${runId}`;
}

function table(manifests: readonly ManifestRef[]): string {
  const rows = manifests.map(({ runId, publishedAtMicros }, offset) =>
    row(String(offset), isoStamp(publishedAtMicros), runId)
  );
  const header = row("#", "PUBLISHED_AT", "RUN_ID");
  return [header, "-".repeat(header.length), ...rows].join("\n");
}

function row(offset: string, publishedAt: string, runId: string): string {
  return `${offset.padStart(3)}  ${publishedAt.padStart(26)}  ${runId}`;
}
