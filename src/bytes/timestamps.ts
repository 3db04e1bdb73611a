/**
 * Time stamps in microseconds since 1970 UTC, and the two ways in which they are written (WIRE_FORMATS 2).
 * @module
 */

const MICROS_PER_MS = 1000;
const MICROS_PER_SECOND = 1_000_000;

/** Groups: year, month, day; hour, minute, second, fraction; zone. Time and zone may be absent. */
const DATE_TIME =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt _](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?([Zz]|[+\-\u2212]\d{2}:?\d{2})?)?$/;

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
  const match = DATE_TIME.exec(text);
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((digits) => Number(digits ?? 0)) as Six;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  const offsetMinutes = zoneMinutes(match[8]);
  if (offsetMinutes === null) return null;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // Date.UTC would take years below 100 for those of the 20th century.
  const wholeMs = date.setUTCHours(hour, minute - offsetMinutes, second);
  const micros = wholeMs * MICROS_PER_MS + Number((match[7] ?? "").slice(0, 6).padEnd(6, "0"));
  return Number.isSafeInteger(micros) ? micros : null;
}

type Six = [number, number, number, number, number, number];

function zoneMinutes(zone: string | undefined): number | null {
  if (zone === undefined || zone === "Z" || zone === "z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(-2));
  if (hours > 23 || minutes > 59) return null;
  return (zone.startsWith("+") ? 1 : -1) * (hours * 60 + minutes);
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function seconds(micros: number): string {
  // Rounds down, so that times before 1970 keep a fraction that counts forward.
  return new Date(Math.floor(micros / MICROS_PER_SECOND) * 1000).toISOString().slice(0, 19);
}

function fraction(micros: number): string {
  const rest = micros % MICROS_PER_SECOND;
  return String(rest < 0 ? rest + MICROS_PER_SECOND : rest).padStart(6, "0");
}
