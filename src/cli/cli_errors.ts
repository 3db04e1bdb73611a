/**
 * How commands end when they cannot do what they were asked.
 * @module
 */

/** The command line is wrong: usage on stderr, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command cannot even begin: one plain line on stderr, exit code 1. */
export class CliError extends Error {
  override readonly name = "CliError";
}

/** What to tell about anything that was thrown: no stack, but the cause where it says more. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = error.message || error.name;
  const { cause } = error;
  if (!(cause instanceof Error) || cause.message === "" || message.includes(cause.message)) return message;
  return `${message}: ${cause.message}`;
}
