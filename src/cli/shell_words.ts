/**
 * Splits a line that was typed into words, as shells do.
 * @module
 */
import { UsageError } from "./cli_errors.ts";

/**
 * Words are parted by blanks; quotes keep them together, and a backslash takes the next character as it is, but for
 * single quotes, where nothing but the quote counts.
 *
 * @throws {UsageError} when a quote is not closed, or nothing follows a backslash.
 *
 * @example
 * ```ts
 * import { splitWords } from "./shell_words.ts";
 *
 * if (splitWords(`get "a b" 'c"d' e\\ f`).join("|") !== `get|a b|c"d|e f`) throw new Error("unexpected words");
 * ```
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!;
    if (character === "\\" && quote !== "'") {
      if (++at === line.length) throw new UsageError("Nothing follows the backslash at the end of the line");
      word = (word ?? "") + line[at];
    } else if (quote !== "") {
      if (character === quote) quote = "";
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? "") + character;
  }
  if (quote !== "") throw new UsageError(`The quote ${quote} is not closed`);
  return word === null ? words : [...words, word];
}
