/**
 * Which file a sidecar belongs to: its tag, which can be changed without decoding the rest.
 * @module
 */
import { SIDECAR_PREFIX_BYTES } from "./sidecar.ts";

/** ETag of the file that a sidecar is bound to; null when it is bound to none. */
export function sidecarTag(sidecar: Uint8Array): string | null {
  const tagEnd = SIDECAR_PREFIX_BYTES + (sidecar[SIDECAR_PREFIX_BYTES - 1] ?? 0);
  return new TextDecoder().decode(sidecar.subarray(SIDECAR_PREFIX_BYTES, tagEnd)) || null;
}

/**
 * The same sidecar for a file of the same bytes under another ETag.
 *
 * @param tag With its quotes; null, or one of more than 255 bytes, leaves the sidecar unbound.
 */
export function reboundSidecar(sidecar: Uint8Array, tag: string | null): Uint8Array<ArrayBuffer> {
  let tagBytes = new TextEncoder().encode(tag ?? "");
  if (tagBytes.length > 255) tagBytes = new Uint8Array(0);
  const frame = sidecar.subarray(SIDECAR_PREFIX_BYTES + sidecar[SIDECAR_PREFIX_BYTES - 1]!);
  const bytes = new Uint8Array(SIDECAR_PREFIX_BYTES + tagBytes.length + frame.length);
  bytes.set(sidecar.subarray(0, SIDECAR_PREFIX_BYTES));
  bytes[SIDECAR_PREFIX_BYTES - 1] = tagBytes.length;
  bytes.set(tagBytes, SIDECAR_PREFIX_BYTES);
  bytes.set(frame, SIDECAR_PREFIX_BYTES + tagBytes.length);
  return bytes;
}
