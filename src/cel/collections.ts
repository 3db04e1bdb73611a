/**
 * Lists and maps: how they are made, asked for members and indexed.
 * @module
 */
import type { CheckedCall, CheckedNode } from "./ast.ts";
import { Fault, Refusal } from "./cel_error.ts";
import { equalityOf, isIdentity } from "./equality.ts";
import type { Run } from "./frame.ts";
import type { Integer } from "./numbers.ts";

function isConstant(node: CheckedNode): boolean {
  return node.kind === "literal";
}

/** A list. A constant one is made once. */
export function listOf(node: CheckedNode & { kind: "list" }, items: Run[]): Run<unknown[]> {
  if (!node.items.every(isConstant)) return () => items.map((item) => item());
  const values = items.map((item) => item());
  return () => values;
}

/** A map. A constant one is made once. */
export function mapOf(node: CheckedNode & { kind: "map" }, keys: Run[], values: Run[]): Run<Map<unknown, unknown>> {
  function build(): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!();
      if (map.has(key)) throw new Refusal("a map has a key twice", node.keys[i]!);
      map.set(key, values[i]!());
    }
    return map;
  }
  if (![...node.keys, ...node.values].every(isConstant)) return build;
  let map: Map<unknown, unknown> | null = null;
  return () => map ??= build();
}

/** `x in list` and `x in map`. Constant lists of plain values become sets. */
export function membership({ args }: CheckedCall, [value, collection]: Run[]): Run<boolean> {
  const [member, range] = args as [CheckedNode, CheckedNode];
  if (range.type === "none" || typeof range.type === "string") return collection as Run<never>;
  if (range.type.kind === "map") {
    const map = collection as Run<Map<unknown, unknown>>;
    return () => {
      const key = value!();
      return map().has(key);
    };
  }
  const list = collection as Run<unknown[]>;
  // A Set finds NaN, which equals nothing.
  if (range.kind === "list" && range.items.every(isConstant) && isIdentity(member.type) && member.type !== "double") {
    const set = new Set(list());
    return () => set.has(value!());
  }
  const equal = equalityOf(member.type) as (a: unknown, b: unknown) => boolean;
  return () => {
    const wanted = value!();
    return list().some((item) => equal(item, wanted));
  };
}

/** `list[i]` and `map[key]`. */
export function indexOf(node: CheckedCall, [collection, index]: readonly Run[]): Run {
  const { type } = node.args[0]!;
  if (typeof type === "string") return collection!;
  if (type.kind === "list") {
    const list = collection as Run<unknown[]>;
    const position = index as Run<Integer>;
    return () => {
      const items = list();
      const at = position();
      if (typeof at === "number" && at >= 0 && at < items.length) return items[at];
      throw new Fault(`there is no element ${at} in a list of ${items.length}`, node);
    };
  }
  const map = collection as Run<Map<unknown, unknown>>;
  return () => {
    const entries = map();
    const key = index!();
    const found = entries.get(key);
    if (found !== undefined) return found;
    throw new Fault(`there is no key ${typeof key === "string" ? JSON.stringify(key) : key} in the map`, node);
  };
}
