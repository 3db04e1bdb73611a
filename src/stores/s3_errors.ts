/**
 * What an S3 client throws, as our errors.
 * @module
 */
import { ConfigValidationError, ShardyfusionError, StoreError } from "../errors.ts";
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

const RETRYABLE_NAMES = /timeout|slowdown|throttl|requestlimit|internalerror|serviceunavailable|conflict|networking/i;
const RETRYABLE_CODES =
  /^(ECONN|EPIPE|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|UND_ERR|ConnectionRefused)/;

/**
 * The error to throw for what the client threw.
 *
 * | answer | error |
 * | --- | --- |
 * | 404 | `ObjectNotFoundError`; `PreconditionFailedError` for a write that demanded a version |
 * | 412 | `PreconditionFailedError` |
 * | 409, 429, 5xx, time-out, no answer | `StoreError`, retryable |
 * | 403 and all else | `StoreError` |
 */
export function s3Error(cause: unknown, request: FailedRequest): unknown {
  const { verb, url, precondition, signal } = request;
  if (signal?.aborted) return signal.reason;
  if (cause instanceof ShardyfusionError) return cause;
  const { name = "", message = String(cause), code = "", $metadata } = cause as {
    name?: string;
    message?: string;
    code?: string;
    $metadata?: { httpStatusCode?: number };
  };
  if (name === "CredentialsProviderError") {
    return new ConfigValidationError(
      `Cannot ${verb} "${url}" as there are no credentials: give the option \`credentials\` or set AWS_ACCESS_KEY_ID`,
      "credentials",
      { cause },
    );
  }
  const status = $metadata?.httpStatusCode;
  if (status === 412) return preconditionError(url, precondition, { found: "it is in another state", cause });
  if (status === 404) {
    if (precondition !== undefined && "ifMatch" in precondition) {
      return preconditionError(url, precondition, { found: "there is no object", cause });
    }
    if (name !== "NoSuchBucket") return notFoundError(url, cause);
  }
  const isTransient = status === undefined
    ? RETRYABLE_CODES.test(code) || RETRYABLE_NAMES.test(name) || cause instanceof TypeError
    : status >= 500 || status === 429 || status === 409 || status === 408;
  const hint = status === 403 ? ": access was denied; check the credentials and the bucket's policy" : `: ${message}`;
  return new StoreError(`Cannot ${verb} "${url}"${hint}`, {
    url,
    retryable: isTransient || RETRYABLE_NAMES.test(name),
    cause,
    ...(status === undefined ? {} : { status }),
  });
}
