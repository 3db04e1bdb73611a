/**
 * Arithmetic of `int` and `uint`, exact in 64 bits.
 *
 * Both are JavaScript numbers where these are safe, and bigint elsewhere; each value has one form only, so that `===`,
 * `<` and the keys of a `Map` are exact. Zero is never negative.
 * @module
 */
import type { Place } from "./ast.ts";
import { Fault } from "./cel_error.ts";

/** A value of type int or uint. */
export type Integer = number | bigint;

/** True for values of int. */
export function isInt64(value: bigint): boolean {
  return BigInt.asIntN(64, value) === value;
}

/** True for values of uint. */
export function isUint64(value: bigint): boolean {
  return BigInt.asUintN(64, value) === value;
}

/** The one form of an integer. Rounding never makes an unsafe number safe. */
export function canonical(value: bigint): Integer {
  const near = Number(value);
  return near <= Number.MAX_SAFE_INTEGER && near >= Number.MIN_SAFE_INTEGER ? near : value;
}

/** The form of an int. @throws {Fault} when it has more than 64 bits. */
export function checkedInt(value: bigint, place: Place): Integer {
  if (!isInt64(value)) throw new Fault("integer overflow", place);
  return canonical(value);
}

/** The form of a uint. @throws {Fault} when it is negative or has more than 64 bits. */
export function checkedUint(value: bigint, place: Place): Integer {
  if (!isUint64(value)) throw new Fault("unsigned integer overflow", place);
  return canonical(value);
}

/** Which check the result of an operation goes through. */
export type Check = typeof checkedInt;

/** Sum, difference or product. A safe result of safe numbers is exact; all others are computed again. */
export type Operation = (a: Integer, b: Integer, place: Place) => Integer;

/** The operation of an operator on int or uint. */
export function operation(operator: string, isUint: boolean): Operation {
  const check = isUint ? checkedUint : checkedInt;
  const least = isUint ? 0 : Number.MIN_SAFE_INTEGER;
  function isExact(result: number): boolean {
    return result >= least && result <= Number.MAX_SAFE_INTEGER;
  }
  if (operator === "+") {
    return (a, b, place) => {
      if (typeof a === "number" && typeof b === "number" && isExact(a + b)) return a + b;
      return check(BigInt(a) + BigInt(b), place);
    };
  }
  if (operator === "-") {
    return (a, b, place) => {
      if (typeof a === "number" && typeof b === "number" && isExact(a - b)) return a - b;
      return check(BigInt(a) - BigInt(b), place);
    };
  }
  return (a, b, place) => {
    if (typeof a === "number" && typeof b === "number" && isExact(a * b)) return a * b + 0;
    return check(BigInt(a) * BigInt(b), place);
  };
}

/**
 * Quotient, rounded towards zero.
 *
 * The quotient of safe numbers never rounds to a whole number that it does not reach.
 */
export function divide(a: Integer, b: Integer, place: Place): Integer {
  if (b === 0) throw new Fault("divide by zero", place);
  if (typeof a === "number" && typeof b === "number") return Math.trunc(a / b) + 0;
  const quotient = BigInt(a) / BigInt(b);
  if (b === -1 && !isInt64(quotient)) throw new Fault("integer overflow", place);
  return canonical(quotient);
}

/** Remainder, with the sign of the dividend. */
export function remainder(a: Integer, b: Integer, place: Place): Integer {
  if (b === 0) throw new Fault("modulus by zero", place);
  if (typeof a === "number" && typeof b === "number") return a % b + 0;
  // The quotient would not fit.
  if (b === -1 && a === -(2n ** 63n)) throw new Fault("integer overflow", place);
  return canonical(BigInt(a) % BigInt(b));
}

/** The negative. @throws {Fault} of -2^63. */
export function negate(value: Integer, place: Place): Integer {
  return typeof value === "number" ? 0 - value : checkedInt(-value, place);
}
