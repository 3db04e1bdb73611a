/**
 * What an S3 client throws, as our errors.
 * @module
 */
import { ConfigValidationError, ShardyfusionError, StoreError } from "../errors.ts";
import { redacted } from "../redact.ts";
import type { Precondition } from "./store.ts";
import { notFoundError, preconditionError } from "./stored_object.ts";

/** What a failing request was. */
export interface FailedRequest {
  /** What could not be done: `read`, `write`, `list`, `delete`. */
  readonly verb: string;
  readonly url: string;
  readonly precondition?: Precondition | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface ClientError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly stack?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

const RETRYABLE_NAMES = /timeout|slowdown|throttl|requestlimit|internalerror|serviceunavailable|conflict|networking/i;
const RETRYABLE_CODES =
  /^(ECONN|EPIPE|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|UND_ERR|ConnectionRefused|ConnectionClosed)/;

/**
 * The error to throw for what the client threw.
 *
 * | answer | error |
 * | --- | --- |
 * | 404 | `ObjectNotFoundError`; `PreconditionFailedError` for a write that demanded a version |
 * | 404 without bucket or multipart upload | `StoreError` |
 * | 412 | `PreconditionFailedError` |
 * | 409, 429, 5xx, time-out, no answer | `StoreError`, retryable |
 * | 403 and all else | `StoreError` |
 */
export function s3Error(thrown: unknown, request: FailedRequest): unknown {
  const { verb, url, precondition, signal } = request;
  if (signal?.aborted) return signal.reason;
  if (thrown instanceof ShardyfusionError) return thrown;
  const { name = "", code = "", $metadata } = thrown as ClientError;
  const message = redacted((thrown as ClientError).message ?? String(thrown));
  const cause = causeOf(thrown as ClientError);
  if (name === "CredentialsProviderError") {
    return new ConfigValidationError(
      `Cannot ${verb} "${url}" as there are no credentials: give the option \`credentials\` or set AWS_ACCESS_KEY_ID`,
      "credentials",
      { cause },
    );
  }
  const status = $metadata?.httpStatusCode;
  if (status === 412) return preconditionError(url, precondition, { found: "it is in another state", cause });
  if (status === 404 && name !== "NoSuchBucket" && name !== "NoSuchUpload") {
    const demandsVersion = precondition !== undefined && "ifMatch" in precondition;
    return demandsVersion
      ? preconditionError(url, precondition, { found: "there is no object", cause })
      : notFoundError(url, cause);
  }
  const isTransient = status === undefined
    ? RETRYABLE_CODES.test(code) || thrown instanceof TypeError
    : status >= 500 || status === 429 || status === 409 || status === 408;
  const reason = status === 403 ? `access was denied (${name}); check credentials and the bucket's policy` : message;
  return new StoreError(`Cannot ${verb} "${url}": ${reason}`, {
    url,
    retryable: isTransient || RETRYABLE_NAMES.test(name) || name === "NoSuchUpload",
    cause,
    ...(status === undefined ? {} : { status }),
  });
}

/** Whether the store refused a conditional write only because of another one at the same moment. */
export function isConcurrentWrite(thrown: unknown): boolean {
  const { name, $metadata } = thrown as ClientError;
  return name === "ConditionalRequestConflict" || $metadata?.httpStatusCode === 409;
}

/**
 * A copy of what was thrown, with what tells a person what happened and nothing else: answers to wrongly signed
 * requests repeat what was signed, session tokens included, and the client's errors carry those answers.
 */
function causeOf({ name, message, code, stack }: ClientError): Error {
  const cause = new Error(message && redacted(message));
  cause.name = name ?? "Error";
  if (stack !== undefined) cause.stack = redacted(stack);
  return code === undefined ? cause : Object.assign(cause, { code });
}
