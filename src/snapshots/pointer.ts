/**
 * The pointer to the current manifest, `_CURRENT`: compact JSON with sorted names (WIRE_FORMATS 4).
 *
 * ```text
 * format_version         1; not checked on reading
 * generation             ours: raised by every publish and roll back
 * manifest_content_type  application/x-sqlite3; not checked on reading
 * manifest_ref           URL of the manifest
 * previous               ours: refs of the manifests before it, newest first, at most 10
 * run_id                 run that made the manifest
 * updated_at             date-time
 * ```
 *
 * Pointers that the Python package wrote lack our two fields, and it ignores them in ours.
 * @module
 */
import { dumpJson, type JsonObject, type JsonValue } from "../bytes/python_json.ts";
import { jsonStamp } from "../bytes/timestamps.ts";
import { isJsonObject, jsonOf, type Kind, readerOf, refusing, stamp, text } from "./checked_fields.ts";
import type { CurrentPointer } from "./manifest_store.ts";

/** Content type of manifests, as the store and the pointer record it. */
export const MANIFEST_CONTENT_TYPE = "application/x-sqlite3";
/** Content type of the pointer itself. */
export const POINTER_CONTENT_TYPE = "application/json";
/** How many refs of earlier manifests a pointer carries. */
export const PREVIOUS_REFS_MAX = 10;
/** A pointer needs about 5 KB; what is much larger is no pointer and is not read. */
export const POINTER_BYTES_MAX = 1 << 20;

const wholeNumber: Kind<true> = [
  "a whole number",
  (value) =>
    typeof value === "bigint" || Number.isInteger(value) || (typeof value === "string" && /^-?\d+$/.test(value)) ||
    undefined,
];

/** Where a pointer was read. */
export interface PointerSource {
  /** URL of the pointer, for errors. */
  readonly ref: string;
  /** Version of the object; null when the store gave none. */
  readonly version: string | null;
}

/**
 * Reads a pointer. Fields that are not known are ignored.
 *
 * @throws {ManifestParseError} when it is no JSON object, or lacks a field that every pointer has.
 *
 * @example
 * ```ts
 * import { parsePointer, renderPointer } from "./pointer.ts";
 *
 * const pointer = { ref: "s3://b/p/manifests/m/m", runId: "r", publishedAtMicros: 0, generation: 1, previous: [] };
 * const read = parsePointer(renderPointer(pointer), { ref: "s3://b/p/_CURRENT", version: null });
 * if (read.ref !== pointer.ref || read.generation !== 1) throw new Error("unexpected pointer");
 * ```
 */
export function parsePointer(bytes: Uint8Array, { ref, version }: PointerSource): CurrentPointer {
  const refuse = refusing("pointer", ref);
  const fields = jsonOf(utf8Text(bytes)) ?? null;
  if (!isJsonObject(fields)) return refuse("it must be a JSON object", "");
  const field = readerOf(fields, refuse, "");
  if (fields["format_version"] !== undefined) field("format_version", wholeNumber);
  field("manifest_content_type", text);
  return {
    ref: field("manifest_ref", text),
    runId: field("run_id", text),
    publishedAtMicros: field("updated_at", stamp),
    generation: generationOf(fields["generation"]),
    previous: previousOf(fields["previous"]),
    version,
  };
}

/**
 * Renders a pointer as the Python package does; our own fields are left out when they are null.
 *
 * @throws {RangeError} when the time is outside of what dates can hold.
 */
export function renderPointer(pointer: Omit<CurrentPointer, "version">): Uint8Array<ArrayBuffer> {
  const { ref, runId, publishedAtMicros, generation, previous } = pointer;
  const fields: JsonObject = {
    "format_version": 1,
    "manifest_content_type": MANIFEST_CONTENT_TYPE,
    "manifest_ref": ref,
    "run_id": runId,
    "updated_at": jsonStamp(publishedAtMicros),
    ...(generation === null ? {} : { generation }),
    ...(previous === null ? {} : { previous: previous.slice(0, PREVIOUS_REFS_MAX) }),
  };
  return new TextEncoder().encode(dumpJson(fields, { compact: true, path: "pointer" }));
}

/** Undefined when the bytes are no UTF-8. */
function utf8Text(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Another program may use the name for something else: what is no generation of ours counts as absent. */
function generationOf(value: JsonValue | undefined): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function previousOf(value: JsonValue | undefined): readonly string[] | null {
  if (!Array.isArray(value) || !value.every((ref) => typeof ref === "string")) return null;
  return value.slice(0, PREVIOUS_REFS_MAX);
}
