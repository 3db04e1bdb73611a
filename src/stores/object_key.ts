/**
 * Names of objects: what every store accepts, and the order in which all of them list.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";

/**
 * Refuses keys that are no plain path from the store's `url` downwards.
 *
 * Anything goes inside a segment (`:`, `=`, `%`, spaces, any script), but segments are not empty and not `.` or `..`:
 * HTTP clients and file systems disagree about what those mean.
 *
 * @throws {ConfigValidationError} with path `key`.
 */
export function requireKey(key: string): void {
  requirePath(key, key, "key");
}

/**
 * Refuses what no key can begin with. The empty prefix stands for everything.
 *
 * @throws {ConfigValidationError} with path `prefix`.
 */
export function requirePrefix(prefix: string): void {
  // The last segment may be the beginning of a name, so that even `..` is fine there: it becomes whole by one letter.
  requirePath(`${prefix}x`, prefix, "prefix");
}

/**
 * The prefix that a folder's objects have in common, with one slash at its end.
 *
 * @throws {ConfigValidationError} with path `prefix`; also for the empty folder, since removing a whole store must not
 *   be what a forgotten variable does.
 */
export function requireFolder(prefix: string): string {
  const folder = prefix.replace(/\/$/, "");
  requirePath(folder, prefix, "prefix");
  return `${folder}/`;
}

/** Order of two strings by their UTF-8 bytes, as S3 lists; JavaScript's own order puts `\u{10000}` before `\uFFFD`. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const unitA = a.charCodeAt(index);
    const unitB = b.charCodeAt(index);
    if (unitA !== unitB) return rank(unitA) - rank(unitB);
  }
  return a.length - b.length;
}

// Surrogates, which stand for the code points from 0x10000 up, come after all other units.
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function requirePath(path: string, given: unknown, name: "key" | "prefix"): void {
  const isClean = typeof path === "string" && path.isWellFormed() && !path.includes("\0") &&
    path.split("/").every((segment) => !["", ".", ".."].includes(segment));
  if (isClean) return;
  throw new ConfigValidationError(
    `Cannot use ${name} as it must be a path of well-formed Unicode without NUL, and without empty segments, "." ` +
      `and "..": current value is ${shown(given)}`,
    name,
  );
}
