/**
 * The beginning of a value, as somebody can read it.
 * @module
 */

/** The beginning of a value. */
export interface ValuePreview {
  readonly sizeBytes: number;
  /** `json` is indented text, `bytes` is hex digits. */
  readonly kind: "json" | "text" | "bytes";
  readonly text: string;
  /** Whether there is more. */
  readonly isCut: boolean;
}

const TEXT_BYTES_MAX = 8192;
const HEX_BYTES_MAX = 512;

/** Shows a value: as JSON if it is, as text if it is UTF-8, else in hex digits. */
export function valuePreview(value: Uint8Array): ValuePreview {
  const sizeBytes = value.byteLength;
  const isCut = sizeBytes > TEXT_BYTES_MAX;
  const text = textOf(value.subarray(0, TEXT_BYTES_MAX), isCut);
  if (text === null) {
    const shown = value.subarray(0, HEX_BYTES_MAX);
    const digits = Array.from(shown, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    return { sizeBytes, kind: "bytes", text: digits, isCut: sizeBytes > HEX_BYTES_MAX };
  }
  const json = isCut ? null : jsonOf(text);
  return { sizeBytes, kind: json === null ? "text" : "json", text: json ?? text, isCut };
}

/** The text; null where the bytes are none. A letter that was cut in two at the end is left out. */
function textOf(bytes: Uint8Array, isCut: boolean): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isCut });
    // deno-lint-ignore no-control-regex -- these are what tells bytes from text
    return /[\x00-\x08\x0e-\x1f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** Objects and arrays, indented; null where it is none, or has numbers that would come out as others. */
function jsonOf(text: string): string | null {
  if (!/^\s*[[{]/.test(text) || /\d{16}/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}
