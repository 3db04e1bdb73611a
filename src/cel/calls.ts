/**
 * Operators and functions as closures over those of their arguments, which are evaluated from left to right.
 * @module
 */
import type { CheckedCall, Place } from "./ast.ts";
import type { CelType } from "./cel_type.ts";
import { indexOf } from "./collections.ts";
import type { Run } from "./frame.ts";
import * as convert from "./conversions.ts";
import { equalityOf, isIdentity } from "./equality.ts";
import { divide, type Integer, negate, operation, remainder } from "./numbers.ts";
import { patternOf } from "./re2_subset.ts";
import { codePointCount, compareBytes, compareText, joinBytes } from "./strings.ts";
import * as time from "./time.ts";

/** The closure of a call that has no rules of evaluation of its own. */
export function callOf(node: CheckedCall, args: Run[], source: string): Run {
  const { name } = node;
  const type = node.args[0]!.type;
  if (name === "index") return indexOf(node, args);
  if (name === "matches") {
    const pattern = patternOf(source, node.args[1]!);
    const text = args[0] as Run<string>;
    return () => pattern.test(text());
  }
  if (args.length === 2 && !name.startsWith("get")) return binary(node, args as [Run, Run]);
  if (name.startsWith("get")) return timePart(node, args);
  if (name === "neg" && type === "double") {
    const value = args[0] as Run<number>;
    return () => -value();
  }
  if (name === "!") {
    const value = args[0] as Run<boolean>;
    return () => !value();
  }
  if (name === "dyn") return args[0]!;
  if (name === "size") return sizeOf(type, args[0]!);
  if (name === "type") {
    const named = typeof type === "string" ? type : type.kind;
    return () => (args[0]!(), TIME_TYPES[named] ?? named);
  }
  if (name === "neg") return converted(args[0]!, negate as Conversion, node);
  return conversion(node, args[0]!);
}

const TIME_TYPES: Readonly<Record<string, string>> = {
  timestamp: "google.protobuf.Timestamp",
  duration: "google.protobuf.Duration",
};

function binary(node: CheckedCall, args: [Run, Run]): Run {
  const types = node.args.map((arg) => arg.type) as [CelType, CelType];
  switch (node.name) {
    case "==":
    case "!=":
      return equality(types, args, node.name === "==");
    case "<":
    case "<=":
    case ">":
    case ">=":
      return comparison(node.name, types[0] === "none" ? types[1] : types[0], args);
    case "startsWith":
    case "endsWith":
    case "contains":
      return textTest(node.name, args as [Run<string>, Run<string>]);
  }
  if (node.type === "int" || node.type === "uint") return integerOperation(node, args as [Run<Integer>, Run<Integer>]);
  if (node.type === "double") return doubleOperation(node.name, args as [Run<number>, Run<number>]);
  if (node.type === "timestamp" || node.type === "duration") {
    return timeOperation(node, args as [Run<bigint>, Run<bigint>]);
  }
  return joined(node.type, args);
}

function integerOperation(node: CheckedCall, [left, right]: [Run<Integer>, Run<Integer>]): Run<Integer> {
  if (node.name === "/") return () => divide(left(), right(), node);
  if (node.name === "%") return () => remainder(left(), right(), node);
  const operate = operation(node.name, node.type === "uint");
  return () => operate(left(), right(), node);
}

function doubleOperation(name: string, [left, right]: [Run<number>, Run<number>]): Run<number> {
  if (name === "+") return () => left() + right();
  if (name === "-") return () => left() - right();
  return name === "*" ? () => left() * right() : () => left() / right();
}

function timeOperation(node: CheckedCall, [left, right]: [Run<bigint>, Run<bigint>]): Run<bigint> {
  const isStart = node.args[0]!.type === "timestamp";
  if (node.name === "+") {
    if (node.type === "duration") return () => time.addDurations(left(), right(), node);
    const [start, span] = isStart ? [left, right] : [right, left];
    return () => time.addToTimestamp(start(), span(), node);
  }
  if (node.type === "timestamp") return () => time.addToTimestamp(left(), -right(), node);
  return isStart ? () => time.timeBetween(left(), right(), node) : () => time.addDurations(left(), -right(), node);
}

function joined(type: CelType, [left, right]: [Run, Run]): Run {
  if (type === "string") return () => (left() as string) + (right() as string);
  if (type === "bytes") return () => joinBytes(left() as Uint8Array, right() as Uint8Array);
  return () => [...left() as unknown[], ...right() as unknown[]];
}

function equality(types: [CelType, CelType], [left, right]: [Run, Run], isEqual: boolean): Run<boolean> {
  const type = types[0] === "none" ? types[1] : types[0];
  if (isIdentity(type)) return isEqual ? () => left() === right() : () => left() !== right();
  const equal = equalityOf(type) as (a: unknown, b: unknown) => boolean;
  return () => equal(left(), right()) === isEqual;
}

/** Numbers, booleans and times have the order of JavaScript, also between numbers and bigint. */
function comparison(name: string, type: CelType, [left, right]: [Run, Run]): Run<boolean> {
  if (type !== "string" && type !== "bytes") {
    const [a, b] = [left as Run<number>, right as Run<number>];
    if (name === "<") return () => a() < b();
    if (name === "<=") return () => a() <= b();
    return name === ">" ? () => a() > b() : () => a() >= b();
  }
  const compare = (type === "string" ? compareText : compareBytes) as (a: unknown, b: unknown) => number;
  if (name === "<") return () => compare(left(), right()) < 0;
  if (name === "<=") return () => compare(left(), right()) <= 0;
  return name === ">" ? () => compare(left(), right()) > 0 : () => compare(left(), right()) >= 0;
}

/** Well-formed strings have well-formed ones in them only where code points begin. */
function textTest(name: string, [text, part]: [Run<string>, Run<string>]): Run<boolean> {
  if (name === "startsWith") return () => text().startsWith(part());
  return name === "endsWith" ? () => text().endsWith(part()) : () => text().includes(part());
}

function sizeOf(type: CelType, value: Run): Run<number> {
  if (type === "string") return () => codePointCount(value() as string);
  if (type === "bytes" || (typeof type !== "string" && type.kind === "list")) {
    return () => (value() as { length: number }).length;
  }
  return () => (value() as Map<unknown, unknown>).size;
}

type Conversion = (value: never, place: Place) => unknown;

/** By type of the argument, then by name. What is not here leaves the value as it is. */
const CONVERSIONS: Readonly<Record<string, Readonly<Record<string, Conversion>>>> = {
  string: {
    int: convert.textToInt,
    uint: convert.textToUint,
    double: convert.textToDouble,
    bool: convert.textToBool,
    bytes: (text: string) => new TextEncoder().encode(text),
    timestamp: time.textToTimestamp,
    duration: time.textToDuration,
  },
  int: { uint: convert.intToUint, double: Number, string: String, timestamp: time.secondsToTimestamp },
  uint: { int: convert.uintToInt, double: Number, string: String },
  double: { int: convert.doubleToInt, uint: convert.doubleToUint, string: convert.doubleToText },
  bool: { string: String },
  bytes: { string: convert.bytesToText },
  timestamp: { int: time.timestampToSeconds, string: time.timestampToText },
  duration: { string: time.durationToText },
};

function conversion(node: CheckedCall, value: Run): Run {
  const convertValue = CONVERSIONS[node.args[0]!.type as string]?.[node.name];
  return convertValue ? converted(value, convertValue, node) : value;
}

function converted(value: Run, convertValue: Conversion, place: Place): Run {
  return () => convertValue(value() as never, place);
}

function timePart({ name, args }: CheckedCall, [value]: Run[]): Run {
  const read = value as Run<bigint>;
  if (args[0]!.type === "duration") return () => time.durationPart(name, read());
  const zone = args[1];
  const offset = zone?.kind === "literal" ? time.zoneOffset(zone.value as string) : 0;
  return () => time.timestampPart(name, read(), offset);
}
