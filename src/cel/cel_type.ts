/**
 * Types of CEL expressions, as far as this language has them: every expression has exactly one, known when compiling.
 * @module
 */

/** Types without parameters. `none` is the type of what cannot exist: elements of an empty list. */
export type ScalarType =
  | "int"
  | "uint"
  | "double"
  | "bool"
  | "string"
  | "bytes"
  | "null_type"
  | "type"
  | "timestamp"
  | "duration"
  | "none";

/** A type of the language. */
export type CelType = ScalarType | ListType | MapType;

/** A list whose elements are all of one type. */
export interface ListType {
  readonly kind: "list";
  readonly item: CelType;
}

/** A map whose keys are all of one type, and whose values are. */
export interface MapType {
  readonly kind: "map";
  readonly key: CelType;
  readonly value: CelType;
}

/** The type as messages and programs see it: `int`, `list(string)`, `map(string, int)`; `dyn` for what cannot exist. */
export function typeName(type: CelType): string {
  if (typeof type === "string") return type === "none" ? "dyn" : type;
  if (type.kind === "list") return `list(${typeName(type.item)})`;
  return `map(${typeName(type.key)}, ${typeName(type.value)})`;
}

/** The type that both sides have, `none` giving way to any other; null when there is no such type. */
export function unify(a: CelType, b: CelType): CelType | null {
  if (a === b || b === "none") return a;
  if (a === "none") return b;
  if (typeof a === "string" || typeof b === "string") return null;
  if (a.kind === "list") {
    const item = b.kind === "list" ? unify(a.item, b.item) : null;
    return item === null ? null : { kind: "list", item };
  }
  if (b.kind !== "map") return null;
  const key = unify(a.key, b.key);
  const value = unify(a.value, b.value);
  return key === null || value === null ? null : { kind: "map", key, value };
}
