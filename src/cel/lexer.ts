/**
 * Cuts the source of an expression into tokens: the longest one that fits, as the grammar of CEL has it.
 * @module
 */
import { compileError } from "./cel_error.ts";
import type { Place } from "./ast.ts";

/** A token. Its text is the stretch of the source. */
export interface Token extends Place {
  readonly kind: "name" | "int" | "uint" | "double" | "string" | "bytes" | "symbol" | "end";
  readonly text: string;
}

/** More than this is no routing expression; the limit is that of the engine which Python uses. */
const SOURCE_LENGTH_MAX = 100_000;

const BLANK = /(?:[\t\n\f\r ]|\/\/[^\n]*)*/y;
const NAME = /[A-Za-z_][A-Za-z_0-9]*/y;
const NUMBER = /(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|(?:0x[0-9a-fA-F]+|\d+)[uU]?/y;
const SYMBOL = /==|!=|<=|>=|&&|\|\||[<>[\]{}().,\-!?:+*/%]/y;

const ESCAPE = String.raw`\\(?:[abfnrtv"'\\?\x60]|[0-3][0-7]{2}|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})`;

/** Raw ones first, as their backslashes mean nothing; three quotes before one. */
const STRING = new RegExp(
  String.raw`[bB]?[rR](?:"""[^]*?"""|'''[^]*?'''|"[^"\n\r]*"|'[^'\n\r]*')|` +
    String.raw`[bB]?(?:"""(?:${ESCAPE}|[^\\])*?"""|'''(?:${ESCAPE}|[^\\])*?'''|` +
    String.raw`"(?:${ESCAPE}|[^\\"\n\r])*"|'(?:${ESCAPE}|[^\\'\n\r])*')`,
  "y",
);

/**
 * The tokens of a source, ended by one of kind `end`.
 *
 * @throws {ConfigValidationError} at characters that begin no token.
 */
export function tokensOf(source: string): Token[] {
  if (source.length > SOURCE_LENGTH_MAX) {
    const place = { start: SOURCE_LENGTH_MAX, end: SOURCE_LENGTH_MAX + 1 };
    throw compileError(source, place, `it must not be longer than ${SOURCE_LENGTH_MAX} characters`);
  }
  const tokens: Token[] = [];
  let at = endOf(BLANK, source, 0);
  while (at < source.length) {
    const token = tokenAt(source, at);
    tokens.push(token);
    at = endOf(BLANK, source, token.end);
  }
  tokens.push({ kind: "end", text: "", start: source.length, end: source.length });
  return tokens;
}

function tokenAt(source: string, start: number): Token {
  const stringEnd = endOf(STRING, source, start);
  if (stringEnd > start) {
    const text = source.slice(start, stringEnd);
    return { kind: /^[bB]/.test(text) ? "bytes" : "string", text, start, end: stringEnd };
  }
  const nameEnd = endOf(NAME, source, start);
  if (nameEnd > start) return { kind: "name", text: source.slice(start, nameEnd), start, end: nameEnd };
  const numberEnd = endOf(NUMBER, source, start);
  if (numberEnd > start) {
    const text = source.slice(start, numberEnd);
    return { kind: numberKind(text), text, start, end: numberEnd };
  }
  const symbolEnd = endOf(SYMBOL, source, start);
  if (symbolEnd > start) return { kind: "symbol", text: source.slice(start, symbolEnd), start, end: symbolEnd };
  throw unknownToken(source, start);
}

function numberKind(text: string): Token["kind"] {
  if (/[uU]$/.test(text)) return "uint";
  return /^(?:0x|\d+$)/.test(text) ? "int" : "double";
}

function unknownToken(source: string, start: number): Error {
  const first = String.fromCodePoint(source.codePointAt(start)!);
  const isString = first === '"' || first === "'";
  const lineEnd = source.indexOf("\n", start);
  const end = !isString ? start + first.length : lineEnd < 0 ? source.length : lineEnd;
  const reason = isString ? "a string is not closed, or has an escape that does not exist" : "unknown character";
  return compileError(source, { start, end }, reason);
}

/** Where the match that begins at `start` ends; `start` itself when there is none. */
function endOf(pattern: RegExp, source: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.test(source) ? pattern.lastIndex : start;
}
