/**
 * Values of literal tokens.
 * @module
 */
import type { LiteralNode, Place } from "./ast.ts";
import { compileError } from "./cel_error.ts";
import type { Token } from "./lexer.ts";
import { canonical, isInt64, isUint64 } from "./numbers.ts";

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** A number's value; `minus` is the token of a sign that belongs to it. */
export function numberLiteral(source: string, token: Token, minus: Token | null): LiteralNode {
  const place = { start: minus?.start ?? token.start, end: token.end };
  if (token.kind === "double") {
    const value = Number(token.text);
    return { ...place, kind: "literal", type: "double", value: minus ? -value : value };
  }
  const isUint = token.kind === "uint";
  const size = BigInt(isUint ? token.text.slice(0, -1) : token.text);
  const value = minus ? -size : size;
  if (!(isUint ? isUint64(value) : isInt64(value))) {
    throw compileError(source, place, `${isUint ? "a uint" : "an int"} must fit into 64 bits`);
  }
  return { ...place, kind: "literal", type: isUint ? "uint" : "int", value: canonical(value) };
}

/** The value of a string token. @throws {ConfigValidationError} for code points that text cannot have. */
export function stringLiteral(source: string, token: Token): LiteralNode {
  const { start, end } = token;
  const { body, isRaw } = bodyOf(source, token);
  let value = "";
  for (const piece of piecesOf(body, isRaw)) {
    if (typeof piece === "number") {
      if (piece > 0x10ffff || (piece >= 0xd800 && piece < 0xe000)) {
        throw compileError(source, token, "an escape must name a Unicode scalar value");
      }
      value += String.fromCodePoint(piece);
    } else {
      value += piece;
    }
  }
  if (!value.isWellFormed()) throw compileError(source, token, "a string must not have a lone surrogate");
  return { start, end, kind: "literal", type: "string", value };
}

/** The value of a bytes token: escapes are bytes, everything else is UTF-8. */
export function bytesLiteral(source: string, token: Token): LiteralNode {
  const { start, end } = token;
  const { body, isRaw } = bodyOf(source, token);
  const bytes: number[] = [];
  if (!isRaw && /^(?:[^\\]|\\[^uU])*\\[uU]/.test(body)) {
    throw compileError(source, token, "bytes must not have Unicode escapes");
  }
  if (!body.isWellFormed()) throw compileError(source, token, "bytes must not have a lone surrogate");
  const encoder = new TextEncoder();
  for (const piece of piecesOf(body, isRaw)) {
    if (typeof piece === "number") bytes.push(piece);
    else for (const byte of encoder.encode(piece)) bytes.push(byte);
  }
  return { start, end, kind: "literal", type: "bytes", value: Uint8Array.from(bytes) };
}

/** What stands between the quotes. Between three of them every kind of line end is one line feed. */
function bodyOf(source: string, token: Token): { body: string; isRaw: boolean } {
  const prefix = /^[bBrR]*/.exec(token.text)![0];
  const quoted = token.text.slice(prefix.length);
  const isRaw = /[rR]/.test(prefix);
  const isTriple = quoted.length >= 6 && /^(?:"""|''')/.test(quoted);
  const body = isTriple ? quoted.slice(3, -3).replace(/\r\n?/g, "\n") : quoted.slice(1, -1);
  if (isRaw && /(?:^|[^\\])(?:\\\\)*\\$/.test(body)) refuseRaw(source, token);
  return { body, isRaw };
}

function refuseRaw(source: string, place: Place): never {
  throw compileError(source, place, "a raw string must not end with an odd number of backslashes");
}

/** Text as it stands, and the numbers that escapes mean. */
function* piecesOf(body: string, isRaw: boolean): Generator<string | number> {
  if (isRaw) {
    yield body;
    return;
  }
  for (const [piece] of body.matchAll(/[^\\]+|\\(?:[0-3][0-7]{2}|[xX]..|u.{4}|U.{8}|[^])/g)) {
    if (piece[0] !== "\\") yield piece;
    else if (piece.length === 2) yield SIMPLE_ESCAPES[piece[1]!] ?? piece.charCodeAt(1);
    else if (/^\\[0-3]/.test(piece)) yield parseInt(piece.slice(1), 8);
    else yield parseInt(piece.slice(2), 16);
  }
}
