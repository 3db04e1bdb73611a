/**
 * Keys and columns as text: what a command line or a URL says, and what a snapshot's keys and expressions need.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import type { Key, KeyEncoding } from "./key.ts";
import type { RoutingColumns, RoutingSpec } from "./router.ts";

const BITS: Readonly<Partial<Record<KeyEncoding, number>>> = { u64be: 64, u32be: 32 };

/** More would take long to read; leading zeros count. */
const DIGITS_MAX = 100;

/**
 * The key that a text stands for in a snapshot of this key encoding: decimal digits for whole numbers, else the text.
 *
 * @throws {ConfigValidationError} when it must be a whole number and is none, or one that is too large.
 *
 * @example
 * ```ts
 * import { keyOfText } from "./key_text.ts";
 *
 * if (keyOfText("258", "u64be") !== 258 || keyOfText("258", "utf8") !== "258") throw new Error("unexpected key");
 * ```
 */
export function keyOfText(text: string, encoding: KeyEncoding): Key {
  if (encoding === "utf8") return text;
  if (encoding === "raw") return new TextEncoder().encode(text);
  const digits = text.trim();
  if (!/^[+-]?\d+$/.test(digits)) {
    throw new ConfigValidationError(`Key '${text}' is not a valid integer (required by ${encoding} encoding)`, "key");
  }
  const bits = BITS[encoding]!;
  const key = digits.length > DIGITS_MAX ? -1n : BigInt(digits.replace(/^\+/, ""));
  if (BigInt.asUintN(bits, key) !== key) {
    throw new ConfigValidationError(`${encoding} encoding requires value in [0, 2^${bits}-1]`, "key");
  }
  // Numbers are routed and packed faster than bigints.
  return key <= Number.MAX_SAFE_INTEGER ? Number(key) : key;
}

/** The columns for a snapshot that is sharded so: texts become what the columns' types need. */
export function columnsOfTexts(
  typed: Iterable<readonly [name: string, value: unknown]>,
  routing: RoutingSpec,
): RoutingColumns {
  const types = routing.strategy === "cel" ? routing.columns : {};
  return Object.fromEntries(Array.from(typed, ([name, value]) => [
    name,
    typeof value === "string" ? columnOfText(value, Object.hasOwn(types, name) ? types[name]! : "string") : value,
  ]));
}

/** The value that a text stands for; where it stands for none, the text, about which routing will complain. */
export function columnOfText(text: string, type: string): unknown {
  switch (type) {
    case "int":
    case "uint":
      return /^[+-]?\d+$/.test(text.trim()) ? BigInt(text.trim().replace(/^\+/, "")) : text;
    case "double":
      return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    case "bool":
      return text === "true" ? true : text === "false" ? false : text;
    case "bytes":
      return new TextEncoder().encode(text);
    default:
      return text;
  }
}
