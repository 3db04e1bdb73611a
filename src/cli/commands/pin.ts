/**
 * `shardy pin` and `shardy unpin`: snapshots that `cleanup` leaves alone.
 * @module
 */
import { jsonStamp } from "../../bytes/timestamps.ts";
import type { ManifestStore } from "../../snapshots/manifest_store.ts";
import { pin, unpin } from "../../snapshots/pins.ts";
import type { ObjectStore } from "../../stores/store.ts";
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
  const { store, manifestStore, ref } = await target(context);
  const until = durationMs === undefined ? null : new Date(clock.nowMicros() / 1000 + durationMs);
  const { untilMicros } = await pin(store, ref, { until, note, manifestStore, clock, signal });
  const fields = { op: "pin", ref, until: untilMicros === null ? null : jsonStamp(untilMicros) };
  context.print({ fields, text: () => fieldLines(fields) });
  return 0;
}

async function runUnpin(context: CommandContext): Promise<number> {
  const { store, manifestStore, ref } = await target(context);
  const fields = { op: "unpin", ref, removed: await unpin(store, ref, { manifestStore, signal: context.signal }) };
  context.print({ fields, text: () => fieldLines(fields) });
  return 0;
}

/** Pins lie in the store, wherever the manifest is. */
async function target(
  context: CommandContext,
): Promise<{ store: ObjectStore; manifestStore: ManifestStore | undefined; ref: string }> {
  const { signal } = context;
  const chosen = chosenSnapshot(context.options);
  const location = await context.location();
  const { manifestStore, pointerKey } = location;
  const place = { store: requireObjectStore(location), manifestStore };
  if (chosen !== undefined) {
    return { ...place, ref: "ref" in chosen ? chosen.ref : await refAtOffset(location, chosen.offset, signal) };
  }
  const current = await manifestsAt(location).loadCurrent({ signal });
  if (current !== null) return { ...place, ref: current.ref };
  const where = manifestStore === undefined ? `at '${place.store.url}': no '${pointerKey}' found` : "to the database";
  throw new CliError(`Nothing was published ${where}`);
}
