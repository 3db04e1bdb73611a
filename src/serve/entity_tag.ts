/**
 * ETags: one for all that a snapshot says, so that clients know without asking again what is still true.
 * @module
 */
import { xxh3Hex } from "../bytes/xxh3.ts";

/** Tag of a snapshot, in quotes. It tells snapshots apart and nothing about where they lie. */
export function tagOf(manifestRef: string): string {
  return `"${xxh3Hex(new TextEncoder().encode(manifestRef))}"`;
}

/** The tag of one of several forms of the same thing. */
export function tagOfForm(tag: string, form: string): string {
  return `${tag.slice(0, -1)}-${form}"`;
}

/** Whether a client that sent this `If-None-Match` has what the tag stands for; `*` counts only if `isThere`. */
export function isKnown(ifNoneMatch: string | null, tag: string, isThere = false): boolean {
  if (ifNoneMatch === null) return false;
  if (ifNoneMatch === tag) return true;
  if (ifNoneMatch.trim() === "*") return isThere;
  return ifNoneMatch.split(",").some((part) => part.trim().replace(/^W\//, "") === tag);
}
