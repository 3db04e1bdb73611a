/**
 * `shardy rollback`: makes an earlier snapshot the current one.
 * @module
 */
import { ReaderStateError } from "../../errors.ts";
import { rollBack, type RollBackOptions } from "../../snapshots/history.ts";
import { CliError, messageOf, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { historyPlace } from "../location.ts";
import { integerOption, PRECONDITIONS_OPTION, preconditionsOption, textOption } from "../option_values.ts";
import { refAtOffset } from "../session.ts";

/** Moves the pointer; removes nothing. */
export const rollbackCommand: CliCommand = {
  name: "rollback",
  usage: "",
  summary: "Make an earlier snapshot the current one",
  examples: [
    ["rollback --offset 1", "back to the snapshot before the newest"],
    ["rollback --run-id 42b507b95c97493c967e4e6a405aac9a", "to the snapshot of a run"],
  ],
  readsSnapshot: false,
  declare(command) {
    command.option("--ref <ref>", "URL of its manifest")
      .option("--run-id <id>", "its run")
      .option("--offset <n>", "its place in the history: 1 is the one before the newest")
      .option(...PRECONDITIONS_OPTION);
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { options, io, signal } = context;
  const ref = textOption(options, "--ref");
  const runId = textOption(options, "--run-id");
  const offset = integerOption(options, "--offset", 0);
  if ([ref, runId, offset].filter((given) => given !== undefined).length !== 1) {
    throw new UsageError("Exactly one of --ref, --run-id, or --offset is required");
  }
  const preconditions = preconditionsOption(options);
  const location = await context.location();
  const { store, ...place } = historyPlace(location);
  try {
    const target: RollBackOptions = { ref, runId, offset, ...place, preconditions, signal };
    const moved = await rollBack(store, target);
    io.stdout(`Rolled back _CURRENT to: ${moved.ref}\n`);
    return 0;
  } catch (error) {
    if (signal.aborted) throw error;
    // Listed again only for the message, which says how many there are.
    if (error instanceof ReaderStateError && offset !== undefined) {
      await refAtOffset(location, offset, signal);
    }
    if (error instanceof ReaderStateError && runId !== undefined) {
      throw new CliError(`No manifest found with run_id=${runId}`, { cause: error });
    }
    throw new CliError(messageOf(error), { cause: error });
  }
}
