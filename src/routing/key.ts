/**
 * Keys: their types, how they are stored, and which bytes of them are hashed (WIRE_FORMATS 7 and 8).
 * @module
 */

/** A key as callers give it. A `number` must be a safe integer. */
export type Key = number | bigint | string | Uint8Array;

/** How keys are stored: 8 or 4 bytes big-endian, UTF-8, or as they are. */
export type KeyEncoding = "u64be" | "u32be" | "utf8" | "raw";
