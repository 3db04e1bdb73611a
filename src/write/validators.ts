/**
 * Ready-made judgements for the option `validate`: they throw what keeps a snapshot from being published.
 * @module
 */
import { ConfigValidationError, SnapshotValidationError } from "../errors.ts";
import { anyFunction, checkFields, nonEmptyString, objectOf, optional, shown } from "../option_fields.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import type { Key } from "../routing/key.ts";
import type { RoutingColumns } from "../routing/router.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import { objectManifestReader } from "../snapshots/object_manifest_store.ts";
import type { ReadableStore } from "../stores/store.ts";

/** Judges a snapshot that is uploaded but not published: throws when it must not be. */
export type SnapshotValidator = (candidate: SnapshotReader) => Promise<void>;

/** Options of {@linkcode rowCountDrift}. */
export interface RowCountDriftOptions {
  /** What the new snapshot is compared with: the current snapshot of a store, or a manifest. */
  readonly against: ReadableStore | Manifest;
  /** How much of the old number of rows may come or go: 0.1 is a tenth. */
  readonly maxRatio: number;
  /** Name of the pointer object in the store. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
}

/** Rows of a sample are looked up so many at a time. */
const SAMPLE_ROWS_AT_ONCE = 256;

/**
 * Refuses snapshots that have far more or far fewer rows than the one before. Rows are counted as the writer was given
 * them: repeated keys count. Where nothing was published yet, or nothing but empty snapshots, anything passes.
 *
 * Reads the pointer and the manifest of the snapshot that it compares with, each time it is asked, and nothing of the
 * new one.
 *
 * @returns A validator that throws {@linkcode SnapshotValidationError}.
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { rowCountDrift } from "./validators.ts";
 * import { writeSnapshot } from "./write_snapshot.ts";
 *
 * const store = memoryStore();
 * const validate = rowCountDrift({ against: store, maxRatio: 0.5 });
 * const key = (row: number) => row;
 * const options = { store, validate, sharding: hashSharding({ shards: 2 }), key, value: () => "" };
 * await writeSnapshot([1, 2, 3, 4], options);
 * const refusal = await writeSnapshot([1], options).catch((error) => error);
 * if (refusal.code !== "SNAPSHOT_VALIDATION") throw new Error("a quarter of the rows passed for all");
 * ```
 */
export function rowCountDrift(options: RowCountDriftOptions): SnapshotValidator {
  checkFields(options, "", {
    against: objectOf("a store or a manifest"),
    maxRatio: (value) => typeof value === "number" && value >= 0 ? null : "a number from 0 up",
    pointerKey: optional(nonEmptyString),
  });
  const { against, maxRatio, pointerKey } = options;
  if (!("get" in against) && !("shards" in against)) {
    throw new ConfigValidationError('Cannot use option "against" as it must be a store or a manifest', "against");
  }
  return async ({ info }) => {
    const manifest = "shards" in against ? against : await currentManifest(against, pointerKey);
    const oldCount = manifest?.shards.reduce((sum, { rowCount }) => sum + rowCount, 0) ?? 0;
    const newCount = info.rowCount ?? 0;
    if (oldCount === 0 || Math.abs(newCount - oldCount) <= maxRatio * oldCount) return;
    throw new SnapshotValidationError(
      `Cannot publish snapshot "${info.runId}" as it has ${newCount} rows and the one before ${oldCount}: ` +
        `at most ${maxRatio} of them may come or go, raise maxRatio if it is meant`,
      "rowCountDrift",
    );
  };
}

async function currentManifest(store: ReadableStore, pointerKey: string | undefined): Promise<Manifest | null> {
  const manifests = objectManifestReader(store, { pointerKey });
  const pointer = await manifests.loadCurrent();
  return pointer && await manifests.loadManifest(pointer.ref);
}

/**
 * Looks rows up in the new snapshot and compares their values byte by byte: refuses snapshots in which one is missing
 * or another one. Of rows with equal keys the sample must have the last one, which is what snapshots keep.
 *
 * @param rows Some rows of the source, read once for each snapshot that is judged.
 * @param options How rows are read: the same functions as those of the write.
 * @returns A validator that throws {@linkcode SnapshotValidationError}.
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { sampleRows } from "./validators.ts";
 * import { writeSnapshot } from "./write_snapshot.ts";
 *
 * const key = (row: number) => row;
 * const value = (row: number) => `row ${row}`;
 * const validate = sampleRows([2, 3], { key, value });
 * const sharding = hashSharding({ shards: 2 });
 * await writeSnapshot([1, 2, 3], { store: memoryStore(), validate, sharding, key, value });
 * ```
 */
export function sampleRows<T>(
  rows: Iterable<T> | AsyncIterable<T>,
  options: {
    readonly key: (row: T) => Key;
    readonly value: (row: T) => string | Uint8Array;
    readonly columns?: ((row: T) => RoutingColumns) | undefined;
  },
): SnapshotValidator {
  checkFields(options, "", { key: anyFunction, value: anyFunction, columns: optional(anyFunction) });
  const { key, value, columns } = options;
  return async (candidate) => {
    let wanted = new Map<Key, Uint8Array>();
    const contexts = new Map<Key, RoutingColumns>();
    for await (const row of rows) {
      const rowKey = key(row);
      wanted.set(rowKey, bytesOf(value(row)));
      if (columns !== undefined) contexts.set(rowKey, columns(row));
      if (wanted.size < SAMPLE_ROWS_AT_ONCE) continue;
      await compare(candidate, wanted, columns && contexts);
      wanted = new Map();
      contexts.clear();
    }
    await compare(candidate, wanted, columns && contexts);
  };
}

async function compare(
  candidate: SnapshotReader,
  wanted: ReadonlyMap<Key, Uint8Array>,
  columns: ReadonlyMap<Key, RoutingColumns> | undefined,
): Promise<void> {
  for (const [key, found] of await candidate.getMany(wanted.keys(), columns && { columns })) {
    const value = wanted.get(key)!;
    if (found !== null && found.length === value.length && found.every((byte, at) => byte === value[at])) continue;
    const state = found === null ? "is missing" : `has another value, of ${found.length} bytes and not ${value.length}`;
    throw new SnapshotValidationError(
      `Cannot publish snapshot "${candidate.info.runId}" as the row of key ${shown(key)} ${state}: ` +
        "compare the functions `key` and `value` with those of the write",
      "sampleRows",
    );
  }
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === "string" ? new TextEncoder().encode(value) : value;
}
