/**
 * From what somebody typed to the key and the columns that a snapshot has.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { Key, KeyEncoding } from "../routing/key.ts";
import { columnsOfTexts, keyOfText } from "../routing/key_text.ts";
import type { RoutingColumns, RoutingSpec } from "../routing/router.ts";

/** Longer keys are not looked up; the text of one, or its hex digits. */
const TEXT_MAX = 4096;

/** A key as it was typed. */
export interface TypedKey {
  readonly text: string;
  /** Whether the text is the key's bytes in hex digits. Only for keys that are bytes. */
  readonly isHex: boolean;
}

/**
 * The key that a text stands for.
 *
 * @throws {ConfigValidationError} when it is none for this encoding.
 */
export function typedKey({ text, isHex }: TypedKey, encoding: KeyEncoding): Key {
  if (text.length > TEXT_MAX) throw refusal(text, `must have at most ${TEXT_MAX} characters`);
  return isHex && encoding === "raw" ? hexBytes(text) : keyOfText(text, encoding);
}

/**
 * The columns of a routing expression, from texts such as `region=eu`; undefined where there are none.
 *
 * @throws {ConfigValidationError} when one has no `=`, or is too long.
 */
export function typedColumns(pairs: readonly string[], routing: RoutingSpec): RoutingColumns | undefined {
  if (pairs.length === 0 || routing.strategy !== "cel") return undefined;
  const typed = pairs.map((pair): [name: string, text: string] => {
    const at = pair.indexOf("=");
    if (at > 0 && pair.length <= TEXT_MAX) return [pair.slice(0, at), pair.slice(at + 1)];
    throw new ConfigValidationError(`Cannot use column ${shown(pair)} as it must be NAME=VALUE`, "column");
  });
  return columnsOfTexts(typed, routing);
}

function hexBytes(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, "").replace(/^0x/i, "");
  if (digits === "" || !/^(?:[0-9a-f]{2})+$/i.test(digits)) throw refusal(text, "must be pairs of hex digits");
  return Uint8Array.from(digits.match(/../g)!, (pair) => Number.parseInt(pair, 16));
}

function refusal(text: string, requirement: string): ConfigValidationError {
  return new ConfigValidationError(`Cannot look up key ${shown(text)} as it ${requirement}`, "key");
}
