/**
 * Evaluates checked expressions the obvious way: one recursive function, bigint for all integers, strings as arrays of
 * code points, nothing prepared. Shares no code with the compiler; hashes are those of hash-wasm.
 * @module
 */
import type { IHasher } from "hash-wasm";
import type { CheckedNode } from "../../src/cel/ast.ts";
import { SlowFailure } from "./slow_failure.ts";
import { addTimes, durationText, partOf, timestampText, toDuration, toTimestamp } from "./slow_time.ts";

/** What an evaluation works with. */
export interface SlowContext {
  /** Values of columns: integers as bigint, strings and bytes cut where they are to be cut. */
  readonly row: Readonly<Record<string, unknown>>;
  readonly locals: ReadonlyMap<number, unknown>;
  readonly hasher: IHasher;
}

type Value = unknown;

/** The value of an expression: integers are bigint, times too. */
export function evaluateSlowly(node: CheckedNode, context: SlowContext): Value {
  const evaluate = (part: CheckedNode): Value => evaluateSlowly(part, context);
  switch (node.kind) {
    case "literal":
      return node.type === "int" || node.type === "uint" ? BigInt(node.value as number) : node.value;
    case "column":
      return context.row[node.name];
    case "local":
      return context.locals.get(node.slot);
    case "list":
      return node.items.map(evaluate);
    case "map": {
      const entries: [Value, Value][] = [];
      node.keys.forEach((key, i) => {
        const value = evaluate(key);
        if (entries.some(([other]) => isEqual(other, value))) throw new SlowFailure("duplicate key", true);
        entries.push([value, evaluate(node.values[i]!)]);
      });
      return new Entries(entries);
    }
    case "macro":
      return macro(node, context);
    case "call":
      return call(node, evaluate, context);
  }
}

/** A map, searched from end to end. */
export class Entries {
  readonly entries: readonly (readonly [Value, Value])[];
  constructor(entries: readonly (readonly [Value, Value])[]) {
    this.entries = entries;
  }
}

function macro(node: CheckedNode & { kind: "macro" }, context: SlowContext): Value {
  const range = evaluateSlowly(node.range, context);
  const items = range instanceof Entries ? range.entries.map(([key]) => key) : range as Value[];
  const at = (index: number, item: Value): Value =>
    evaluateSlowly(node.args[index]!, { ...context, locals: new Map([...context.locals, [node.slot, item]]) });
  switch (node.name) {
    case "all":
    case "exists": {
      let failure: SlowFailure | null = null;
      for (const item of items) {
        try {
          if (at(0, item) === (node.name === "exists")) return node.name === "exists";
        } catch (error) {
          if (!(error instanceof SlowFailure) || error.isFinal) throw error;
          failure = error;
        }
      }
      if (failure) throw failure;
      return node.name === "all";
    }
    case "exists_one":
      return items.filter((item) => at(0, item)).length === 1;
    case "filter":
      return items.filter((item) => at(0, item));
    case "map":
      if (node.args.length === 1) return items.map((item) => at(0, item));
      return items.flatMap((item) => at(0, item) ? [at(1, item)] : []);
  }
}

function call(
  node: CheckedNode & { kind: "call" },
  evaluate: (part: CheckedNode) => Value,
  context: SlowContext,
): Value {
  const [first, second, third] = node.args as [CheckedNode, CheckedNode, CheckedNode];
  switch (node.name) {
    case "&&":
    case "||": {
      let failure: SlowFailure | null = null;
      for (const side of [first, second]) {
        try {
          if (evaluate(side) === (node.name === "||")) return node.name === "||";
        } catch (error) {
          if (!(error instanceof SlowFailure) || error.isFinal) throw error;
          failure = error;
        }
      }
      if (failure) throw failure;
      return node.name === "&&";
    }
    case "?:":
      return evaluate(first) ? evaluate(second) : evaluate(third);
  }
  const args = node.args.map(evaluate);
  const [a, b] = args;
  switch (node.name) {
    case "==":
      return isEqual(a, b);
    case "!=":
      return !isEqual(a, b);
    case "<":
      return order(a, b) === -1;
    case "<=":
      return [-1, 0].includes(order(a, b));
    case ">":
      return order(a, b) === 1;
    case ">=":
      return [0, 1].includes(order(a, b));
    case "in":
      return (b instanceof Entries ? b.entries.map(([key]) => key) : b as Value[]).some((item) => isEqual(item, a));
    case "index":
      return indexed(a, b);
    case "!":
      return !a;
    case "size":
      return BigInt(sizeOf(a));
    case "startsWith":
      return points(a).slice(0, points(b).length).join() === points(b).join();
    case "endsWith":
      return points(b).length === 0 ||
        (points(b).length <= points(a).length && points(a).slice(-points(b).length).join() === points(b).join());
    case "contains":
      return points(a).some((_, i) => points(a).slice(i, i + points(b).length).join() === points(b).join()) ||
        points(b).length === 0;
    case "dyn":
      return a;
    case "matches":
      return MATCHES[b as string]!(points(a));
    case "shard_hash":
      return hashOf(a, node.args[0]!, context.hasher);
  }
  const types = node.args.map((arg) => String(arg.type));
  if (node.name.startsWith("get")) return partOf(node.name, types[0]!, args);
  if (node.type === "timestamp" || node.type === "duration") {
    if (node.name === "timestamp") return toTimestamp(a, types[0]!);
    return node.name === "duration" ? toDuration(a, types[0]!) : addTimes(node.name, types, args as bigint[]);
  }
  if (["+", "-", "*", "/", "%", "neg"].includes(node.name)) return arithmetic(node, args);
  return converted(node, a);
}

function isWord(point: number | undefined): boolean {
  return point !== undefined && /^[A-Za-z0-9_]$/.test(String.fromCodePoint(point));
}

/** What the regular expressions of the random expressions mean, in words. */
const MATCHES: Readonly<Record<string, (points: number[]) => boolean>> = {
  "^a": (points) => points[0] === 97,
  "[^a-z]": (points) => points.some((point) => point < 97 || point > 122),
  ".": (points) => points.some((point) => point !== 10),
  "\\d+$": (points) => points.length > 0 && points.at(-1)! >= 48 && points.at(-1)! <= 57,
  "a|é": (points) => points.includes(97) || points.includes(0xe9),
  "^.{2,3}$": (points) => (points.length === 2 || points.length === 3) && !points.includes(10),
  "\\bu": (points) => points.some((point, i) => point === 117 && !isWord(points[i - 1])),
  "[[:alpha:]]s?": (points) => points.some((point) => /^[A-Za-z]$/.test(String.fromCodePoint(point))),
  "\\s|\\W": (points) => points.some((point) => !isWord(point)),
};

function isEqual(a: Value, b: Value): boolean {
  if (a instanceof Entries && b instanceof Entries) {
    return a.entries.length === b.entries.length &&
      a.entries.every(([key, value]) => b.entries.some((other) => isEqual(other[0], key) && isEqual(other[1], value)));
  }
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => isEqual(item, b[i]));
  if (a instanceof Uint8Array && b instanceof Uint8Array) return a.join() === b.join();
  return a === b;
}

/** -1, 0 or 1; NaN when there is no order. */
function order(a: Value, b: Value): number {
  if (typeof a === "string" || a instanceof Uint8Array) {
    const [left, right] = [a, b].map((side) => typeof side === "string" ? points(side) : [...side as Uint8Array]);
    for (let i = 0; i < Math.max(left!.length, right!.length); i++) {
      const [x, y] = [left![i] ?? -1, right![i] ?? -1];
      if (x !== y) return x < y ? -1 : 1;
    }
    return 0;
  }
  const [x, y] = [a as bigint, b as bigint];
  return x < y ? -1 : x > y ? 1 : x === y ? 0 : NaN;
}

function points(text: Value): number[] {
  return Array.from(text as string, (point) => point.codePointAt(0)!);
}

function sizeOf(value: Value): number {
  if (typeof value === "string") return points(value).length;
  return value instanceof Entries ? value.entries.length : (value as Uint8Array).length;
}

function indexed(collection: Value, index: Value): Value {
  if (collection instanceof Entries) {
    const entry = collection.entries.find(([key]) => isEqual(key, index));
    if (!entry) throw new SlowFailure("no such key");
    return entry[1];
  }
  const items = collection as Value[];
  if ((index as bigint) < 0n || (index as bigint) >= BigInt(items.length)) throw new SlowFailure("no such element");
  return items[Number(index)];
}

function hashOf(value: Value, argument: CheckedNode, hasher: IHasher): bigint {
  let bytes: Uint8Array;
  if (typeof value === "bigint") {
    if (argument.type === "uint" && value >= 1n << 63n) throw new SlowFailure("out of int64");
    bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, value, true);
  } else {
    bytes = typeof value === "string" ? new TextEncoder().encode(value) : value as Uint8Array;
  }
  return BigInt(`0x${hasher.init().update(bytes).digest("hex")}`);
}

function arithmetic(node: CheckedNode & { kind: "call" }, [a, b]: Value[]): Value {
  const { name, type } = node;
  if (type === "double") {
    const [x, y] = [a as number, b as number];
    return name === "neg" ? -x : name === "+" ? x + y : name === "-" ? x - y : name === "*" ? x * y : x / y;
  }
  if (typeof a === "string") return a + (b as string);
  if (a instanceof Uint8Array) return Uint8Array.from([...a, ...b as Uint8Array]);
  if (Array.isArray(a)) return [...a, ...b as Value[]];
  const [x, y] = [a as bigint, b as bigint];
  if ((name === "/" || name === "%") && y === 0n) throw new SlowFailure("division by zero");
  if (name === "%" && x === -(1n << 63n) && y === -1n) throw new SlowFailure("overflow");
  const result = name === "neg"
    ? -x
    : name === "+"
    ? x + y
    : name === "-"
    ? x - y
    : name === "*"
    ? x * y
    : name === "/"
    ? x / y
    : x % y;
  return inRange(result, type as string);
}

function inRange(value: bigint, type: string): bigint {
  const [least, end] = type === "uint" ? [0n, 1n << 64n] : [-(1n << 63n), 1n << 63n];
  if (value < least || value >= end) throw new SlowFailure("overflow");
  return value;
}

function converted(node: CheckedNode & { kind: "call" }, value: Value): Value {
  switch (node.name) {
    case "int":
      if (node.args[0]!.type === "timestamp") return floorSeconds(value as bigint);
      return toInteger(value, node.name);
    case "uint":
      return toInteger(value, node.name);
    case "double":
      return typeof value === "string" ? textToDouble(value) : Number(value);
    case "bytes":
      return typeof value === "string" ? new TextEncoder().encode(value) : value;
    case "bool": {
      if (typeof value === "boolean") return value;
      const found = ["true", "True", "TRUE", "t", "1", "false", "False", "FALSE", "f", "0"].indexOf(value as string);
      if (found < 0) throw new SlowFailure("no bool");
      return found < 5;
    }
    case "string":
      if (node.args[0]!.type === "timestamp") return timestampText(value as bigint);
      return node.args[0]!.type === "duration" ? durationText(value as bigint) : toText(value);
    default:
      throw new Error(`the slow evaluator does not know ${node.name}`);
  }
}

function toInteger(value: Value, type: string): bigint {
  if (typeof value === "bigint") return inRange(value, type);
  if (typeof value === "number") {
    const isBelow = type === "uint" ? value < 0 : value <= -(2 ** 63);
    if (Number.isNaN(value) || isBelow || value >= (type === "uint" ? 2 ** 64 : 2 ** 63)) {
      throw new SlowFailure("range");
    }
    return BigInt(Math.trunc(value));
  }
  const text = (value as string).replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, "");
  const digits = text.replace(/^[+-]/, "");
  if (digits === "" || [...digits].some((digit) => !"0123456789".includes(digit))) throw new SlowFailure("no integer");
  if (type === "uint" && text.startsWith("-")) throw new SlowFailure("negative");
  return inRange(BigInt(digits) * (text.startsWith("-") ? -1n : 1n), type);
}

/** Good for the texts of the random expressions, which have no hexadecimal numbers. */
function textToDouble(value: string): number {
  const text = value.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, "");
  const unsigned = text.replace(/^[+-]/, "");
  if (/^(?:inf|infinity|nan)$/i.test(unsigned)) {
    return unsigned[0]!.toLowerCase() === "n" ? NaN : text.startsWith("-") ? -Infinity : Infinity;
  }
  if (!/[0-9.]/.test(unsigned[0] ?? "") || Number.isNaN(Number(unsigned))) throw new SlowFailure("no double");
  return Number(text);
}

function toText(value: Value): string {
  if (value instanceof Uint8Array) {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
    } catch {
      throw new SlowFailure("no UTF-8");
    }
  }
  if (typeof value !== "number") return String(value);
  if (Number.isNaN(value)) throw new SlowFailure("NaN", true);
  if (Math.abs(value) === Infinity) return value < 0 ? "-inf" : "inf";
  if (value === 0) return 1 / value < 0 ? "-0" : "0";
  // The digits that JavaScript prints, wherever it puts the point, then C's rule for %g.
  const [, sign, whole, fraction = "", power = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e(.+))?$/.exec(String(value))!;
  const leading = (whole! + fraction).replace(/^0+/, "");
  const exponent = Number(power) + leading.length - 1 - fraction.length;
  const digits = leading.replace(/0+$/, "");
  if (exponent < -4 || exponent >= 6) {
    const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const padded = digits.padEnd(exponent + 1, "0");
  return sign + padded.slice(0, exponent + 1) + (padded.length > exponent + 1 ? `.${padded.slice(exponent + 1)}` : "");
}

function floorSeconds(timestamp: bigint): bigint {
  const seconds = timestamp / 1_000_000_000n;
  return timestamp % 1_000_000_000n < 0n ? seconds - 1n : seconds;
}
