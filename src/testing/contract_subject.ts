/**
 * What the checks of the contract have in common: how an engine is tried, and how answers are compared.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { openSnapshot } from "../read/open_snapshot.ts";
import type { AccessMode } from "../read/read_options.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { compareBytes } from "../routing/key.ts";
import { singleShard } from "../routing/sharding.ts";
import type { ObjectStore } from "../stores/store.ts";
import { writeSnapshot } from "../write/write_snapshot.ts";
import type { WriteSnapshotOptions } from "../write/write_options.ts";
import { nearestRows, sampleOf, type SampleRow } from "./contract_sample.ts";

/** An engine does not keep the contract. */
export class BackendContractError extends Error {
  override readonly name = "BackendContractError";
}

/** What checks work with. */
export interface Subject {
  readonly makeBackend: () => Backend | Promise<Backend>;
  readonly makeStore: () => ObjectStore | Promise<ObjectStore>;
  readonly storesValues: boolean;
}

/** One check. */
export type Check = (subject: Subject, backend: Backend) => Promise<void>;

/** @throws {BackendContractError} */
export function ensure(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new BackendContractError(`The engine breaks its contract: ${problem}`);
}

/** Rows for the engine. */
export function samplesFor({ storesValues }: Subject, { vectors }: Backend): SampleRow[] {
  return sampleOf(vectors, storesValues);
}

/** Writes the rows as one shard and publishes them. */
export async function publish(
  rows: readonly SampleRow[],
  { subject, backend, ...more }:
    & { readonly subject: Subject; readonly backend: Backend }
    & Partial<WriteSnapshotOptions<SampleRow>>,
): Promise<ObjectStore> {
  const store = await subject.makeStore();
  await writeSnapshot(rows, {
    ...{ store, backend, sharding: singleShard(), keyEncoding: "raw", key: ({ key }) => key },
    ...(subject.storesValues && { value: ({ value }) => value! }),
    ...(backend.vectors && { vector: ({ entry }) => entry }),
    ...more,
  });
  return store;
}

/** The ways in which the engine opens shards. */
export function accessModes({ opens }: Backend): AccessMode[] {
  const modes = { memory: "memory", file: "download", remote: "range" } as const;
  ensure(opens.length > 0, "`opens` names no kind of file that it opens");
  return opens.map((kind) => modes[kind]);
}

/** Reads a snapshot in each of the ways in which the engine opens shards. */
export async function eachAccess(
  store: ObjectStore,
  { makeBackend }: Subject,
  use: (reader: SnapshotReader, access: AccessMode) => Promise<void>,
): Promise<void> {
  const backend = await makeBackend();
  for (const access of accessModes(backend)) {
    await using reader = await openSnapshot({ store, backend, access });
    await use(reader, access);
  }
}

/** Compares the answers of `getMany` with the rows that were asked for. */
export function ensureSame(
  found: ReadonlyMap<unknown, Uint8Array | null>,
  rows: readonly SampleRow[],
  access: AccessMode,
): void {
  rows.forEach(({ key, value }, at) => {
    const isRight = isSame(found.get(key) ?? null, value);
    ensure(isRight, `getMany() with access "${access}" gives a wrong value for key ${at}`);
  });
}

/** Whether both are null, or the same bytes. */
export function isSame(found: Uint8Array | null, value: Uint8Array | null): boolean {
  return found === null || value === null ? found === value : compareBytes(found, value) === 0;
}

/** Compares what a search finds with what is nearest. */
export async function ensureNearest(
  reader: SnapshotReader,
  { rows, query, backend, label }: {
    readonly rows: readonly SampleRow[];
    readonly query: Float32Array;
    readonly backend: Backend;
    readonly label: string;
  },
): Promise<void> {
  const expected = nearestRows(rows, query, { metric: backend.vectors!.metric, topK: 10 });
  const { results } = await reader.search(query, { topK: 10 });
  ensure(results.length === expected.length, `${label} finds ${results.length} of ${expected.length} vectors`);
  results.forEach(({ id, score, payload }, at) => {
    const { id: nearest, payload: stored } = expected[at]!;
    ensure(String(id) === nearest, `${label} finds "${id}" in place ${at} where "${nearest}" is nearer`);
    const isPayload = JSON.stringify(payload) === JSON.stringify(stored);
    ensure(isPayload, `${label} gives another payload for "${id}" than was stored`);
    ensure(at === 0 || score >= results[at - 1]!.score, `${label} has scores that are not in ascending order`);
  });
}
