/**
 * The grammar of the command line, and what is said when it is broken.
 * @module
 */
import { Command, CommanderError, Option } from "commander";
import config from "../../deno.json" with { type: "json" };
import type { CliCommand, CliIo } from "./command.ts";
import { UsageError } from "./cli_errors.ts";
import { type OptionTexts, repeated } from "./option_values.ts";

const HELP_COLUMNS = 100;

/** What the parser found: a command, its arguments, and its options together with the global ones. */
export interface ParsedCommand {
  readonly command: CliCommand;
  readonly args: readonly string[];
  readonly options: OptionTexts;
}

/** Nothing is left to do: help or the version were printed, or the command line is wrong and usage was. */
export interface FinishedParse {
  readonly exitCode: number;
}

/** Parses a command line; prints help, the version, and usage errors. */
export function parseCommandLine(commands: readonly CliCommand[], io: CliIo): ParsedCommand | FinishedParse {
  let parsed: ParsedCommand | undefined;
  const program = createProgram(commands, io, (found) => parsed = found);
  try {
    // `deno task shardy -- get 1` hands the dashes on.
    program.parse(io.args[0] === "--" ? io.args.slice(1) : [...io.args], { from: "user" });
  } catch (error) {
    if (error instanceof UsageError) return reportUsage(io, "shardy [OPTIONS] [COMMAND] [ARGS]...", error);
    if (error instanceof CommanderError) return { exitCode: error.exitCode };
    throw error;
  }
  return parsed ?? { exitCode: 2 };
}

/** Prints a usage error of a command as Python's click does; the exit code is 2. */
export function reportCommandUsage(io: CliIo, { name, usage }: CliCommand, error: UsageError): FinishedParse {
  return reportUsage(io, `shardy ${name} [OPTIONS] ${usage}`, error);
}

function reportUsage(io: CliIo, usage: string, error: UsageError): FinishedParse {
  const words = usage.split(" [OPTIONS]")[0];
  io.stderr(`Usage: ${usage.trimEnd()}\nTry '${words} --help' for help.\n\nError: ${error.message}\n`);
  return { exitCode: 2 };
}

function createProgram(
  commands: readonly CliCommand[],
  io: CliIo,
  onParsed: (parsed: ParsedCommand) => void,
): Command {
  const program = new Command("shardy")
    .description("Builds sharded snapshots, publishes them, and looks keys up in them.")
    .usage("[OPTIONS] [COMMAND] [ARGS]...")
    .version(`shardy ${config.version}`, "--version", "print the version")
    .enablePositionalOptions()
    .helpCommand(false)
    .configureOutput({
      writeOut: io.stdout,
      writeErr: io.stderr,
      outputError: () => {},
      // Neither is asked of the process: what is printed depends on the arguments only.
      getOutHelpWidth: () => HELP_COLUMNS,
      getErrHelpWidth: () => HELP_COLUMNS,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    // Only that it exists matters: without a digit among the short options, "-1" would pass for a key.
    .addOption(new Option("-0").hideHelp());
  withSharedOptions(program, true).exitOverride(usageErrorInstead);
  for (const command of commands) {
    const sub = program.command(command.name).summary(command.summary).description(`${command.summary}.`)
      .usage(`[OPTIONS] ${command.usage}`.trimEnd());
    command.declare(sub);
    withSharedOptions(sub, command.readsSnapshot);
    sub.exitOverride((error) => {
      if (error.exitCode !== 0) {
        throw new CommanderError(
          reportCommandUsage(io, command, usageErrorOf(error, sub)).exitCode,
          error.code,
          error.message,
        );
      }
      throw error;
    });
    sub.action(() => onParsed({ command, args: sub.args, options: merged(program, sub) }));
  }
  return program;
}

/** Options that may stand before the name of the command and after it. */
function withSharedOptions(command: Command, readsSnapshot: boolean): Command {
  command.option(
    "--current-url <url>",
    "the pointer object: s3://bucket/prefix/_CURRENT, https://…, file:///… or a path",
  )
    .option("--output-format <format>", "jsonl (default), json, table or text")
    .option("--s3-option <key=value>", "such as endpoint_url=…, region_name=…, addressing_style=path", repeated)
    .helpOption("-h, --help", "show this help");
  if (!readsSnapshot) return command;
  return command.option("--ref <ref>", "read the snapshot of this manifest")
    .option("--offset <n>", "read the snapshot at this place of the history, 0 is the newest");
}

/** What was given after the name of the command wins, lists are joined. */
function merged(program: Command, sub: Command): OptionTexts {
  const before: OptionTexts = program.opts();
  const after: OptionTexts = sub.opts();
  const s3 = [before, after].flatMap(({ s3Option }) => Array.isArray(s3Option) ? s3Option as readonly string[] : []);
  return { ...before, ...after, s3Option: s3 };
}

function usageErrorInstead(error: CommanderError): never {
  if (error.exitCode === 0) throw error;
  // Without a command, help has been printed to stderr already.
  if (error.code === "commander.help") throw new CommanderError(2, error.code, error.message);
  throw usageErrorOf(error, null);
}

/** The parser's complaint in the words of Python's click. */
function usageErrorOf(error: CommanderError, command: Command | null): UsageError {
  const name = /'(.*?)'/s.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.missingArgument":
      return new UsageError(`Missing argument '${name}${isVariadic(command, name) ? "..." : ""}'.`);
    case "commander.unknownOption":
      return new UsageError(`No such option '${name}'.`);
    case "commander.unknownCommand":
      return new UsageError(`No such command '${name}'.`);
    case "commander.optionMissingArgument":
      return new UsageError(`Option '${name.split(/[ ,]/)[0]}' requires an argument.`);
    case "commander.missingMandatoryOptionValue":
      return new UsageError(`Missing option '${name.split(/[ ,]/)[0]}'.`);
    case "commander.excessArguments":
      return new UsageError("Got more arguments than the command takes.");
    default:
      return new UsageError(error.message.replace(/^error: /, ""));
  }
}

function isVariadic(command: Command | null, name: string): boolean {
  return command?.registeredArguments.some((argument) => argument.variadic && argument.name() === name) ?? false;
}
