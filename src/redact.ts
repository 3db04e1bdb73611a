/**
 * Strikes secrets out of texts that others wrote, before they become part of an error, a log or an event.
 * @module
 */

const HIDDEN = "***";

/** Names of what is secret in queries, headers and settings: of S3, Google's and Azure's signed URLs, of databases. */
const SECRET_NAMES = [
  ...["signature", "sig", "credential", "awsaccesskeyid", "authorization", "password", "passwd", "secret"],
  ...["(?:aws_?)?secret_?access_?key", "(?:security|session|access|auth|refresh)[-_]?token"],
].join("|");

/** `https://user:password@host`: from `//` to the last `@` before the host ends. */
const USER_INFO = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/gi;
const NAMED = new RegExp(`(?<![a-z])(${SECRET_NAMES})(["']?\\s*[=:]\\s*["']?)[^\\s&"',;<>]+`, "gi");
const SCHEMES = /\b(Bearer|Basic)\s+[\w.~+/=-]{16,}/gi;

/**
 * The text without user names and passwords in URLs, signatures in queries, values of headers and settings that are
 * named as secrets. Finds what has the form of a secret; a bare key without a name cannot be told from other words.
 *
 * @example
 * ```ts
 * import { redacted } from "./redact.ts";
 *
 * const text = redacted("GET https://me:pw@host/a?X-Amz-Signature=00ff&part=1 failed");
 * if (text !== "GET https://***@host/a?X-Amz-Signature=***&part=1 failed") throw new Error(text);
 * ```
 */
export function redacted(text: string): string {
  return text.replace(USER_INFO, `$1${HIDDEN}@`).replace(SCHEMES, `$1 ${HIDDEN}`).replace(NAMED, `$1$2${HIDDEN}`);
}
