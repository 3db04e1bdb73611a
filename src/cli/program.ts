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
const ENVIRONMENT_HELP = `Without a command, reads commands line by line: "help" lists them.

Environment:
  SHARDY_CURRENT       --current-url
  SHARDY_CONFIG        --config
  SHARDY_CREDENTIALS   --credentials
  SHARDY_PROFILE       --profile
  SHARDY_MANIFEST_DSN  the database of manifests, where reader.toml says that there is one
  SHARDY_JOB           --job: the path of a job, or its text
  SHARDY_HISTORY       file for the lines typed; empty: none
  and those of the AWS SDK: AWS_ACCESS_KEY_ID, AWS_REGION, …

Exit codes: 0; 1 when the command failed; 2 when the command line is wrong; 130 when interrupted. The
commands health, worker and publish have codes of their own.`;

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

/** All commands. */
export interface CommandSet {
  readonly commands: readonly CliCommand[];
  /** Runs when none is named. */
  readonly interactive: CliCommand;
}

/** Parses a command line; prints help, the version, and usage errors. */
export function parseCommandLine(commands: CommandSet, io: CliIo): ParsedCommand | FinishedParse {
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
  if (name === "") return reportUsage(io, "shardy [OPTIONS] [COMMAND] [ARGS]...", error);
  return reportUsage(io, `shardy ${name} [OPTIONS] ${usage}`, error);
}

function reportUsage(io: CliIo, usage: string, error: UsageError): FinishedParse {
  const words = usage.split(" [OPTIONS]")[0];
  io.stderr(`Usage: ${usage.trimEnd()}\nTry '${words} --help' for help.\n\nError: ${error.message}\n`);
  return { exitCode: 2 };
}

function createProgram(
  { commands, interactive }: CommandSet,
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
  for (const option of globalOptions()) program.addOption(option);
  program.addHelpText("after", `\n${ENVIRONMENT_HELP}`);
  program.allowExcessArguments().action(() => {
    const [name] = program.args;
    if (name !== undefined) throw new UsageError(`No such command '${name}'.`);
    onParsed({ command: interactive, args: [], options: program.opts() });
  });
  for (const command of commands) {
    const sub = createCommand(program, command);
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

/** The grammar of all commands, for what is generated from it: documents and completions. */
export function commandGrammar(commands: readonly CliCommand[]): Command {
  const nowhere = new ReadableStream<Uint8Array<ArrayBuffer>>();
  const io: CliIo = { args: [], env: {}, stdin: nowhere, stdout: () => {}, stderr: () => {} };
  return createProgram({ commands, interactive: commands[0]! }, io, () => {});
}

function createCommand(program: Command, command: CliCommand): Command {
  const { name, summary, details, usage, examples } = command;
  const sub = program.command(name).summary(summary)
    .description([`${summary}.`, ...details === undefined ? [] : [details]].join(" "))
    .usage(`[OPTIONS] ${usage}`.trimEnd()).allowExcessArguments(false);
  command.declare(sub);
  withSharedOptions(sub, command.readsSnapshot);
  for (const option of globalOptions()) sub.addOption(option.hideHelp());
  sub.addHelpText("after", "\nGlobal options, of which shardy --help tells, may stand here, too.");
  if (examples.length === 0) return sub;
  const lines = examples.map(([line, what]) => `  # ${what}\n  shardy ${line}`);
  return sub.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/** Options that few need, and that may stand anywhere as well. */
function globalOptions(): Option[] {
  return [
    new Option("--config <file>", "configuration instead of ./reader.toml or ~/.config/shardy/reader.toml"),
    new Option("--credentials <file>", "instead of ./credentials.toml or ~/.config/shardy/credentials.toml"),
    new Option("--profile <name>", "table of the credentials file (default)"),
    new Option(
      "--manifest-store <url>",
      "the database of manifests, if they are in one: postgres://user@host/database",
    ),
    new Option("--sqlite-mode <mode>", "shards as whole files or by ranges: download, range or auto (default)"),
    new Option("--sqlite-auto-per-shard-bytes <n>", "for auto: ranges from this size of one shard on"),
    new Option("--sqlite-auto-total-bytes <n>", "for auto: ranges from this size of all shards on"),
  ];
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
