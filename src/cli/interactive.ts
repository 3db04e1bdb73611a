/**
 * The interactive shell: `shardy` without a command.
 * @module
 */
import { messageOf, UsageError } from "./cli_errors.ts";
import type { CliCommand, CommandContext } from "./command.ts";
import { decodedText } from "./input.ts";
import { type OpCall, OPS, runOp } from "./op_lines.ts";
import type { OptionTexts } from "./option_values.ts";
import { splitWords } from "./shell_words.ts";
import type { ChosenSnapshot } from "./snapshot_session.ts";

const PROMPT = "shardy> ";
const HELP = `get KEY [--routing-context K=V]...        look up one key
multiget KEY... [--routing-context K=V]   look up many keys
route KEY [--routing-context K=V]         tell the shard of a key
info                                      describe the snapshot
shards                                    list the shards
health [--staleness-threshold SECONDS]    check that the snapshot can be read
history [N]                               list the newest snapshots (10)
use --offset N | --ref REF | --latest     turn to another snapshot
refresh                                   go on with the snapshot that is current now
help                                      show this
quit, exit, Ctrl-D                        end
`;
const OPTION_NAMES: Readonly<Record<string, readonly string[]>> = {
  get: ["--routing-context"],
  multiget: ["--routing-context"],
  route: ["--routing-context"],
  health: ["--staleness-threshold"],
  use: ["--offset", "--ref", "--latest"],
};

/** Reads lines until there are no more. */
export const interactiveCommand: CliCommand = {
  name: "",
  usage: "",
  summary: "Read commands line by line",
  examples: [],
  readsSnapshot: true,
  declare() {},
  run,
};

/** What a line that was begun may go on with, and the word that it is about; for the Tab key. */
export function completionsOf(line: string): [candidates: string[], word: string] {
  const words = line.trimStart().split(/\s+/);
  const word = words.at(-1) ?? "";
  const names = [...OPS.keys(), "use", "help", "quit", "exit"];
  const candidates = words.length <= 1 ? names : OPTION_NAMES[words[0]!] ?? [];
  return [candidates.filter((name) => name.startsWith(word)).map((name) => `${name} `), word];
}

async function run(context: CommandContext): Promise<number> {
  const { io, signal, session } = context;
  await context.openReader();
  await greet(context);
  const format = context.format === "jsonl" ? "json" : context.format;
  const output = { format, result: io.stdout, error: io.stderr };
  const lines = io.readLines?.({ prompt: PROMPT, complete: completionsOf }) ?? linesOf(context);
  for await (const line of lines) {
    signal.throwIfAborted();
    try {
      const [name = "", ...words] = splitWords(line);
      if (name === "") continue;
      if (name === "quit" || name === "exit") break;
      if (name === "help" || name === "?") io.stdout(HELP);
      else if (name === "use") {
        await session.use(chosenOf(words));
        await greet(context);
      } else await runOp(context, callOf(name, words), output);
    } catch (error) {
      if (signal.aborted) throw error;
      io.stderr(`error: ${messageOf(error)}\n`);
    }
  }
  return 0;
}

async function greet(context: CommandContext): Promise<void> {
  const { info } = await context.openReader();
  const { shardCount, routing, runId } = info;
  context.io.stdout(`Loaded manifest run_id=${runId}  (${shardCount} shards, ${routing.strategy} sharding)\n`);
}

function callOf(name: string, words: readonly string[]): OpCall {
  const command = OPS.get(name);
  if (command === undefined) throw new UsageError(`Unknown command: '${name}'. Type 'help' for the list`);
  const { args, options } = parsedWords(words, OPTION_NAMES[name] ?? []);
  if (name === "history" && args.length === 1) return { command, args: [], options: { ...options, limit: args[0] } };
  const [min, max] = name === "multiget" ? [1, Infinity] : name === "get" || name === "route" ? [1, 1] : [0, 0];
  if (args.length < min) throw new UsageError(`Usage: ${name} KEY${name === "multiget" ? "..." : ""}`);
  if (args.length > max) throw new UsageError(`'${name}' got more arguments than it takes`);
  if (name === "multiget" && args[0] === "-") throw new UsageError("'multiget -' is for the command line");
  return { command, args, options };
}

function parsedWords(words: readonly string[], names: readonly string[]): { args: string[]; options: OptionTexts } {
  const args: string[] = [];
  const columns: string[] = [];
  let stalenessThreshold: string | undefined;
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (!word.startsWith("--")) {
      args.push(word);
      continue;
    }
    const [name, inline] = [word.replace(/=.*/s, ""), /=(.*)$/s.exec(word)?.[1]];
    if (!names.includes(name)) throw new UsageError(`No such option '${name}'`);
    const value = inline ?? words[++at];
    if (value === undefined) throw new UsageError(`Option '${name}' requires an argument`);
    if (name === "--routing-context") columns.push(value);
    else stalenessThreshold = value;
  }
  return { args, options: { routingContext: columns, stalenessThreshold } };
}

function chosenOf(words: readonly string[]): ChosenSnapshot {
  const [name, value, ...more] = words.flatMap((word) => word.startsWith("--") ? word.split(/=(.*)/s, 2) : [word]);
  if (more.length === 0 && name === "--latest" && value === undefined) return undefined;
  if (more.length === 0 && name === "--ref" && value !== undefined) return { ref: value };
  if (more.length === 0 && name === "--offset" && /^\d{1,15}$/.test(value ?? "")) return { offset: Number(value) };
  throw new UsageError("Usage: use --offset N | --ref REF | --latest");
}

/** Without a terminal: the lines of stdin, and no prompt. */
async function* linesOf({ io, signal }: CommandContext): AsyncGenerator<string> {
  const { TextLineStream } = await import("@std/streams");
  const lines: ReadableStream<string> = decodedText(io.stdin, signal).pipeThrough(new TextLineStream());
  yield* lines;
}
