/**
 * Building: what the contract asks of an engine that writes shards, and of what it wrote.
 * @module
 */
import type { Backend, BuiltShard, ObjectDigest } from "../backends/backend.ts";
import { rotatedDigest } from "../bytes/fast_digest.ts";
import { systemClock } from "../clock.ts";
import { ShardyfusionError } from "../errors.ts";
import { openSnapshot } from "../read/open_snapshot.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import type { ObjectStore } from "../stores/store.ts";
import { verifySnapshot } from "../verify/verify_snapshot.ts";
import { fileScratch } from "../write/file_scratch.ts";
import { type SampleRow, sortedRows } from "./contract_sample.ts";
import {
  accessModes,
  BackendContractError,
  eachAccess,
  ensure,
  ensureNearest,
  ensureSame,
  publish,
  samplesFor,
  type Subject,
} from "./contract_subject.ts";
import { faultStore, type StoreRequest } from "./fault_store.ts";

const PREFIX = "shards/run_id=contract/db=00000/attempt=00";

/** Builds the rows as one shard, without a snapshot around it. */
async function build(
  rows: readonly SampleRow[],
  { backend, store, signal = new AbortController().signal }: {
    readonly backend: Backend;
    readonly store: ObjectStore;
    readonly signal?: AbortSignal;
  },
): Promise<BuiltShard> {
  await using scratch = await fileScratch(undefined, "contract");
  return await backend.buildShard(sortedRows(rows, backend), {
    ...{ shardId: 0, store, prefix: PREFIX, keyEncoding: "raw" },
    ...{ scratch: () => Promise.resolve(scratch), clock: systemClock(), signal },
  });
}

async function keysIn(store: ObjectStore, prefix: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix))).flat().map(({ key }) => key).sort();
}

async function bytesOf(store: ObjectStore, key: string): Promise<Uint8Array> {
  return await (await store.get(key)).bytes();
}

/** Names, lengths and digests. */
export async function recordsObjects(subject: Subject, backend: Backend): Promise<void> {
  const rows = samplesFor(subject, backend);
  const store = await subject.makeStore();
  const { objects, rowCount, dbBytes } = await build(rows, { backend, store });
  ensure(rowCount === rows.length, `\`rowCount\` is ${rowCount} for ${rows.length} rows`);
  ensure(Number.isSafeInteger(dbBytes) && dbBytes > 0, `\`dbBytes\` is ${dbBytes}`);
  ensure(
    objects[0]?.name === backend.fileName,
    `the first object must be "${backend.fileName}": it is "${objects[0]?.name}"`,
  );
  const recorded = objects.map(({ name }) => `${PREFIX}/${name}`).sort();
  const stored = await keysIn(store, "");
  ensure(recorded.join() === stored.join(), `it records ${recorded.join(", ")} and writes ${stored.join(", ")}`);
  for (const object of objects) await ensureDigest(store, object);
}

async function ensureDigest(store: ObjectStore, { name, sizeBytes, xxh3, rotatedBytes }: ObjectDigest): Promise<void> {
  const bytes = await bytesOf(store, `${PREFIX}/${name}`);
  ensure(bytes.length === sizeBytes, `"${name}" is ${bytes.length} bytes long, and recorded with ${sizeBytes}`);
  ensure(await rotatedDigest(bytes, rotatedBytes) === xxh3, `the recorded digest is not the one of "${name}"`);
}

/** `isReproducible`. */
export async function repeatsBytes(subject: Subject, backend: Backend): Promise<void> {
  if (backend.isReproducible === false) return;
  const rows = samplesFor(subject, backend);
  const builds = await Promise.all(
    [backend, await subject.makeBackend()].map(async (engine) =>
      JSON.stringify(await build(rows, { backend: engine, store: await subject.makeStore() }))
    ),
  );
  ensure(builds[0] === builds[1], "the same rows give other bytes the second time: `isReproducible` must be false");
}

/** `module`. */
export async function buildsInWorkers(subject: Subject, backend: Backend): Promise<void> {
  if (backend.module === undefined) return;
  const rows = samplesFor(subject, backend);
  const store = await publish(rows, { subject, backend, workers: 1 });
  await eachAccess(store, subject, (reader) => ensureContent(reader, rows, { subject, backend }));
}

/** Aborts before anything was done. */
export async function removesAborted(subject: Subject, backend: Backend): Promise<void> {
  const store = await subject.makeStore();
  const reason = new Error("aborted by the contract");
  const outcome = await build(samplesFor(subject, backend), { backend, store, signal: AbortSignal.abort(reason) })
    .then(() => "a shard", (error) => error);
  ensure(outcome === reason, `with an aborted signal buildShard() must reject with its reason: it gave ${outcome}`);
  await ensureEmpty(store, "after an abort");
}

/** Each of the requests that write fails once. */
export async function removesFailed(subject: Subject, backend: Backend): Promise<void> {
  const rows = samplesFor(subject, backend).slice(-300);
  for (let failing = 1;; failing++) {
    let seen = 0;
    const inner = await subject.makeStore();
    const reason = new Error(`request ${failing} fails`);
    const store = faultStore(inner, {
      fault: (request) => isWrite(request) && ++seen === failing ? { moment: "before", error: reason } : null,
    });
    const outcome = await build(rows, { backend, store }).then(() => null, (error) => error);
    if (seen < failing) return;
    const isTold = outcome === reason || outcome?.cause === reason;
    ensure(isTold, `buildShard() must throw the error of its request ${failing} to write: it gave ${outcome}`);
    await ensureEmpty(inner, `after its request ${failing} to write failed`);
  }
}

function isWrite({ kind }: StoreRequest): boolean {
  return kind !== "GET" && kind !== "LIST" && kind !== "DELETE" && kind !== "ABORT";
}

async function ensureEmpty(store: ObjectStore, moment: string): Promise<void> {
  const left = await keysIn(store, "");
  ensure(left.length === 0, `${moment} it leaves ${left.join(", ")}`);
  const uploads = await store.listUploads?.("") ?? [];
  ensure(uploads.length === 0, `${moment} it leaves ${uploads.length} uploads open`);
}

/** Everything that is stored. */
async function ensureContent(
  reader: SnapshotReader,
  rows: readonly SampleRow[],
  { subject, backend }: { readonly subject: Subject; readonly backend: Backend },
): Promise<void> {
  if (subject.storesValues) ensureSame(await reader.getMany(rows.map(({ key }) => key)), rows, reader.info.access);
  if (backend.vectors === undefined) return;
  const query = new Float32Array(backend.vectors.dim).fill(0.7);
  await ensureNearest(reader, { rows, query, backend, label: "search()" });
}

/** A byte of each object is changed, at its beginning, in its middle, at its end. */
export async function refusesDamage(subject: Subject, backend: Backend): Promise<void> {
  const rows = samplesFor(subject, backend).slice(-300);
  const store = await publish(rows, { subject, backend });
  for (const key of await keysIn(store, "shards/")) {
    const bytes = await bytesOf(store, key);
    for (const at of new Set([0, bytes.length >> 1, bytes.length - 1])) {
      const spoilt = bytes.slice();
      spoilt[at]! ^= 0x10;
      await store.put(key, spoilt);
      await ensureRightOrError(store, rows, { subject, backend, damage: `byte ${at} of "${key}" is wrong` });
    }
    await store.put(key, bytes);
  }
}

/** Each object is removed. */
export async function refusesMissing(subject: Subject, backend: Backend): Promise<void> {
  const rows = samplesFor(subject, backend).slice(-300);
  const store = await publish(rows, { subject, backend });
  for (const key of await keysIn(store, "shards/")) {
    const bytes = await bytesOf(store, key);
    await store.delete(key);
    await ensureRightOrError(store, rows, { subject, backend, damage: `"${key}" is missing` });
    await store.put(key, bytes);
  }
}

/** What is not needed may be damaged. */
async function ensureRightOrError(
  store: ObjectStore,
  rows: readonly SampleRow[],
  { damage, ...means }: { readonly subject: Subject; readonly backend: Backend; readonly damage: string },
): Promise<void> {
  for (const access of accessModes(means.backend)) {
    try {
      await using reader = await openSnapshot({ store, backend: await means.subject.makeBackend(), access });
      await ensureContent(reader, rows, means);
    } catch (error) {
      if (error instanceof ShardyfusionError) continue;
      ensure(
        error instanceof BackendContractError,
        `where ${damage}, it throws ${error}, which is no ShardyfusionError`,
      );
      throw new BackendContractError(`${error.message}, where ${damage}`);
    }
  }
}

/** Opening, lookups, scans and searches. */
export async function readsByGet(subject: Subject, backend: Backend): Promise<void> {
  const rows = samplesFor(subject, backend);
  const store = faultStore(await publish(rows, { subject, backend }));
  await eachAccess(store, subject, async (reader) => {
    await ensureContent(reader, rows, { subject, backend });
    if (subject.storesValues) await Array.fromAsync(reader.scan());
  });
  const others = new Set(store.requests.map(({ kind }) => kind).filter((kind) => kind !== "GET"));
  ensure(others.size === 0, `reading sends ${[...others].join(", ")}`);
}

/** Verified with the engine itself. */
export async function writesSound(subject: Subject, backend: Backend): Promise<void> {
  const rows = samplesFor(subject, backend);
  const store = await publish(rows, { subject, backend });
  const { problems, rowCount } = await verifySnapshot(store, { backend: await subject.makeBackend() });
  ensure(
    problems.length === 0,
    `verifySnapshot() finds that ${problems.map(({ message }) => message).join(", and that ")}`,
  );
  const expected = subject.storesValues ? rows.length : rowCount;
  ensure(rowCount === expected, `verifySnapshot() finds ${rowCount} of ${rows.length} rows`);
}
