/**
 * What commands print, in the format that was asked for.
 * @module
 */
import { jsonText, type Printable } from "./json_text.ts";

/** The formats of the option `--output-format`. */
export const OUTPUT_FORMATS = Object.freeze(["json", "jsonl", "table", "text"] as const);

/** One of them. */
export type OutputFormat = typeof OUTPUT_FORMATS[number];

/** What a command has found out. */
export interface CliResult {
  /** The JSON object, from `op` on, in this order. */
  readonly fields: { readonly [name: string]: Printable };
  /** For `text`: whole lines, without the last line break. */
  text(): string;
  /** For `table`; without it the JSON object stands, indented. */
  table?(): string;
}

/** Renders a result with its line break at the end. */
export function renderResult(result: CliResult, format: OutputFormat): string {
  const table = result.table?.bind(result) ?? (() => jsonText(result.fields, "indented"));
  switch (format) {
    case "jsonl":
      return `${jsonText(result.fields, "line")}\n`;
    case "json":
      return `${jsonText(result.fields, "indented")}\n`;
    case "text":
      return `${result.text()}\n`;
    case "table":
      return `${table()}\n`;
  }
}

/** What stands for a result when a command fails. */
export function errorResult(op: string, message: string, fields: { readonly [name: string]: Printable }): CliResult {
  return { fields: { op, error: message, ...fields }, text: () => `error: ${message}` };
}

/** Names and values, one to a line: how most results look as text. */
export function fieldLines(fields: { readonly [name: string]: Printable }): string {
  return Object.entries(fields).filter(([name]) => name !== "op").map(([name, value]) => `${name}=${value}`).join("\n");
}
