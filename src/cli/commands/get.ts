/**
 * `shardy get KEY`: the value of one key.
 * @module
 */
import type { CliCommand, CommandContext } from "../command.ts";
import { keyOf, NULL_TEXT, VALUE_ENCODINGS, valueText } from "../key_text.ts";
import { choiceOption, repeated, switchOption } from "../option_values.ts";
import { columnsFor, routed, typedColumns } from "../routing_columns.ts";

/** Looks one key up; an absent key is no error unless `--strict` is given. */
export const getCommand: CliCommand = {
  name: "get",
  usage: "KEY",
  summary: "Look up one key",
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
  const { args, options, signal } = context;
  const [text = ""] = args;
  const typed = typedColumns(options);
  const valueEncoding = choiceOption(options, "--value-encoding", VALUE_ENCODINGS) ?? "base64";
  await using reader = await context.openReader();
  const { keyEncoding, routing } = reader.info;
  const key = keyOf(text, keyEncoding);
  const columns = columnsFor(typed, routing);
  const value = await routed(() => reader.get(key, columns === undefined ? { signal } : { columns, signal }));
  const found = value !== null;
  const shown = found ? valueText(value, valueEncoding) : NULL_TEXT;
  context.print({ fields: { op: "get", key: text, found, value: shown }, text: () => `${text}=${shown}` });
  return !found && switchOption(options, "--strict") ? 1 : 0;
}
