/**
 * Who may ask: bearer tokens (RFC 6750), compared in a time that tells nothing.
 * @module
 */
import { Problem } from "./problems.ts";

const CHALLENGE = 'Bearer realm="snapshot"';

/** Lets requests pass that need no token or bring one. */
export class TokenGuard {
  readonly #tokens: readonly string[];
  readonly #paths: "all" | readonly string[];

  constructor(tokens: readonly string[], paths: "all" | readonly string[]) {
    this.#tokens = tokens;
    this.#paths = paths === "all" ? paths : paths.map((path) => path.replace(/\/+$/, ""));
  }

  /** @throws {Problem} 401 when a token is needed and was not brought. */
  check(path: string, headers: Headers): void {
    if (this.#tokens.length === 0 || !this.#needsToken(path)) return;
    const given = headers.get("authorization");
    if (given === null) {
      throw new Problem(401, "A bearer token is needed", { headers: { "www-authenticate": CHALLENGE } });
    }
    const token = /^bearer +(\S+)$/i.exec(given.trim())?.[1] ?? "";
    let isRight = false;
    // All of them, so that the time does not tell which one was nearly right.
    for (const expected of this.#tokens) isRight = isSameSecret(token, expected) || isRight;
    if (isRight) return;
    throw new Problem(401, "The bearer token is wrong", {
      headers: { "www-authenticate": `${CHALLENGE}, error="invalid_token"` },
    });
  }

  #needsToken(path: string): boolean {
    if (this.#paths === "all") return true;
    return this.#paths.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
  }
}

/** Takes as long for a wrong text as for the right one, whatever they have in common. */
export function isSameSecret(given: string, expected: string): boolean {
  let difference = given.length ^ expected.length;
  for (let i = 0; i < expected.length; i++) {
    // Of an empty text there is no character; NaN counts as 0.
    difference |= expected.charCodeAt(i) ^ given.charCodeAt(i % given.length);
  }
  return difference === 0;
}
