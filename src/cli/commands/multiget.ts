/**
 * `shardy multiget KEY...`: the values of many keys.
 * @module
 */
import { TextLineStream } from "@std/streams";
import { UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { decodedText } from "../input.ts";
import { keyOf, valueText } from "../key_text.ts";
import { repeated } from "../option_values.ts";
import { columnsFor, routed, typedColumns } from "../routing_columns.ts";

/** Looks many keys up; results stand in the order of the keys. */
export const multigetCommand: CliCommand = {
  name: "multiget",
  usage: "KEYS...",
  summary: "Look up many keys; - reads them from stdin, one per line",
  examples: [
    ["multiget 1 2 3 --output-format table", "as a table"],
    ["multiget - < keys.txt", "keys from stdin"],
  ],
  readsSnapshot: true,
  declare(command) {
    command.argument("KEYS...", "the keys, as text, or - alone")
      .option("--routing-context <k=v>", "column that routing looks at, or a JSON object; repeatable", repeated)
      .option("--value-encoding <encoding>", "base64 (default), hex or utf8");
  },
  run,
};

interface Row {
  readonly key: string;
  /** null: absent. */
  readonly value: string | null;
}

async function run(context: CommandContext): Promise<number> {
  const { args, options, signal, valueEncoding, nullText } = context;
  const typed = typedColumns(options);
  const texts = args.length === 1 && args[0] === "-" ? await keysFrom(context) : args;
  const reader = await context.openReader();
  const { keyEncoding, routing } = reader.info;
  const columns = columnsFor(typed, routing);
  const keys = texts.map((text) => keyOf(text, keyEncoding));
  const values = await routed(() => reader.getMany(keys, columns === undefined ? { signal } : { columns, signal }));
  const rows = texts.map((key, index): Row => {
    const value = values.get(keys[index]!)!;
    return { key, value: value === null ? null : valueText(value, valueEncoding) };
  });
  context.print({
    fields: {
      op: "multiget",
      results: rows.map(({ key, value }) => value === null ? { key, found: false } : { key, found: true, value }),
    },
    text: () => rows.map(({ key, value }) => `${key}=${value ?? nullText}`).join("\n"),
    table: () => table(rows, nullText),
  });
  return 0;
}

async function keysFrom({ io, signal }: CommandContext): Promise<string[]> {
  const keys: string[] = [];
  const lines: ReadableStream<string> = decodedText(io.stdin, signal).pipeThrough(new TextLineStream());
  for await (const line of lines) {
    const key = line.trim();
    if (key !== "") keys.push(key);
  }
  if (keys.length === 0) throw new UsageError("No keys provided on stdin");
  return keys;
}

function table(rows: readonly Row[], nullText: string): string {
  const cells = rows.map(({ key, value }): [string, string] => [key, value ?? nullText]);
  const keyWidth = widest("KEY", cells.map(([key]) => key));
  const valueWidth = widest("VALUE", cells.map(([, value]) => value));
  const lines = [["KEY", "VALUE"] as [string, string], ...cells].map(([key, value]) =>
    `${padded(key, keyWidth)}  ${padded(value, valueWidth)}`
  );
  lines.splice(1, 0, "-".repeat(keyWidth + 2 + valueWidth));
  return lines.join("\n");
}

function widest(title: string, cells: readonly string[]): number {
  return cells.reduce((width, cell) => Math.max(width, characters(cell)), title.length);
}

/** Counts code points, as the Python package does. */
function characters(text: string): number {
  return Array.from(text).length;
}

function padded(text: string, width: number): string {
  return text + " ".repeat(width - characters(text));
}
