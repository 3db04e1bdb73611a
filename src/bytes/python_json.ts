/**
 * JSON with whole numbers of any size, rendered exactly as Python's `json.dumps` does.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";

/** A value of JSON. Whole numbers beyond 2^53 are bigint; `parseJson` gives bigint for those only. */
export type JsonValue = null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject;

/** An object of JSON. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** What {@linkcode dumpJson} takes beside the value. */
export interface DumpJsonOptions {
  /**
   * No blanks after commas and colons.
   *
   * @default {false}
   */
  readonly compact?: boolean;
  /**
   * What errors call the value.
   *
   * @default {"value"}
   */
  readonly path?: string;
}

/** The third argument of a reviver; TypeScript's own library does not know it yet. */
interface ReviverContext {
  readonly source?: string;
}

type Reviver = (this: unknown, key: string, value: unknown, context: ReviverContext) => unknown;
type ParseWithContext = (text: string, reviver: Reviver) => JsonValue;

/** Below the limit at which Python's parser gives up, so that what we write can be read there. */
const DEPTH_MAX = 500;
/** Only texts with such a part can hold a number that `JSON.parse` would change. */
const NEEDS_EXACT_NUMBERS = /\d{16}|-0/;
const WHOLE_NUMBER = /^-?\d+$/;

/**
 * Parses standard JSON. A whole number that a `number` cannot hold exactly comes as `bigint`, everything with a
 * fraction or an exponent as `number`. Of repeated names in an object the last one counts, as in Python.
 *
 * @throws {SyntaxError} when the text is no JSON.
 *
 * @example
 * ```ts
 * import { parseJson } from "./python_json.ts";
 *
 * if (parseJson("9223372036854775807") !== 2n ** 63n - 1n) throw new Error("unexpected number");
 * ```
 */
export function parseJson(text: string): JsonValue {
  if (!NEEDS_EXACT_NUMBERS.test(text)) return JSON.parse(text);
  return (JSON.parse as unknown as ParseWithContext)(text, (_key, value, context) => {
    if (typeof value !== "number" || context.source === undefined || !WHOLE_NUMBER.test(context.source)) return value;
    if (value === 0) return 0; // "-0" is the integer 0 in Python, which has no negative one.
    return Number.isSafeInteger(value) ? value : BigInt(context.source);
  });
}

/**
 * Renders a value as Python's `json.dumps(value, sort_keys=True)` does: names sorted by code point, `", "` and
 * `": "` between, everything outside of ASCII escaped, floats as Python's `repr` shows them, no newline at the end.
 * A `number` that is a safe integer is rendered as one (`2`, not `2.0`), with the exception of `-0`.
 *
 * @throws {ConfigValidationError} when the value, or something in it, has no form in JSON (undefined, NaN, functions,
 * dates, maps, byte arrays), contains itself, or is nested more than 500 deep; `path` tells where.
 *
 * @example
 * ```ts
 * import { dumpJson } from "./python_json.ts";
 *
 * const text = dumpJson({ b: [1, 2.5, 1e-7], a: "é" });
 * if (text !== '{"a": "\\u00e9", "b": [1, 2.5, 1e-07]}') throw new Error(text);
 * ```
 */
export function dumpJson(value: JsonValue, options: DumpJsonOptions = {}): string {
  const { compact = false, path = "value" } = options;
  return dump(value, { comma: compact ? "," : ", ", colon: compact ? ":" : ": ", path: [path], open: new Set() });
}

interface DumpState {
  readonly comma: string;
  readonly colon: string;
  readonly path: string[];
  /** Arrays and objects that are being rendered, to notice one that contains itself. */
  readonly open: Set<object>;
}

function dump(value: unknown, state: DumpState): string {
  switch (typeof value) {
    case "string":
      return quote(value);
    case "number":
      return Number.isFinite(value) ? dumpNumber(value) : refuse(value, state, "a finite number");
    case "bigint":
    case "boolean":
      return String(value);
    case "object":
      return value === null ? "null" : dumpObject(value, state);
    default:
      return refuse(value, state, "null, a boolean, a number, a string, an array or a plain object");
  }
}

function dumpObject(value: object, state: DumpState): string {
  if (state.open.has(value)) refuse(value, state, "free of cycles");
  if (state.open.size >= DEPTH_MAX) refuse(value, state, `nested at most ${DEPTH_MAX} deep`);
  state.open.add(value);
  const text = Array.isArray(value) ? dumpArray(value, state) : dumpMembers(value, state);
  state.open.delete(value);
  return text;
}

function dumpArray(value: readonly unknown[], state: DumpState): string {
  // Array.from visits holes too, which `map` would skip.
  const items = Array.from(value, (item, index) => dumpAt(`[${index}]`, item, state));
  return `[${items.join(state.comma)}]`;
}

function dumpMembers(value: object, state: DumpState): string {
  const prototype = Object.getPrototypeOf(value);
  // The second test knows plain objects of other realms too.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    refuse(value, state, "a plain object, not an instance of a class");
  }
  const members = value as Record<string, unknown>;
  const items = Object.keys(members).sort(compareCodePoints).map((name) =>
    quote(name) + state.colon + dumpAt(`.${name}`, members[name], state)
  );
  return `{${items.join(state.comma)}}`;
}

function dumpAt(step: string, value: unknown, state: DumpState): string {
  state.path.push(step);
  const text = dump(value, state);
  state.path.pop();
  return text;
}

function refuse(value: unknown, state: DumpState, expected: string): never {
  const path = state.path.join("");
  throw new ConfigValidationError(
    `Cannot store "${path}" as JSON as it must be ${expected}: current value is ${shown(value)}`,
    path,
  );
}

/** Shortest digits that give the number back, laid out as Python's `repr` does: `1e-07`, `1e+16`, `100000.0`. */
function dumpNumber(value: number): string {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa, exponentText] = Math.abs(value).toExponential().split("e") as [string, string];
  const digits = mantissa.replace(".", "");
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
};

function quote(text: string): string {
  const escaped = text.replace(
    /["\\]|[^ -~]/g, // Without the flag u: the two halves of a surrogate pair are escaped one by one.
    (unit) => SHORT_ESCAPES[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${escaped}"`;
}

/** Orders strings by code point, as Python does; `<` would order them by UTF-16 code unit. */
export function compareCodePoints(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    const a = one.charCodeAt(i);
    const b = other.charCodeAt(i);
    if (a !== b) return unitRank(a) - unitRank(b);
  }
  return one.length - other.length;
}

/** Moves surrogates, which stand for code points above U+FFFF, behind the other units. */
function unitRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
