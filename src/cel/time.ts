/**
 * Timestamps and durations: whole numbers of nanoseconds, in UTC or at a fixed offset from it.
 *
 * Arithmetic of durations goes through 64 bits of nanoseconds, 292 years, in the engine that Python uses, and is cut
 * there without an error where an operand is longer; such operands are refused here.
 * @module
 */
import type { Place } from "./ast.ts";
import { Fault, Refusal } from "./cel_error.ts";
import { canonical, type Integer, isInt64 } from "./numbers.ts";

const SECOND = 1_000_000_000n;
const DAY_SECONDS = 86_400;
const TIMESTAMP_MIN = -62_135_596_800n * SECOND;
const TIMESTAMP_MAX = 253_402_300_800n * SECOND - 1n;
const DURATION_MAX = 315_576_000_001n * SECOND - 1n;

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const DURATION = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|ms|s|m|h))+)$/;
const ZONE = /^([+-])([01]\d|2[0-3]):([0-5]\d)$/;

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  ms: 1_000_000n,
  s: SECOND,
  m: 60n * SECOND,
  h: 3600n * SECOND,
};

/** True for zones whose offset never changes and is written out; names of places need a database. */
export function isExactZone(zone: string): boolean {
  return zone === "" || zone === "UTC" || ZONE.test(zone);
}

/** Seconds that a zone is ahead of UTC. */
export function zoneOffset(zone: string): number {
  const [, sign, hours, minutes] = ZONE.exec(zone) ?? [];
  if (sign === undefined) return 0;
  return (Number(hours) * 3600 + Number(minutes) * 60) * (sign === "-" ? -1 : 1);
}

/** `timestamp(int)`: seconds since 1970. */
export function secondsToTimestamp(seconds: Integer, place: Place): bigint {
  return checkedTimestamp(BigInt(seconds) * SECOND, place);
}

/** `int(timestamp)`: whole seconds since 1970, rounded down. */
export function timestampToSeconds(timestamp: bigint): Integer {
  return Number(floorDivide(timestamp, SECOND));
}

/** `timestamp(string)`: RFC 3339. Other forms that C++ would read are refused. */
export function textToTimestamp(text: string, place: Place): bigint {
  const match = TIMESTAMP.exec(text);
  if (!match) throw new Refusal(`"${text.slice(0, 40)}" is not a time as in RFC 3339`, place);
  const [year, month, date, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [fraction, sign, zoneHour, zoneMinute] = match.slice(7);
  const offset = (Number(zoneHour ?? 0) * 3600 + Number(zoneMinute ?? 0) * 60) * (sign === "-" ? -1 : 1);
  const isTime = hour < 24 && minute < 60 && second <= 60 && Number(zoneHour ?? 0) < 24 && Number(zoneMinute ?? 0) < 60;
  if (!isTime || month < 1 || month > 12 || date < 1 || date > daysOfMonth(year, month)) {
    throw new Fault(`"${text}" is no time`, place);
  }
  const seconds = daysBefore(year, month, date) * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
  // A leap second is the start of the next minute, whatever its fraction.
  const nanos = second === 60 ? 0n : BigInt((fraction ?? "").padEnd(9, "0"));
  return checkedTimestamp(BigInt(seconds) * SECOND + nanos, place);
}

/** `string(timestamp)`. */
export function timestampToText(timestamp: bigint): string {
  const { year, month, date, daySeconds, nanos } = civil(timestamp, 0);
  const two = (part: number): string => String(part).padStart(2, "0");
  const day = `${String(year).padStart(4, "0")}-${two(month)}-${two(date)}`;
  const [hour, minute, second] = [daySeconds / 3600, daySeconds / 60 % 60, daySeconds % 60].map(Math.floor);
  return `${day}T${two(hour!)}:${two(minute!)}:${two(second!)}${fractionText(nanos)}Z`;
}

/** `duration(string)`: numbers with units, such as `1h30m` or `-1.5s`. */
export function textToDuration(text: string, place: Place): bigint {
  const match = DURATION.exec(/^[+-]?0$/.test(text) ? "0s" : text);
  if (!match) throw new Fault(`"${text.slice(0, 40)}" is no duration`, place);
  let total = 0n;
  for (const [, whole, fraction = "", unit] of match[2]!.matchAll(/(\d*)\.?(\d*)(ns|us|ms|s|m|h)/g)) {
    const scale = 10n ** BigInt(fraction.length);
    const parts = BigInt(fraction || "0") * UNITS[unit!]!;
    if (fraction.length > 15 || parts % scale !== 0n) {
      throw new Refusal("a duration must not have parts of nanoseconds", place);
    }
    if (!isInt64(BigInt(whole || "0"))) throw new Fault(`"${text.slice(0, 40)}" is no duration`, place);
    total += BigInt(whole || "0") * UNITS[unit!]! + parts / scale;
  }
  if (total > DURATION_MAX) throw new Fault("the duration is longer than 10,000 years", place);
  return match[1] === "-" ? -total : total;
}

/** `string(duration)`. */
export function durationToText(duration: bigint): string {
  const size = duration < 0n ? -duration : duration;
  return `${duration < 0n ? "-" : ""}${size / SECOND}${fractionText(Number(size % SECOND))}s`;
}

/** Sum of two durations, or their difference. */
export function addDurations(a: bigint, b: bigint, place: Place): bigint {
  const sum = shortDuration(a, place) + shortDuration(b, place);
  if (!isInt64(sum)) throw new Fault("integer overflow", place);
  return sum;
}

/** A timestamp, moved by a duration. */
export function addToTimestamp(timestamp: bigint, duration: bigint, place: Place): bigint {
  return checkedTimestamp(timestamp + shortDuration(duration, place), place);
}

/** What lies between two timestamps. */
export function timeBetween(later: bigint, earlier: bigint, place: Place): bigint {
  const between = later - earlier;
  if (!isInt64(between)) throw new Fault("integer overflow", place);
  return shortDuration(between, place);
}

/** A part of a timestamp, `offset` seconds ahead of UTC. */
export function timestampPart(name: string, timestamp: bigint, offset: number): number {
  const { year, month, date, days, daySeconds, nanos } = civil(timestamp, offset);
  switch (name) {
    case "getFullYear":
      return year;
    case "getMonth":
      return month - 1;
    case "getDate":
      return date;
    case "getDayOfMonth":
      return date - 1;
    case "getDayOfWeek":
      return modulo(days + 4, 7);
    case "getDayOfYear":
      return days - daysBefore(year, 1, 1);
    case "getHours":
      return Math.floor(daySeconds / 3600);
    case "getMinutes":
      return Math.floor(daySeconds / 60) % 60;
    case "getSeconds":
      return daySeconds % 60;
    default:
      return Math.floor(nanos / 1_000_000);
  }
}

/** A duration in whole units, rounded towards zero; its milliseconds are those beyond full seconds. */
export function durationPart(name: string, duration: bigint): Integer {
  if (name === "getMilliseconds") return canonical(duration / 1_000_000n % 1000n);
  return canonical(duration / UNITS[name[3]!.toLowerCase()]!);
}

function checkedTimestamp(nanos: bigint, place: Place): bigint {
  if (nanos < TIMESTAMP_MIN || nanos > TIMESTAMP_MAX) throw new Fault("timestamp overflow", place);
  return nanos;
}

function shortDuration(duration: bigint, place: Place): bigint {
  // The least number of 64 bits stands for anything below it as well.
  if (isInt64(duration) && isInt64(-duration)) return duration;
  throw new Refusal("there is no exact arithmetic with durations of more than 292 years", place);
}

interface CivilTime {
  readonly year: number;
  readonly month: number;
  readonly date: number;
  /** Since 1970. */
  readonly days: number;
  readonly daySeconds: number;
  readonly nanos: number;
}

function civil(timestamp: bigint, offset: number): CivilTime {
  const wholeSeconds = floorDivide(timestamp, SECOND);
  const nanos = Number(timestamp - wholeSeconds * SECOND);
  const seconds = Number(wholeSeconds) + offset;
  const days = Math.floor(seconds / DAY_SECONDS);
  // Years from March on, in eras of 400 years: the day that leap years add is their last.
  const marchDays = days + 719_468;
  const era = Math.floor(marchDays / 146_097);
  const dayOfEra = marchDays - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const date = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return { year, month, date, days, daySeconds: seconds - days * DAY_SECONDS, nanos };
}

/** Days from 1970 to a date, the opposite of the above. */
function daysBefore(year: number, month: number, date: number): number {
  const marchYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + date - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function daysOfMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** A fraction of a second with as many groups of three digits as it needs. */
function fractionText(nanos: number): string {
  if (nanos === 0) return "";
  const digits = String(nanos).padStart(9, "0");
  return "." + digits.slice(0, nanos % 1_000_000 === 0 ? 3 : nanos % 1000 === 0 ? 6 : 9);
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}

function modulo(a: number, b: number): number {
  return ((a % b) + b) % b;
}
