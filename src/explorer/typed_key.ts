/**
 * From what somebody typed to the key and the columns that a snapshot has.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { Key, KeyEncoding } from "../routing/key.ts";
import type { RoutingColumns, RoutingSpec } from "../routing/router.ts";

/** Longer keys are not looked up; the text of one, or its hex digits. */
const TEXT_MAX = 4096;

/** A key as it was typed. */
export interface TypedKey {
  readonly text: string;
  /** Whether the text is the key's bytes in hex digits. Only for keys that are bytes. */
  readonly isHex: boolean;
}

/**
 * The key that a text stands for.
 *
 * @throws {ConfigValidationError} when it is none for this encoding.
 */
export function typedKey({ text, isHex }: TypedKey, encoding: KeyEncoding): Key {
  if (text.length > TEXT_MAX) throw refusal(text, `must have at most ${TEXT_MAX} characters`);
  if (encoding === "utf8") return text;
  if (encoding === "raw") return isHex ? hexBytes(text) : new TextEncoder().encode(text);
  const digits = text.trim();
  const bits = encoding === "u64be" ? 64 : 32;
  const key = /^\+?\d{1,20}$/.test(digits) ? BigInt(digits.replace(/^\+/, "")) : null;
  if (key === null || BigInt.asUintN(bits, key) !== key) {
    throw refusal(text, `must be a whole number from 0 to 2^${bits} - 1`);
  }
  return key;
}

/**
 * The columns of a routing expression, from texts such as `region=eu`; undefined where there are none.
 *
 * @throws {ConfigValidationError} when one has no `=`.
 */
export function typedColumns(pairs: readonly string[], routing: RoutingSpec): RoutingColumns | undefined {
  if (pairs.length === 0 || routing.strategy !== "cel") return undefined;
  const types = new Map(Object.entries(routing.columns));
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at <= 0) throw new ConfigValidationError(`Cannot use column ${shown(pair)} as it must be NAME=VALUE`, "column");
    const name = pair.slice(0, at);
    return [name, columnValue(pair.slice(at + 1), types.get(name))];
  }));
}

/** What a text is as a value of a type; where it is none, the text, about which routing will complain. */
function columnValue(text: string, type: string | undefined): unknown {
  const trimmed = text.trim();
  if (type === "int" || type === "uint") return /^[+-]?\d{1,20}$/.test(trimmed) ? BigInt(trimmed) : text;
  if (type === "double") return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : text;
  if (type === "bool") return text === "true" ? true : text === "false" ? false : text;
  return type === "bytes" ? new TextEncoder().encode(text) : text;
}

function hexBytes(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, "").replace(/^0x/i, "");
  if (digits === "" || !/^(?:[0-9a-f]{2})+$/i.test(digits)) throw refusal(text, "must be pairs of hex digits");
  return Uint8Array.from(digits.match(/../g)!, (pair) => Number.parseInt(pair, 16));
}

function refusal(text: string, requirement: string): ConfigValidationError {
  return new ConfigValidationError(`Cannot look up key ${shown(text)} as it ${requirement}`, "key");
}
