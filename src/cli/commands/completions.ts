/**
 * `shardy completions SHELL`: a script that lets a shell complete command lines.
 * @module
 */
import type { CliCommand, CommandContext } from "../command.ts";
import { completionScript, SHELLS } from "../completions.ts";
import { choiceOption } from "../option_values.ts";

/** Prints the script; opens nothing. */
export const completionsCommand: CliCommand = {
  name: "completions",
  usage: "SHELL",
  summary: "Print a script that completes command lines, for bash, zsh or fish",
  examples: [
    ["completions bash >> ~/.bash_completion", "for bash"],
    ["completions zsh > ~/.zfunc/_shardy", "for zsh, in a folder of $fpath"],
    ["completions fish > ~/.config/fish/completions/shardy.fish", "for fish"],
  ],
  readsSnapshot: false,
  declare(command) {
    command.argument("SHELL", SHELLS.join(", "));
  },
  run,
};

async function run({ args, io }: CommandContext): Promise<number> {
  const shell = choiceOption({ SHELL: args[0] }, "SHELL", SHELLS)!;
  // Late, as the list of commands has this one in it.
  const [{ COMMANDS }, { commandGrammar }] = await Promise.all([import("../commands.ts"), import("../program.ts")]);
  io.stdout(completionScript(shell, commandGrammar(COMMANDS)));
  return 0;
}
