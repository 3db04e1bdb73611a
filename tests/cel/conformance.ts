/**
 * The table of answers that `cel-expr-python` gave: its shape, and how values of ours are written in it.
 * @module
 */
import { readFileSync } from "node:fs";
import type { CelColumnType } from "../../src/cel/compile_cel.ts";

/** A value of the table: its type and, as text where JSON would lose something, its content. */
export interface EncodedValue {
  t: string;
  v?: unknown;
  bits?: string;
}

/** One expression with one row, and what came of it. */
export interface ConformanceCase {
  id: string;
  category: string;
  expr: string;
  columns: Record<string, CelColumnType>;
  bindings: Record<string, EncodedValue>;
  outcome: "value" | "compile_error" | "eval_error" | "host_exception";
  value?: EncodedValue;
}

/** All cases. */
export function conformanceCases(): ConformanceCase[] {
  const url = new URL("../fixtures/cel/cel_conformance.json", import.meta.url);
  return (JSON.parse(readFileSync(url, "utf8")) as { cases: ConformanceCase[] }).cases;
}

/** A binding as a program would have it. */
export function decodeBinding({ t, v, bits }: EncodedValue): unknown {
  if (t === "int" || t === "uint") {
    const value = BigInt(v as string);
    return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (t === "double") return doubleOfBits(bits!);
  if (t === "bytes") return Uint8Array.from((v as string).match(/../g) ?? [], (byte) => parseInt(byte, 16));
  return t === "null" ? null : v;
}

function doubleOfBits(bits: string): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${bits}`));
  return view.getFloat64(0);
}

/** A value of ours as the table has it, by the type that the expression states. */
export function encodeValue(type: string, value: unknown): EncodedValue {
  const list = /^list\((.*)\)$/.exec(type)?.[1];
  if (list !== undefined) return { t: "list", v: (value as unknown[]).map((item) => encodeValue(list, item)) };
  const map = /^map\((\w+), (.*)\)$/.exec(type);
  if (map) {
    const entries = [...value as Map<unknown, unknown>];
    return { t: "map", v: entries.map(([key, item]) => [encodeValue(map[1]!, key), encodeValue(map[2]!, item)]) };
  }
  switch (type) {
    case "int":
    case "uint":
      return { t: type, v: String(value) };
    case "double": {
      const view = new DataView(new ArrayBuffer(8));
      view.setFloat64(0, value as number);
      return { t: type, bits: view.getBigUint64(0).toString(16).padStart(16, "0") };
    }
    case "bytes":
      return { t: type, v: Array.from(value as Uint8Array, (byte) => byte.toString(16).padStart(2, "0")).join("") };
    case "null_type":
      return { t: "null" };
    case "type":
      return { t: type, v: (value as string).toUpperCase() };
    case "timestamp":
      return { t: type, v: new Date(Number((value as bigint) / 1_000_000n)).toISOString() };
    case "duration":
      return { t: type, v: String((value as bigint) / 1000n) };
    default:
      return { t: type, v: value };
  }
}

/** An expected value without what does not count: the decimal text beside bits, the form of a time. */
export function normalized(value: EncodedValue): EncodedValue {
  if (value.t === "double") return { t: value.t, bits: value.bits! };
  if (value.t === "timestamp") return { t: value.t, v: new Date(value.v as string).toISOString() };
  if (value.t === "list") return { t: value.t, v: (value.v as EncodedValue[]).map(normalized) };
  if (value.t === "map") {
    return { t: value.t, v: (value.v as EncodedValue[][]).map((entry) => entry.map(normalized)) };
  }
  return value.t === "null" ? { t: "null" } : { t: value.t, v: value.v };
}
