/**
 * Bytes as text: in hex and Base64.
 * @module
 */

/** How keys are written in URLs and JSON; `text` is decimal for whole numbers, and UTF-8 for others. */
export const KEY_TEXTS = Object.freeze(["text", "hex", "base64url"] as const);

/** One of them. */
export type KeyText = typeof KEY_TEXTS[number];

/** What newer runtimes have. */
interface Base64Bytes {
  toBase64?(options?: { alphabet?: "base64url"; omitPadding?: boolean }): string;
}

const CHARS_AT_ONCE = 1 << 13;

/** Base64 with padding. */
export function base64Of(bytes: Uint8Array): string {
  const native = bytes as Base64Bytes;
  if (native.toBase64 !== undefined) return native.toBase64();
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHARS_AT_ONCE) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHARS_AT_ONCE));
  }
  return btoa(binary);
}

/** Base64 with the alphabet for URLs, without padding. */
export function base64UrlOf(bytes: Uint8Array): string {
  return base64Of(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Lower-case hex. */
export function hexOf(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += (byte < 16 ? "0" : "") + byte.toString(16);
  return hex;
}

/** The bytes of a text in hex or base64url; null when it is none. */
export function bytesOfText(text: string, form: "hex" | "base64url"): Uint8Array | null {
  if (form === "hex") {
    if (!/^(?:[0-9a-f]{2})*$/i.test(text)) return null;
    return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
  }
  const unpadded = text.replace(/=+$/, "");
  if (!/^[A-Za-z0-9_-]*$/.test(unpadded) || unpadded.length % 4 === 1) return null;
  const binary = atob(unpadded.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

/** UTF-8 as text; null when the bytes are none. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
