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
import { dumpJson, type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { jsonStamp, parseStamp } from "../bytes/timestamps.ts";
import { ManifestParseError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { CurrentPointer } from "./manifest_store.ts";

/** Content type of manifests, as the store and the pointer record it. */
export const MANIFEST_CONTENT_TYPE = "application/x-sqlite3";
/** Content type of the pointer itself. */
export const POINTER_CONTENT_TYPE = "application/json";
/** How many refs of earlier manifests a pointer carries. */
export const PREVIOUS_REFS_MAX = 10;
/** A pointer needs about 5 KB; what is much larger is no pointer and is not read. */
export const POINTER_BYTES_MAX = 1 << 20;

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
export function parsePointer(bytes: Uint8Array, source: PointerSource): CurrentPointer {
  const fields = pointerFields(bytes, source);
  const format = fields["format_version"];
  if (format !== undefined && !isInteger(format)) throw malformed(source, ["format_version", format], "a whole number");
  text(fields, "manifest_content_type", source);
  const updatedAt = text(fields, "updated_at", source);
  const publishedAtMicros = parseStamp(updatedAt);
  if (publishedAtMicros === null) throw malformed(source, ["updated_at", updatedAt], "a date-time");
  return {
    ref: text(fields, "manifest_ref", source),
    runId: text(fields, "run_id", source),
    publishedAtMicros,
    generation: generationOf(fields["generation"]),
    previous: previousOf(fields["previous"]),
    version: source.version,
  };
}

/**
 * Renders a pointer as the Python package does; `generation` and `previous` are left out when they are null.
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

function pointerFields(bytes: Uint8Array, source: PointerSource): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new ManifestParseError(`Cannot read the pointer "${source.ref}" as it must be JSON`, source.ref, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new ManifestParseError(
    `Cannot read the pointer "${source.ref}" as it must be a JSON object: current value is ${shown(value)}`,
    source.ref,
  );
}

function text(fields: JsonObject, name: string, source: PointerSource): string {
  const value = fields[name];
  if (typeof value !== "string") throw malformed(source, [name, value], "a string");
  return value;
}

function malformed(
  source: PointerSource,
  [name, value]: readonly [name: string, value: unknown],
  expected: string,
): ManifestParseError {
  const state = value === undefined ? "it is missing" : `current value is ${shown(value)}`;
  return new ManifestParseError(
    `Cannot read the pointer "${source.ref}" as its field "${name}" must be ${expected}: ${state}`,
    source.ref,
  );
}

function isInteger(value: JsonValue): boolean {
  return typeof value === "bigint" || Number.isInteger(value) || (typeof value === "string" && /^-?\d+$/.test(value));
}

/** Another program may use the name for something else: what is no generation of ours counts as absent. */
function generationOf(value: JsonValue | undefined): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function previousOf(value: JsonValue | undefined): readonly string[] | null {
  if (!Array.isArray(value) || !value.every((ref) => typeof ref === "string")) return null;
  return value.slice(0, PREVIOUS_REFS_MAX);
}
