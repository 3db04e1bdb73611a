/**
 * `shardy exec --script FILE`: commands from a file, on one snapshot.
 * @module
 */
import { writeSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { CliError, messageOf, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { type OpCall, type OpOutput, OPS, runOp } from "../op_lines.ts";
import { type OptionTexts, textOption } from "../option_values.ts";
import { errorResult, renderResult } from "../result.ts";

/** Runs a script; the snapshot is opened once. */
export const execCommand: CliCommand = {
  name: "exec",
  usage: "",
  summary: "Run the commands of a script (YAML)",
  details:
    "A script is a mapping with commands, a list such as {op: get, key: 5}, and on_error, which is stop (default) " +
    "or continue. Operations: get (key, routing_context), multiget (keys, routing_context), route (key, " +
    "routing_context), refresh, info, shards, health (staleness_threshold), history (limit).",
  examples: [
    ["exec --script lookups.yaml", "results on stdout, one to a line"],
    ["exec --script lookups.yaml --output results.jsonl", "results in a file"],
  ],
  readsSnapshot: true,
  declare(command) {
    command.option("--script <file>", "the script (required)")
      .option("--output <file>", "where results go instead of stdout");
  },
  run,
};

interface Script {
  readonly commands: readonly unknown[];
  readonly stopsOnError: boolean;
}

async function run(context: CommandContext): Promise<number> {
  const { options, io } = context;
  const path = textOption(options, "--script");
  if (path === undefined) throw new UsageError("Missing option '--script'.");
  const script = await readScript(path);
  await context.openReader();
  const outputPath = textOption(options, "--output");
  if (outputPath === undefined) return await runScript(context, script, io.stdout);
  const file = await open(outputPath, "w").catch((cause) => {
    throw new CliError(`Cannot write '${outputPath}': ${messageOf(cause)}`, { cause });
  });
  try {
    return await runScript(context, script, appender(file.fd));
  } finally {
    await file.close();
  }
}

/** Each result is in the file before the next command runs. */
function appender(file: number): (text: string) => void {
  return (text) => void writeSync(file, text);
}

async function runScript(context: CommandContext, script: Script, write: (text: string) => void): Promise<number> {
  const format = context.format === "json" ? "jsonl" : context.format;
  const output: OpOutput = { format, result: write, error: write };
  let hasFailed = false;
  for (const [index, entry] of script.commands.entries()) {
    const call = callOf(entry, index);
    const isDone = "command" in call
      ? await runOp(context, call, output)
      : (write(renderResult(errorResult(call.op, call.error, {}), format)), false);
    if (isDone) continue;
    hasFailed = true;
    if (script.stopsOnError) break;
  }
  return hasFailed ? 1 : 0;
}

async function readScript(path: string): Promise<Script> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
  } catch (cause) {
    // As Python says it, for whoever compares messages.
    if ((cause as { code?: unknown }).code === "ENOENT") {
      throw new CliError(`[Errno 2] No such file or directory: '${path}'`, { cause });
    }
    throw new CliError(`Cannot read '${path}': ${cause instanceof TypeError ? "it is not UTF-8" : messageOf(cause)}`, {
      cause,
    });
  }
  const { parse } = await import("@std/yaml");
  let content: unknown;
  try {
    content = parse(text);
  } catch (cause) {
    throw new CliError(`Cannot read '${path}' as YAML: ${messageOf(cause).split("\n")[0]}`, { cause });
  }
  if (!isMapping(content)) throw new CliError("Script file must be a YAML mapping");
  const { commands, on_error: onError = "stop" } = content;
  if (!Array.isArray(commands)) {
    throw new CliError("Script file must have a 'commands' key with a list of operations");
  }
  if (onError !== "stop" && onError !== "continue") throw new CliError("on_error must be 'stop' or 'continue'");
  return { commands, stopsOnError: onError === "stop" };
}

type Call = OpCall | { readonly op: string; readonly error: string };

function callOf(entry: unknown, index: number): Call {
  if (!isMapping(entry)) return { op: "unknown", error: `Command #${index} is not a mapping` };
  const op = String(entry["op"] ?? "unknown");
  const command = OPS.get(op);
  if (command === undefined) {
    return { op, error: `Unknown op: '${op}'. Supported: ${[...OPS.keys()].join(", ")}` };
  }
  const options = optionsOf(entry);
  if (typeof options === "string") return { op, error: options };
  if (op === "multiget") {
    const { keys } = entry;
    if (Array.isArray(keys) && keys.every(isScalar)) return { command, options, args: keys.map(String) };
    return { op, error: "'multiget' command requires a 'keys' list" };
  }
  if (op !== "get" && op !== "route") return { command, options, args: [] };
  const { key } = entry;
  if (isScalar(key)) return { command, options, args: [String(key)] };
  return { op, error: `'${op}' command requires a 'key' field` };
}

/** The options as if they had been typed; a text: what is wrong with them. */
function optionsOf(entry: Readonly<Record<string, unknown>>): OptionTexts | string {
  const { routing_context: columns, staleness_threshold: staleness, limit } = entry;
  if (columns !== undefined && columns !== null && !isMapping(columns)) return "'routing_context' must be a mapping";
  for (const [name, value] of [["staleness_threshold", staleness], ["limit", limit]] as const) {
    if (value !== undefined && value !== null && !isScalar(value)) return `'${name}' must be a number`;
  }
  const routingContext = isMapping(columns) ? { routingContext: [JSON.stringify(columns)] } : {};
  const texts = Object.entries({ stalenessThreshold: staleness, limit }).filter(([, value]) => isScalar(value));
  return { ...routingContext, ...Object.fromEntries(texts.map(([name, value]) => [name, String(value)])) };
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function isScalar(value: unknown): value is string | number | bigint | boolean {
  return ["string", "number", "bigint", "boolean"].includes(typeof value);
}
