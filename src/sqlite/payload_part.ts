/**
 * Copies parts of rows, with or without an overflow chain.
 * @module
 */
import { feed, PayloadCopy } from "./overflow.ts";
import { copyOf, type Payload, type TreeShape } from "./tree_shape.ts";

/** Copies a part of a payload; returns a promise only when a page is not at hand. */
export function copyPart(
  shape: TreeShape,
  payload: Payload,
  part: { readonly span: readonly [from: number, length: number]; readonly signal: AbortSignal | undefined },
): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  const [from, length] = part.span;
  if (from + length <= payload.localBytes) {
    const start = payload.start + from;
    return copyOf(payload.bytes, start, start + length);
  }
  const copy = new PayloadCopy(shape, payload, part.span);
  return feed(shape, copy, part.signal)?.then(() => copy.bytes) ?? copy.bytes;
}
