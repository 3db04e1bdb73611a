/**
 * `refresh`, of scripts and of the prompt: goes on with the snapshot that is current now.
 * @module
 */
import type { CliCommand, CommandContext } from "../command.ts";

/** Not a command of the command line, where each run begins with the current snapshot. */
export const refreshCommand: CliCommand = {
  name: "refresh",
  usage: "",
  summary: "Go on with the snapshot that is current now",
  examples: [],
  readsSnapshot: true,
  declare() {},
  run,
};

async function run(context: CommandContext): Promise<number> {
  const reader = await context.openReader();
  const changed = await reader.refresh({ signal: context.signal });
  context.print({ fields: { op: "refresh", changed }, text: () => `changed=${changed ? "True" : "False"}` });
  return 0;
}
