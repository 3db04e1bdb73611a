/**
 * What a manifest says of vectors: the field `vector` of its column `custom` (WIRE_FORMATS 5.3), and ours beside it.
 *
 * ```text
 * shardyfusion.vector_meta       digest of the file with centroids or hyperplanes: size_bytes, xxh3_64
 * shardyfusion.vector_sharding   "hash": vectors were spread by the hash of their ids. The Python package has no such
 *                                sharding, and is told "explicit"
 * ```
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { isJsonObject, type Kind, readerOf, text } from "./checked_fields.ts";
import type { Manifest } from "./manifest.ts";
import { ownFields } from "./manifest_digest.ts";

/** What is recorded about the file with centroids or hyperplanes. */
export interface MetaDigest {
  readonly sizeBytes: number;
  /** XXH3-64 in 16 hex digits. */
  readonly xxh3: string;
}

/** How vectors without keys are spread over shards. */
export type VectorShardingFields =
  | {
    readonly strategy: "cluster" | "lsh";
    /** URL of the file with centroids or hyperplanes. */
    readonly metaRef: string;
    /** Undefined where nothing is recorded, as by the Python package. */
    readonly digest: MetaDigest | undefined;
    readonly probes: number;
  }
  | { readonly strategy: "explicit" | "hash" }
  | {
    readonly strategy: "cel";
    readonly expr: string;
    readonly columns: Readonly<Record<string, string>>;
    readonly routingValues: readonly (bigint | string | Uint8Array)[] | null;
  };

/** What a manifest says of its vectors. */
export interface VectorFields {
  readonly dim: number;
  readonly metric: "cosine" | "l2" | "dot_product";
  /** How vectors are spread; null where they go with the keys. */
  readonly sharding: VectorShardingFields | null;
}

/** Whether a snapshot has vectors and no keys. */
export function isVectorOnly(manifest: Pick<Manifest, "custom">): boolean {
  return hasVectors(manifest) && !(manifest.custom["vector"] as JsonObject)["unified"];
}

/** Whether a snapshot has vectors, with keys or without. */
export function hasVectors({ custom: { vector } }: Pick<Manifest, "custom">): boolean {
  return isJsonObject(vector) && Object.keys(vector).length > 0;
}

/**
 * Reads what a manifest says of vectors; null when it has none.
 *
 * @throws {ConfigValidationError} when it says too little, or what this version does not know.
 */
export function vectorFieldsOf({ custom, runId }: Pick<Manifest, "custom" | "runId">): VectorFields | null {
  if (!hasVectors({ custom })) return null;
  const vector = custom["vector"] as JsonObject;
  const field = readerOf(vector, (problem, path) => {
    throw new ConfigValidationError(`Cannot search snapshot "${runId}" as in its manifest ${problem}`, path);
  }, "vector.");
  const fields = { dim: field("dim", countFromOne), metric: field("metric", oneOf("cosine", "l2", "dot_product")) };
  return { ...fields, sharding: vector["unified"] ? null : shardingOf(vector, custom, field) };
}

type FieldReader = ReturnType<typeof readerOf>;

function shardingOf(vector: JsonObject, custom: JsonObject, field: FieldReader): VectorShardingFields {
  const own = ownFields(custom);
  const strategy = field("sharding_strategy", oneOf("cluster", "lsh", "explicit", "cel"));
  if (strategy === "explicit") return { strategy: own?.["vector_sharding"] === "hash" ? "hash" : "explicit" };
  if (strategy === "cel") {
    return {
      strategy,
      expr: field("cel_expr", text),
      columns: field("cel_columns", typeNames),
      routingValues: (vector["routing_values"] ?? null) === null ? null : field("routing_values", tokens),
    };
  }
  return {
    strategy,
    metaRef: field(strategy === "cluster" ? "centroids_ref" : "hyperplanes_ref", text),
    digest: own?.["vector_meta"] === undefined ? undefined : digestOf(own["vector_meta"], field),
    probes: vector["num_probes"] === undefined ? 1 : field("num_probes", countFromOne),
  };
}

/** A record that is there but wrong must not pass for none. */
function digestOf(record: JsonValue, field: FieldReader): MetaDigest {
  const { size_bytes: sizeBytes, xxh3_64: xxh3 } = isJsonObject(record) ? record : {};
  const isSound = Number.isSafeInteger(sizeBytes) && typeof xxh3 === "string" && /^[0-9a-f]{16}$/.test(xxh3);
  // Refuses in the words of the other fields.
  return isSound ? { sizeBytes: sizeBytes as number, xxh3: xxh3 as string } : field("digest of its file", never);
}

/** What {@linkcode vectorFieldsOf} reads as a digest. */
export function digestRecord({ sizeBytes, xxh3 }: MetaDigest): JsonObject {
  return { "size_bytes": sizeBytes, "xxh3_64": xxh3 };
}

const never: Kind<never> = ["a size and 16 hex digits", () => undefined];
const countFromOne: Kind<number> = [
  "a whole number from 1 up",
  (value) => Number.isSafeInteger(value) && (value as number) >= 1 ? value as number : undefined,
];
const typeNames: Kind<Readonly<Record<string, string>>> = ["a non-empty object of type names", (value) => {
  const names = isJsonObject(value) ? Object.values(value) : [];
  const isRight = names.length > 0 && names.every((name) => typeof name === "string");
  return isRight ? value as Readonly<Record<string, string>> : undefined;
}];
const tokens: Kind<readonly (bigint | string | Uint8Array)[]> = [
  "an array of whole numbers, of strings, or of bytes in hex",
  (value) => {
    const values = Array.isArray(value) ? (value as readonly JsonValue[]).map(tokenOf) : [undefined];
    return values.includes(undefined) ? undefined : values as (bigint | string | Uint8Array)[];
  },
];

function tokenOf(value: JsonValue): bigint | string | Uint8Array | undefined {
  if (typeof value === "string" || typeof value === "bigint") return value;
  if (Number.isSafeInteger(value)) return BigInt(value as number);
  const hex = isJsonObject(value) ? value["__bytes_hex__"] : undefined;
  if (typeof hex !== "string" || !/^(?:[0-9a-f]{2})*$/i.test(hex)) return undefined;
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}

function oneOf<const T extends string>(...options: readonly T[]): Kind<T> {
  return [options.join(", "), (value) => options.find((option) => option === value)];
}
