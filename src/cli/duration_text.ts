/**
 * Durations as typed on the command line: `7d`, `24h`.
 * @module
 */
import { UsageError } from "./cli_errors.ts";
import { type OptionTexts, textOption } from "./option_values.ts";

const UNITS_MS: Readonly<Record<string, number>> = Object.freeze({ d: 86_400_000, h: 3_600_000 });

/**
 * An option that takes a duration, in milliseconds; undefined when it was not given.
 *
 * @throws {UsageError} when it is no whole number with the unit `d` or `h`.
 */
export function durationOption(options: OptionTexts, flag: string): number | undefined {
  const text = textOption(options, flag);
  if (text === undefined) return undefined;
  const [, digits, unit = ""] = /^(\d+)(.)$/u.exec(text.trim()) ?? [];
  if (digits === undefined) {
    throw new UsageError(`Invalid value: Invalid duration: '${text}' (expected e.g. 7d, 24h)`);
  }
  const unitMs = Object.hasOwn(UNITS_MS, unit) ? UNITS_MS[unit] : undefined;
  if (unitMs !== undefined) return Number(digits) * unitMs;
  throw new UsageError(`Invalid value: Unknown duration unit '${unit}' in '${text}' (use 'd' or 'h')`);
}
