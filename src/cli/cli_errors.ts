/**
 * How commands end when they cannot do what they were asked.
 * @module
 */
import { redacted } from "../redact.ts";

/** The command line is wrong: usage on stderr, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";

  /** Secrets are struck out of the message: it may repeat what was typed. */
  constructor(message: string, options?: ErrorOptions) {
    super(redacted(message), options);
  }
}

/** The command cannot even begin: one plain line on stderr, exit code 1. */
export class CliError extends Error {
  override readonly name = "CliError";

  /** As above. */
  constructor(message: string, options?: ErrorOptions) {
    super(redacted(message), options);
  }
}

/** What to tell about anything that was thrown: no stack, no secrets, but the cause where it says more. */
export function messageOf(error: unknown): string {
  return redacted(fullMessageOf(error));
}

function fullMessageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = error.message || error.name;
  const { cause } = error;
  if (!(cause instanceof Error) || cause.message === "" || message.includes(cause.message)) return message;
  return `${message}: ${cause.message}`;
}
