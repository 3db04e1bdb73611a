/**
 * JSON with whole numbers of any size, rendered exactly as Python's `json.dumps` does.
 * @module
 */

/** A value of JSON. Whole numbers beyond 2^53 are bigint; `parseJson` gives bigint for those only. */
export type JsonValue = null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject;

/** An object of JSON. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}
