/**
 * Errors as plain data, as threads send them: `structuredClone` keeps neither class nor fields.
 * @module
 */
import * as errors from "../../errors.ts";
import { ShardyfusionError } from "../../errors.ts";

/** An error that was taken apart. */
export interface ErrorData {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** The fields of our own errors, `code` among them; null for those of others. */
  readonly fields: Readonly<Record<string, unknown>> | null;
  readonly cause: ErrorData | undefined;
}

/** Causes of causes are kept so deep: an error may be its own cause. */
const CAUSES_MAX = 8;

/** Takes an error apart. What was thrown may be anything. */
export function toErrorData(thrown: unknown, depth: number = 0): ErrorData {
  if (!(thrown instanceof Error)) {
    return { name: "Error", message: String(thrown), stack: undefined, fields: null, cause: undefined };
  }
  const { name, message, stack, cause } = thrown;
  return {
    name,
    message,
    stack,
    fields: thrown instanceof ShardyfusionError ? cloneableFields(thrown) : null,
    cause: cause === undefined || depth === CAUSES_MAX ? undefined : toErrorData(cause, depth + 1),
  };
}

/** An error of the same class with the same fields; errors of others become an `Error` of that name. */
export function fromErrorData({ name, message, stack, fields, cause }: ErrorData): Error {
  const error = fields === null ? new Error(message) : ownError(name, message);
  Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
  if (cause !== undefined) {
    Object.defineProperty(error, "cause", { value: fromErrorData(cause), configurable: true, writable: true });
  }
  if (stack !== undefined) error.stack = stack;
  return Object.assign(error, fields);
}

/** Data fields are the enumerable ones; a field that cannot be cloned comes as text. */
function cloneableFields(error: ShardyfusionError): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(error).filter(([key]) => key !== "cause").map((
      [key, value],
    ) => [key, isPlain(value) ? value : String(value)]),
  );
}

function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  return value === null || ["string", "number", "bigint", "boolean", "undefined"].includes(typeof value);
}

/** The prototype makes `instanceof` true; the fields come from the data. */
function ownError(name: string, message: string): Error {
  const ours = (errors as unknown as Record<string, { readonly prototype: object } | undefined>)[name];
  const error = new Error(message);
  if (ours?.prototype instanceof ShardyfusionError) Object.setPrototypeOf(error, ours.prototype);
  return error;
}
