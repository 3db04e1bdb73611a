/**
 * Options as typed on the command line, turned into values.
 * @module
 */
import { UsageError } from "./cli_errors.ts";

/** Options of a command by name, as the parser of the command line gives them. */
export type OptionTexts = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** A text option; undefined when it was not given. */
export function textOption(options: OptionTexts, flag: string): string | undefined {
  const value = options[propertyOf(flag)];
  return typeof value === "string" ? value : undefined;
}

/** An option that may be repeated. */
export function listOption(options: OptionTexts, flag: string): readonly string[] {
  const value = options[propertyOf(flag)];
  return Array.isArray(value) ? value : [];
}

/** Whether a switch was given. */
export function switchOption(options: OptionTexts, flag: string): boolean {
  return options[propertyOf(flag)] === true;
}

/**
 * A whole number; undefined when the option was not given.
 *
 * @throws {UsageError} when it is something else, or below `min`.
 */
export function integerOption(options: OptionTexts, flag: string, min: number): number | undefined {
  const text = textOption(options, flag);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new UsageError(`Invalid value for '${flag}': '${text}' is not a valid integer.`);
  }
  if (value < min) throw new UsageError(`${flag} must be >= ${min}`);
  return value;
}

/**
 * A number from 0 up; undefined when the option was not given.
 *
 * @throws {UsageError} when it is something else.
 */
export function numberOption(options: OptionTexts, flag: string): number | undefined {
  const text = textOption(options, flag);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw new UsageError(`Invalid value for '${flag}': '${text}' is not a valid number.`);
  }
  if (value < 0) throw new UsageError(`${flag} must be >= 0`);
  return value;
}

/**
 * One of some words; undefined when the option was not given.
 *
 * @throws {UsageError} when it is another.
 */
export function choiceOption<C extends string>(
  options: OptionTexts,
  flag: string,
  choices: readonly C[],
): C | undefined {
  const text = textOption(options, flag);
  if (text === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === text);
  if (choice !== undefined) return choice;
  const list = choices.map((candidate) => `'${candidate}'`).join(", ");
  throw new UsageError(`Invalid value for '${flag}': '${text}' is not one of ${list}.`);
}

/** Flag and description of the option that {@linkcode preconditionsOption} reads. */
export const PRECONDITIONS_OPTION: readonly [flag: string, description: string] = [
  "--preconditions <policy>",
  "where the store ignores If-Match: require (default) fails, warn, or assume",
];

/** The option `preconditions` of the library. @throws {UsageError} when it is another word. */
export function preconditionsOption(options: OptionTexts): "require" | "warn" | "assume" | undefined {
  return choiceOption(options, "--preconditions", ["require", "warn", "assume"]);
}

/** `--key-encoding` is found as `keyEncoding`. */
function propertyOf(flag: string): string {
  return flag.replace(/^--/, "").replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Collects the values of an option that may be repeated. */
export function repeated(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value];
}
