/**
 * The command line as a function: arguments and streams in, exit code out.
 * @module
 */
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import type { CliCommand, CliIo, CommandContext } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { interactiveCommand } from "./interactive.ts";
import { parseCommandLine, reportCommandUsage } from "./program.ts";
import { errorResult, renderResult } from "./result.ts";
import { beginCommand } from "./session.ts";

export type { CliIo } from "./command.ts";

/** As shells report a process that was ended by SIGINT. */
const ABORTED_EXIT_CODE = 130;

/**
 * Runs one command of `shardy`. Never throws for what a user can do wrong, and never prints a stack.
 *
 * @returns 0; 1 when the command failed; 2 when the command line is wrong; 130 when it was aborted. `health` exits
 * with its state, `worker` and `publish` by the kind of error.
 *
 * @example The version
 * ```ts
 * import { runCli } from "./run_cli.ts";
 *
 * let printed = "";
 * const exitCode = await runCli({
 *   args: ["--version"],
 *   env: {},
 *   stdin: new ReadableStream(),
 *   stdout: (text) => printed += text,
 *   stderr: () => {},
 * });
 * if (exitCode !== 0 || !printed.startsWith("shardy ")) throw new Error(printed);
 * ```
 */
export async function runCli(io: CliIo): Promise<number> {
  const parsed = parseCommandLine({ commands: COMMANDS, interactive: interactiveCommand }, io);
  if ("exitCode" in parsed) return parsed.exitCode;
  const { command, args, options } = parsed;
  let context: CommandContext | undefined;
  try {
    context = await beginCommand(io, args, options);
    return await command.run(context);
  } catch (error) {
    if (io.signal?.aborted) {
      io.stderr("Interrupted\n");
      return ABORTED_EXIT_CODE;
    }
    if (error instanceof UsageError) return reportCommandUsage(io, command, error).exitCode;
    if (error instanceof CliError) {
      io.stderr(`Error: ${error.message}\n`);
      return 1;
    }
    return reportFailure(command, context!, error);
  } finally {
    await context?.session[Symbol.asyncDispose]();
  }
}

/** An error result on stderr, in the format of results. */
function reportFailure(command: CliCommand, context: CommandContext, error: unknown): number {
  const fields = command.errorFields?.(context.args) ?? {};
  context.io.stderr(renderResult(errorResult(command.name, messageOf(error), fields), context.format));
  return command.exitCodeOf?.(error) ?? command.errorExitCode ?? 1;
}
