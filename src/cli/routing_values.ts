/**
 * The option `--routing-values` of `shardy plan`, which also takes what `shardy worker values` has found.
 * @module
 */
import { readFile } from "node:fs/promises";
import { dumpJson } from "../bytes/python_json.ts";
import { mergedValues, parseValues } from "../engine/values_stage.ts";
import { CliError, messageOf } from "./cli_errors.ts";
import { listOption, type OptionTexts, textOption } from "./option_values.ts";

/**
 * The options with one text of JSON in the place of several, and of `@file`.
 *
 * @throws {CliError} when a file cannot be read; {ConfigValidationError} naming the line that is wrong.
 */
export async function withRoutingValues(options: OptionTexts): Promise<OptionTexts> {
  const given = listOption(options, "--routing-values");
  if (given.length === 0) return options;
  const expr = textOption(options, "--cel-expr");
  if (expr === undefined || (given.length === 1 && !given[0]!.startsWith("@"))) {
    return { ...options, routingValues: given[0]! };
  }
  const values = [];
  for (const text of given) {
    const path = text.startsWith("@") ? text.slice(1) : null;
    const lines = path === null ? text.replaceAll("\n", " ") : await textOf(path);
    for (const value of parseValues(lines, { name: path ?? "--routing-values", expr })) values.push(value);
  }
  return { ...options, routingValues: dumpJson(mergedValues(values)) };
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    throw new CliError(`Cannot read '${path}': ${messageOf(cause)}`, { cause });
  });
}
