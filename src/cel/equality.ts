/**
 * When two values of one type are equal.
 * @module
 */
import type { CelType } from "./cel_type.ts";
import { equalBytes } from "./strings.ts";

/** Says whether two values are equal. */
export type Equality = (a: never, b: never) => boolean;

/** True for types whose values are equal when `===` says so. NaN is never equal, as in CEL. */
export function isIdentity(type: CelType): boolean {
  return typeof type === "string" && type !== "bytes";
}

/** The equality of a type. */
export function equalityOf(type: CelType): Equality {
  if (typeof type === "string") {
    return (type === "bytes" ? equalBytes : (a: unknown, b: unknown) => a === b) as Equality;
  }
  if (type.kind === "list") {
    const equal = equalityOf(type.item) as (a: unknown, b: unknown) => boolean;
    return ((a: unknown[], b: unknown[]) =>
      a.length === b.length && a.every((item, i) => equal(item, b[i]))) as Equality;
  }
  const equal = equalityOf(type.value) as (a: unknown, b: unknown) => boolean;
  return ((a: Map<unknown, unknown>, b: Map<unknown, unknown>) => {
    if (a.size !== b.size) return false;
    for (const [key, value] of a) {
      if (!b.has(key) || !equal(value, b.get(key))) return false;
    }
    return true;
  }) as Equality;
}
