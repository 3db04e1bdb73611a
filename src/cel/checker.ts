/**
 * Gives every part of an expression its type, and resolves its names.
 * @module
 */
import type { CheckedNode, MacroName, Place, SyntaxNode } from "./ast.ts";
import { compileError } from "./cel_error.ts";
import { type CelType, typeName, unify } from "./cel_type.ts";
import { isKnown, isMapKey, resultType } from "./overloads.ts";
import { patternOf } from "./re2_subset.ts";
import { isExactZone } from "./time.ts";

/** Types that columns may have. */
export type ColumnType = "int" | "uint" | "double" | "bool" | "string" | "bytes";

/** What a checked expression consists of. */
export interface CheckedExpression {
  readonly root: CheckedNode;
  /** Columns that it reads, in the order of their slots. */
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  /** How many variables its macros have. */
  readonly localCount: number;
}

const TYPE_NAMES = new Set("int uint double bool string bytes list map null_type type".split(" "));

/**
 * Checks an expression.
 *
 * @param columns Types of the columns that it may read.
 * @throws {ConfigValidationError} at the first part that has no type, or none that can be evaluated exactly.
 */
export function checkExpression(
  source: string,
  root: SyntaxNode,
  columns: ReadonlyMap<string, ColumnType>,
): CheckedExpression {
  const checker = new Checker(source, columns);
  return { root: checker.check(root), columns: checker.columns, localCount: checker.localCount };
}

class Checker {
  readonly columns: { name: string; type: ColumnType }[] = [];
  localCount = 0;
  readonly #source: string;
  readonly #declared: ReadonlyMap<string, ColumnType>;
  /** Variables of the macros around, the innermost last. */
  readonly #locals: { name: string; type: CelType; slot: number }[] = [];

  constructor(source: string, declared: ReadonlyMap<string, ColumnType>) {
    this.#source = source;
    this.#declared = declared;
  }

  check(node: SyntaxNode): CheckedNode {
    switch (node.kind) {
      case "literal":
        return node;
      case "name":
        return this.#name(node);
      case "select":
        return this.#qualifiedName(node) ?? this.#select(node, "index");
      case "has":
        return this.#select(node, "in");
      case "call":
        return this.#call(node);
      case "list":
        return this.#list(node);
      case "map":
        return this.#map(node);
      case "macro":
        return this.#macro(node);
    }
  }

  #fail(place: Place, reason: string): Error {
    return compileError(this.#source, place, reason);
  }

  #name(node: SyntaxNode & { kind: "name" }): CheckedNode {
    const { name, start, end } = node;
    const local = node.isAbsolute ? undefined : this.#local(name);
    if (local) return { kind: "local", type: local.type, slot: local.slot, start, end };
    const column = this.#column(name, node);
    if (column) return column;
    if (TYPE_NAMES.has(name)) return { kind: "literal", type: "type", value: name, start, end };
    const known = [...this.#declared.keys()].map((column) => `"${column}"`).join(", ");
    throw this.#fail(node, `there is no column of that name, but ${known || "none at all"}`);
  }

  #local(name: string): { type: CelType; slot: number } | undefined {
    return this.#locals.findLast((local) => local.name === name);
  }

  #column(name: string, { start, end }: Place): CheckedNode | null {
    const type = this.#declared.get(name);
    if (type === undefined) return null;
    let slot = this.columns.findIndex((column) => column.name === name);
    if (slot < 0) slot = this.columns.push({ name, type }) - 1;
    return { kind: "column", type, slot, name, start, end };
  }

  /** A column whose name has dots; it comes before fields of what the first name alone would be. */
  #qualifiedName(node: SyntaxNode & { kind: "select" }): CheckedNode | null {
    let name = node.field;
    let operand = node.operand;
    while (operand.kind === "select") {
      name = `${operand.field}.${name}`;
      operand = operand.operand;
    }
    if (operand.kind !== "name" || (!operand.isAbsolute && this.#local(operand.name))) return null;
    return this.#column(`${operand.name}.${name}`, node);
  }

  /** `m.f` is `m["f"]`, and `has(m.f)` is `"f" in m`. */
  #select(node: SyntaxNode & { kind: "select" | "has" }, name: "index" | "in"): CheckedNode {
    const { start, end } = node;
    const operand = this.check(node.operand);
    const { type } = operand;
    const isMap = type === "none" || (typeof type !== "string" && type.kind === "map");
    if (!isMap) throw this.#fail(node, `${typeName(type)} has no fields`);
    if (type !== "none" && unify(type.key, "string") === null) {
      throw this.#fail(node, `fields can be selected of maps with string keys only, not of ${typeName(type)}`);
    }
    const field: CheckedNode = { kind: "literal", type: "string", value: node.field, start, end };
    const args = name === "index" ? [operand, field] : [field, operand];
    const value = type === "none" ? "none" : type.value;
    return { kind: "call", name, args, type: name === "index" ? value : "bool", start, end };
  }

  #call(node: SyntaxNode & { kind: "call" }): CheckedNode {
    const { name, target, start, end } = node;
    const isMethod = target !== null;
    const isOperator = !/^[a-z]\w*$/i.test(name) || name === "neg" || name === "index" || name === "in";
    if (!isOperator && !isKnown(name, isMethod)) {
      if (target) this.check(target);
      throw this.#fail(node, `there is no ${isMethod ? "method" : "function"} "${name}"`);
    }
    const args = (target ? [target, ...node.args] : node.args).map((arg) => this.check(arg));
    const types = args.map((arg) => arg.type);
    const type = resultType(name, types, isMethod);
    if (type === null) throw this.#fail(node, this.#mismatch(name, types));
    if (name === "matches") patternOf(this.#source, args[1]!);
    if (name.startsWith("get") && args.length === 2) this.#checkZone(args[1]!);
    return { kind: "call", name, args, type, start, end };
  }

  #mismatch(name: string, types: CelType[]): string {
    const shown = types.map(typeName).join(", ");
    return `"${name}" does not take (${shown}), and nothing is converted by itself`;
  }

  #checkZone(zone: CheckedNode): void {
    if (zone.kind === "literal" && isExactZone(String(zone.value))) return;
    throw this.#fail(zone, 'a time zone must be "UTC" or an offset such as "+02:00" or "-05:30", literally');
  }

  #list(node: SyntaxNode & { kind: "list" }): CheckedNode {
    const items = node.items.map((item) => this.check(item));
    const item = this.#common(items, "elements of a list");
    return { kind: "list", type: { kind: "list", item }, items, start: node.start, end: node.end };
  }

  #map(node: SyntaxNode & { kind: "map" }): CheckedNode {
    const keys = node.keys.map((key) => this.check(key));
    const values = node.values.map((value) => this.check(value));
    const key = this.#common(keys, "keys of a map");
    if (!isMapKey(key)) {
      throw this.#fail(keys[0]!, `keys of a map must be int, uint, bool or string, not ${typeName(key)}`);
    }
    const type: CelType = { kind: "map", key, value: this.#common(values, "values of a map") };
    return { kind: "map", type, keys, values, start: node.start, end: node.end };
  }

  #common(nodes: CheckedNode[], what: string): CelType {
    let type: CelType = "none";
    for (const node of nodes) {
      const both: CelType | null = unify(type, node.type);
      if (both === null) {
        throw this.#fail(node, `${what} must have one type, not ${typeName(type)} and ${typeName(node.type)}`);
      }
      type = both;
    }
    return type;
  }

  #macro(node: SyntaxNode & { kind: "macro" }): CheckedNode {
    const { name, start, end } = node;
    const range = this.check(node.range);
    if (range.type !== "none" && typeof range.type === "string") {
      throw this.#fail(node.range, `${name}() needs a list or a map, not ${typeName(range.type)}`);
    }
    const isMap = range.type !== "none" && range.type.kind === "map";
    if (isMap && (name === "map" || name === "filter")) {
      throw this.#fail(node, `${name}() of a map has no certain order, use a list`);
    }
    const item = range.type === "none" ? "none" : range.type.kind === "list" ? range.type.item : range.type.key;
    const slot = this.localCount++;
    this.#locals.push({ name: node.variable, type: item, slot });
    const args = node.args.map((arg) => this.check(arg));
    this.#locals.pop();
    const condition = name === "map" && args.length === 1 ? null : args[0]!;
    if (condition && unify(condition.type, "bool") === null) {
      throw this.#fail(condition, `the condition of ${name}() must be bool, not ${typeName(condition.type)}`);
    }
    return { kind: "macro", name, type: macroType(name, item, args), range, slot, args, start, end };
  }
}

function macroType(name: MacroName, item: CelType, args: CheckedNode[]): CelType {
  if (name === "map") return { kind: "list", item: args.at(-1)!.type };
  return name === "filter" ? { kind: "list", item } : "bool";
}
