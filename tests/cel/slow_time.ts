/**
 * Times for the slow evaluator: bigint nanoseconds, and calendars by `Date`.
 * @module
 */
import { SlowFailure } from "./slow_failure.ts";

const BILLION = 1_000_000_000n;

/** `timestamp(x)`. */
export function toTimestamp(value: unknown, type: string): bigint {
  if (type === "timestamp") return value as bigint;
  if (type === "int") return inYears(value as bigint * BILLION);
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(?:\.(\d{1,9}))?Z$/.exec(value as string);
  if (!match) throw new SlowFailure("no timestamp", true);
  const isLeap = match[2] === "60";
  const seconds = BigInt(new Date(`${match[1]}${isLeap ? "59" : match[2]}Z`).getTime()) / 1000n;
  return inYears((seconds + (isLeap ? 1n : 0n)) * BILLION + (isLeap ? 0n : BigInt((match[3] ?? "0").padEnd(9, "0"))));
}

/** `duration(x)`. */
export function toDuration(value: unknown, type: string): bigint {
  if (type === "duration") return value as bigint;
  const text = (value as string).replace("-", "");
  if (!/^([\d.]+[a-z]+)+$/.test(text)) throw new SlowFailure("no duration", true);
  let total = 0n;
  for (const [, number, unit] of text.matchAll(/([\d.]+)([a-z]+)/g)) {
    const [whole, fraction = ""] = number!.split(".");
    const size = { ns: 1n, us: 1000n, ms: 1_000_000n, s: BILLION, m: 60n * BILLION, h: 3600n * BILLION }[unit!]!;
    total += BigInt(whole! + fraction) * size / 10n ** BigInt(fraction.length);
  }
  return (value as string).startsWith("-") ? -total : total;
}

/** `string(x)` of a timestamp. */
export function timestampText(timestamp: bigint): string {
  const start = dateOf(timestamp).toISOString().slice(0, 19);
  return `${start}${fraction(((timestamp % BILLION) + BILLION) % BILLION)}Z`;
}

/** `string(x)` of a duration. */
export function durationText(duration: bigint): string {
  const size = duration < 0n ? -duration : duration;
  return `${duration < 0n ? "-" : ""}${size / BILLION}${fraction(size % BILLION)}s`;
}

/** Sums and differences of times. */
export function addTimes(name: string, types: readonly string[], [a, b]: readonly bigint[]): bigint {
  types.forEach((type, i) => {
    if (type === "duration" && BigInt.asIntN(64, [a, b][i]!) !== [a, b][i]) throw new SlowFailure("too long", true);
  });
  const result = name === "+" ? a! + b! : a! - b!;
  if (types.includes("timestamp") && !types.every((type) => type === "timestamp")) return inYears(result);
  if (BigInt.asIntN(64, result) !== result) throw new SlowFailure("overflow");
  return result;
}

/** Parts of times. */
export function partOf(name: string, type: string, [value, zone = "+00:00"]: readonly unknown[]): bigint {
  const time = value as bigint;
  if (type === "duration") {
    const milliseconds = time / 1_000_000n;
    return {
      getHours: milliseconds / 3_600_000n,
      getMinutes: milliseconds / 60_000n,
      getSeconds: milliseconds / 1000n,
      getMilliseconds: milliseconds % 1000n,
    }[name]!;
  }
  const sign = /^([+-])(\d\d):(\d\d)$/.exec(zone as string);
  const minutes = sign ? Number(`${sign[1]}1`) * (Number(sign[2]) * 60 + Number(sign[3])) : 0;
  const date = new Date(dateOf(time).getTime() + minutes * 60_000);
  const yearStart = new Date(date);
  yearStart.setUTCMonth(0, 1);
  return BigInt(
    {
      getFullYear: date.getUTCFullYear(),
      getMonth: date.getUTCMonth(),
      getDate: date.getUTCDate(),
      getDayOfMonth: date.getUTCDate() - 1,
      getDayOfWeek: date.getUTCDay(),
      getDayOfYear: Math.round((date.getTime() - yearStart.getTime()) / 86_400_000),
      getHours: date.getUTCHours(),
      getMinutes: date.getUTCMinutes(),
      getSeconds: date.getUTCSeconds(),
      getMilliseconds: date.getUTCMilliseconds(),
    }[name]!,
  );
}

/** Rounded down to milliseconds. */
function dateOf(timestamp: bigint): Date {
  const milliseconds = timestamp / 1_000_000n;
  return new Date(Number(timestamp % 1_000_000n < 0n ? milliseconds - 1n : milliseconds));
}

function fraction(nanos: bigint): string {
  const digits = String(nanos).padStart(9, "0").replace(/(?:000)+$/, "");
  return digits === "" ? "" : `.${digits}`;
}

function inYears(timestamp: bigint): bigint {
  const [least, most] = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"].map((text) => BigInt(Date.parse(text)));
  if (timestamp < least! * 1_000_000n || timestamp >= (most! + 1000n) * 1_000_000n) throw new SlowFailure("overflow");
  return timestamp;
}
