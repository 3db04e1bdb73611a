/**
 * Checks of the options that only the full reader takes.
 * @module
 */
import {
  anyFunction,
  checkFields,
  type FieldCheck,
  integerFrom,
  nonEmptyString,
  numberAboveZero,
  objectOf,
  optional,
} from "../option_fields.ts";
import { type CheckedOptions, checkOptions, oneOf, type OpenSnapshotOptions, readerChecks } from "./read_options.ts";

const checks: Readonly<Record<string, FieldCheck>> = {
  ...readerChecks,
  backend: optional(objectOf("a backend such as sqliteBackend()", "spec", "openShard")),
  access: optional(oneOf("auto", "memory", "download", "range", "hydrate")),
  cacheDir: optional(nonEmptyString),
  tracer: optional(anyFunction),
  hydrate: optional(objectOf("{ bytesPerSecond?, diskBytesMax?, partBytes?, shardsAtOnce? }")),
  poolSize: optional(integerFrom(1)),
  pin: optional(pinCheck),
  rateLimit: optional(objectOf("{ keysPerSecond }")),
};

/** @throws {ConfigValidationError} naming the first wrong option. */
export function checkOpenOptions(options: OpenSnapshotOptions): CheckedOptions {
  const checked = checkOptions(options, checks);
  const { hydrate, rateLimit } = options;
  if (rateLimit !== undefined) checkFields(rateLimit, "rateLimit", { keysPerSecond: numberAboveZero });
  if (hydrate !== undefined) {
    checkFields(hydrate, "hydrate", {
      bytesPerSecond: optional(numberAboveZero),
      diskBytesMax: optional(integerFrom(0)),
      partBytes: optional(integerFrom(4096)),
      shardsAtOnce: optional(integerFrom(1)),
    });
  }
  return checked;
}

function pinCheck(value: unknown): string | null {
  const isPlace = typeof value === "object" && value !== null && Object.keys(value).length === 1;
  const { offset, runId } = (isPlace ? value : {}) as Record<string, unknown>;
  const isPin = [nonEmptyString(value), nonEmptyString(runId), integerFrom(0)(offset)].includes(null);
  return isPin ? null : "a manifest's ref, { offset } or { runId }";
}
