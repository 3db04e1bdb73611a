/**
 * `shardy pin` and `shardy unpin`: snapshots that `cleanup` leaves alone.
 * @module
 */
import { jsonStamp } from "../../bytes/timestamps.ts";
import { pin, unpin } from "../../snapshots/pins.ts";
import { CliError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { durationOption } from "../duration_text.ts";
import { requireObjectStore } from "../location.ts";
import { textOption } from "../option_values.ts";
import { fieldLines } from "../result.ts";
import { chosenSnapshot } from "../session.ts";
import { manifestsAt, refAtOffset } from "../snapshot_session.ts";

/** Keeps the current snapshot, or another one, for a time or until `unpin`. */
export const pinCommand: CliCommand = {
  name: "pin",
  usage: "",
  summary: "Keep a snapshot from being cleaned up",
  examples: [
    ["pin --offset 1 --for 7d --note audit", "the snapshot before the newest, for a week"],
  ],
  readsSnapshot: true,
  declare(command) {
    command.option("--for <duration>", "for how long, such as 7d or 24h; without it until it is unpinned")
      .option("--note <text>", "who needs it, or why");
  },
  run: runPin,
};

/** Removes all pins of a snapshot. */
export const unpinCommand: CliCommand = {
  name: "unpin",
  usage: "",
  summary: "Let a pinned snapshot be cleaned up again",
  examples: [
    ["unpin --offset 1", "all pins of this snapshot"],
  ],
  readsSnapshot: true,
  declare() {},
  run: runUnpin,
};

async function runPin(context: CommandContext): Promise<number> {
  const { options, clock, signal } = context;
  const durationMs = durationOption(options, "--for");
  const note = textOption(options, "--note");
  const { store, ref } = await target(context);
  const until = durationMs === undefined ? null : new Date(clock.nowMicros() / 1000 + durationMs);
  const { untilMicros } = await pin(store, ref, { until, note, clock, signal });
  const fields = { op: "pin", ref, until: untilMicros === null ? null : jsonStamp(untilMicros) };
  context.print({ fields, text: () => fieldLines(fields) });
  return 0;
}

async function runUnpin(context: CommandContext): Promise<number> {
  const { store, ref } = await target(context);
  const fields = { op: "unpin", ref, removed: await unpin(store, ref, { signal: context.signal }) };
  context.print({ fields, text: () => fieldLines(fields) });
  return 0;
}

async function target(
  context: CommandContext,
): Promise<{ store: ReturnType<typeof requireObjectStore>; ref: string }> {
  const { signal } = context;
  const chosen = chosenSnapshot(context.options);
  const location = await context.location();
  if (location.manifestStore !== undefined) {
    throw new CliError("Cannot pin snapshots whose manifests are in a database: pins are for manifests in the store");
  }
  const store = requireObjectStore(location);
  if (chosen !== undefined) {
    return { store, ref: "ref" in chosen ? chosen.ref : await refAtOffset(location, chosen.offset, signal) };
  }
  const current = await manifestsAt(location).loadCurrent({ signal });
  if (current !== null) return { store, ref: current.ref };
  throw new CliError(`Nothing was published at '${store.url}': no '${location.pointerKey}' found`);
}
