/**
 * The stage `values` of `shardy worker`: what a routing expression gives, before there is a job.
 * @module
 */
import type { Command } from "commander";
import { renderValues, valuesStage } from "../engine/values_stage.ts";
import { ConfigValidationError } from "../errors.ts";
import { keyEncodings } from "../routing/key.ts";
import { UsageError } from "./cli_errors.ts";
import type { CommandContext } from "./command.ts";
import type { Input } from "./input.ts";
import { choiceOption, repeated, textOption } from "./option_values.ts";
import { celColumns } from "./routing_columns.ts";

/** The options that only this stage has. */
export const VALUES_OPTIONS = ["--cel-expr", "--cel-column", "--cel-nul", "--key", "--key-encoding"] as const;

/** Adds these options to the command. */
export function declareValuesOptions(command: Command): void {
  command.option("--cel-expr <expr>", "values: the expression that the job will shard by (required)")
    .option("--cel-column <name:type>", "values: column that it sees, with its type; repeatable", repeated)
    .option("--cel-nul <rule>", "values: texts with a NUL in such columns: refuse (default), or cut them there")
    .option("--key <column>", "values: column of the keys, where the expression sees them")
    .option("--key-encoding <encoding>", "values: u64be, u32be, utf8 or raw, with --key");
}

/** Prints one line, for `shardy plan --routing-values`. @throws {UsageError} for wrong options. */
export async function valuesTask({ options, io, signal }: CommandContext, input: Input): Promise<number> {
  const expr = textOption(options, "--cel-expr");
  if (expr === undefined) throw new UsageError("Missing option '--cel-expr'.");
  const nul = choiceOption(options, "--cel-nul", ["refuse", "cut"]);
  const column = textOption(options, "--key");
  const encoding = choiceOption(options, "--key-encoding", keyEncodings);
  if ((column === undefined) !== (encoding === undefined)) throw new UsageError("--key and --key-encoding go together");
  const key = column === undefined || encoding === undefined ? undefined : { column, encoding };
  try {
    io.stdout(renderValues(await valuesStage({ input, expr, columns: celColumns(options), nul, key, signal })));
    return 0;
  } catch (error) {
    const isOption = error instanceof ConfigValidationError && /^(?:celSharding|key$|expr)/.test(error.path);
    if (isOption && key === undefined) throw new UsageError(error.message);
    throw error;
  }
}
