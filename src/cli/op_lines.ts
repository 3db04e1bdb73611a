/**
 * Commands that are not command lines of their own: those of scripts, and those typed at the prompt. They run as the
 * commands of the same names, in the session of the command line around them.
 * @module
 */
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import type { CliCommand, CommandContext } from "./command.ts";
import { getCommand } from "./commands/get.ts";
import { healthCommand } from "./commands/health.ts";
import { historyCommand } from "./commands/history.ts";
import { infoCommand } from "./commands/info.ts";
import { multigetCommand } from "./commands/multiget.ts";
import { refreshCommand } from "./commands/refresh.ts";
import { routeCommand } from "./commands/route.ts";
import { shardsCommand } from "./commands/shards.ts";
import type { Printable } from "./json_text.ts";
import type { OptionTexts } from "./option_values.ts";
import { type CliResult, errorResult, type OutputFormat, renderResult } from "./result.ts";

/** The commands that scripts and the prompt have, in the order in which errors list them. */
export const OPS: ReadonlyMap<string, CliCommand> = new Map(
  [
    getCommand,
    multigetCommand,
    refreshCommand,
    infoCommand,
    shardsCommand,
    routeCommand,
    healthCommand,
    historyCommand,
  ].map((command) => [command.name, command]),
);

/** One of them with what it is given. */
export interface OpCall {
  readonly command: CliCommand;
  readonly args: readonly string[];
  readonly options: OptionTexts;
}

/** Where results go. */
export interface OpOutput {
  readonly format: OutputFormat;
  /** Takes results. */
  readonly result: (text: string) => void;
  /** Takes error results. */
  readonly error: (text: string) => void;
}

/**
 * Runs one of them. What goes wrong becomes an error result.
 *
 * @returns Whether it went well.
 */
export async function runOp(context: CommandContext, { command, args, options }: OpCall, output: OpOutput): Promise<
  boolean
> {
  const { format } = output;
  const print = (result: CliResult): void => output.result(renderResult(result, format));
  try {
    await command.run({ ...context, args, options, format, print });
    return true;
  } catch (error) {
    if (context.signal.aborted) throw error;
    const fields: { readonly [name: string]: Printable } = error instanceof UsageError || error instanceof CliError
      ? {}
      : command.errorFields?.(args) ?? {};
    output.error(renderResult(errorResult(command.name, messageOf(error), fields), format));
    return false;
  }
}
