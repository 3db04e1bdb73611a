/**
 * Keys in requests and in answers.
 * @module
 */
import type { JsonValue } from "../bytes/python_json.ts";
import { type Key, type KeyEncoding, logicalKey } from "../routing/key.ts";
import { columnsOfTexts, keyOfText } from "../routing/key_text.ts";
import type { RoutingColumns, RoutingSpec } from "../routing/router.ts";
import { base64UrlOf, bytesOfText, hexOf, KEY_TEXTS, type KeyText, textOf } from "./byte_text.ts";
import { Problem } from "./problems.ts";
import { isJsonObject, parsedJson } from "./request_parts.ts";

/** How keys are written; `text` when nothing is said. @throws {Problem} 400 when it is something else. */
export function keyTextOf(form: JsonValue | undefined): KeyText {
  if (form === undefined) return "text";
  const found = KEY_TEXTS.find((candidate) => candidate === form);
  if (found !== undefined) return found;
  throw new Problem(400, 'The encoding must be "text", "hex" or "base64url"');
}

/**
 * The key that a text stands for.
 *
 * @throws {ConfigValidationError} when the snapshot has no such keys.
 * @throws {Problem} 400 when it is no text of bytes.
 */
export function keyOfForm(text: string, form: KeyText, encoding: KeyEncoding): Key {
  if (form === "text") return keyOfText(text, encoding);
  if (encoding !== "raw" && encoding !== "utf8") {
    throw new Problem(400, "Keys of this snapshot are whole numbers: they are written in decimal");
  }
  const bytes = bytesOfText(text, form);
  if (bytes !== null) return bytes;
  throw new Problem(400, `The key is no ${form}`);
}

/** The same for a key in JSON, which may be a number. */
export function keyOfJson(value: JsonValue, form: KeyText, encoding: KeyEncoding): Key {
  if (typeof value === "string") return keyOfForm(value, form, encoding);
  const isWhole = typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value));
  if (isWhole && encoding !== "utf8" && encoding !== "raw") return keyOfText(String(value), encoding);
  throw new Problem(400, isWhole ? "Keys of this snapshot are strings" : "A key must be a string or a whole number");
}

/** A stored key as members of a JSON object: `"key":"5"`. Bytes that are no text have no `key`, but `keyBase64url`. */
export function keyMembers(stored: Uint8Array, form: KeyText, encoding: KeyEncoding): string {
  if (encoding === "u64be" || encoding === "u32be") return `"key":"${logicalKey(encoding, stored)}"`;
  if (form === "hex") return `"key":"${hexOf(stored)}"`;
  if (form === "base64url") return `"key":"${base64UrlOf(stored)}"`;
  const text = textOf(stored);
  return text === null ? `"key":null,"keyBase64url":"${base64UrlOf(stored)}"` : `"key":${JSON.stringify(text)}`;
}

/** The columns of a query, as JSON. @throws {Problem} 400 when they are no JSON object. */
export function columnsOfQuery(text: string | undefined, routing: RoutingSpec): RoutingColumns | undefined {
  return text === undefined ? undefined : columnsOfJson(parsedJson(text, "columns"), routing);
}

/** The columns in a body. @throws {Problem} 400 when they are no JSON object. */
export function columnsOfJson(value: JsonValue | undefined, routing: RoutingSpec): RoutingColumns | undefined {
  if (value === undefined) return undefined;
  if (!isJsonObject(value)) throw new Problem(400, "The columns must be a JSON object");
  return columnsOfTexts(Object.entries(value), routing);
}
