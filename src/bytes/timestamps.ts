/**
 * Time stamps in microseconds since 1970 UTC, and the two ways in which they are written (WIRE_FORMATS 2).
 * @module
 */

const MICROS_PER_MS = 1000;
const MICROS_PER_SECOND = 1_000_000;

const DATE = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt _](.+))?$/;
const TIME =
  /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d+))?)?(?:[Zz]|([+\-\u2212])([01]\d|2[0-3]):?([0-5]\d))?$/;

/**
 * The form that object names carry: always six digits of fraction, so that names sort by time.
 *
 * @param micros A safe integer; years 1684 to 2255.
 *
 * @example
 * ```ts
 * import { pathStamp } from "./timestamps.ts";
 *
 * if (pathStamp(1_767_323_045_000_000) !== "2026-01-02T03:04:05.000000Z") throw new Error("unexpected stamp");
 * ```
 */
export function pathStamp(micros: number): string {
  return `${seconds(micros)}.${fraction(micros)}Z`;
}

/**
 * The form that JSON and YAML carry: six digits of fraction, or none when they would all be zero.
 *
 * @param micros A safe integer; years 1684 to 2255.
 */
export function jsonStamp(micros: number): string {
  const digits = fraction(micros);
  return digits === "000000" ? `${seconds(micros)}Z` : `${seconds(micros)}.${digits}Z`;
}

/**
 * Reads a date-time in ISO 8601 as the Python package does: `T`, a blank or `_` before the time, a fraction of any
 * number of digits (cut after six), `Z` or an offset; without either it is UTC, without a time it is midnight.
 *
 * @returns Microseconds since 1970, or null when the text is no date-time, names a day that does not exist, or lies
 * outside of the years 1684 to 2255, where microseconds are no safe integers.
 *
 * @example
 * ```ts
 * import { parseStamp } from "./timestamps.ts";
 *
 * if (parseStamp("2026-01-02 03:04:05.5+01:00") !== 1_767_319_445_500_000) throw new Error("unexpected time");
 * if (parseStamp("2026-02-29T00:00:00Z") !== null) throw new Error("2026 is no leap year");
 * ```
 */
export function parseStamp(text: string): number | null {
  const [, year, month, day, time = "00:00"] = DATE.exec(text) ?? [];
  const [, hour, minute, second = 0, fraction = "", sign, zoneHours = 0, zoneMinutes = 0] = TIME.exec(time) ?? [];
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day)); // Date.UTC would move years below 100.
  // A day that does not exist has become another one. There is no year 0.
  if (!(Number(year) > 0 && date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day))) return null;
  const zone = sign === "+" ? -1 : 1;
  const wholeMs = date.setUTCHours(
    Number(hour) + zone * Number(zoneHours),
    Number(minute) + zone * Number(zoneMinutes),
    Number(second),
  );
  const micros = wholeMs * MICROS_PER_MS + Number(fraction.slice(0, 6).padEnd(6, "0"));
  return Number.isSafeInteger(micros) ? micros : null;
}

function seconds(micros: number): string {
  // Rounds down, so that times before 1970 keep a fraction that counts forward.
  return new Date(Math.floor(micros / MICROS_PER_SECOND) * 1000).toISOString().slice(0, 19);
}

function fraction(micros: number): string {
  const rest = micros % MICROS_PER_SECOND;
  return String(rest < 0 ? rest + MICROS_PER_SECOND : rest).padStart(6, "0");
}
