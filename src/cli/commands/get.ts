/**
 * `shardy get KEY`: the value of one key.
 * @module
 */
import type { CliCommand, CommandContext } from "../command.ts";
import { keyOf, valueText } from "../key_text.ts";
import { repeated, switchOption } from "../option_values.ts";
import { columnsFor, routed, typedColumns } from "../routing_columns.ts";

/** Looks one key up; an absent key is no error unless `--strict` is given. */
export const getCommand: CliCommand = {
  name: "get",
  usage: "KEY",
  summary: "Look up one key",
  examples: [
    ["get 42 --value-encoding utf8", "the value as text"],
    ["get 42 --routing-context region=eu", "where shards are chosen by an expression"],
    ["--offset 1 get 42 --strict", "in the snapshot before the newest; exit with 1 when absent"],
  ],
  readsSnapshot: true,
  declare(command) {
    command.argument("KEY", "the key, as text")
      .option("--routing-context <k=v>", "column that routing looks at, or a JSON object; repeatable", repeated)
      .option("--value-encoding <encoding>", "base64 (default), hex or utf8")
      .option("--strict", "exit with 1 when the key is absent");
  },
  errorFields: ([key = ""]) => ({ key }),
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { args, options, signal, valueEncoding, nullText } = context;
  const [text = ""] = args;
  const typed = typedColumns(options);
  const reader = await context.openReader();
  const { keyEncoding, routing } = reader.info;
  const key = keyOf(text, keyEncoding);
  const columns = columnsFor(typed, routing);
  const value = await routed(() => reader.get(key, columns === undefined ? { signal } : { columns, signal }));
  const found = value !== null;
  const shown = found ? valueText(value, valueEncoding) : nullText;
  context.print({ fields: { op: "get", key: text, found, value: shown }, text: () => `${text}=${shown}` });
  return !found && switchOption(options, "--strict") ? 1 : 0;
}
