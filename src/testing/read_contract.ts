/**
 * Reading: what the contract asks of an engine's shards.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { ShardyfusionError } from "../errors.ts";
import { compareBytes } from "../routing/key.ts";
import type { SampleRow } from "./contract_sample.ts";
import {
  eachAccess,
  ensure,
  ensureNearest,
  ensureSame,
  isSame,
  publish,
  samplesFor,
  type Subject,
} from "./contract_subject.ts";

/** Lookups, one by one and many at a time. */
export async function readsRows(subject: Subject, backend: Backend): Promise<void> {
  if (!subject.storesValues) return;
  const rows = samplesFor(subject, backend);
  const store = await publish(rows, { subject, backend });
  const absent = ["", "absent", "0é", "\0\0\0", "é"].map((text) => new TextEncoder().encode(text));
  await eachAccess(store, subject, async (reader, access) => {
    ensureSame(await reader.getMany(rows.map(({ key }) => key)), rows, access);
    for (const { key, value } of rows.slice(-20)) {
      const found = await reader.get(key);
      ensure(isSame(found, value), `get() with access "${access}" gives ${found?.length} bytes of ${value?.length}`);
    }
    for (const key of absent) {
      ensure(await reader.get(key) === null, `get() with access "${access}" finds a key that is not there`);
    }
  });
}

/** Scans. */
export async function scansRows(subject: Subject, backend: Backend): Promise<void> {
  if (!subject.storesValues) return;
  const rows = samplesFor(subject, backend);
  const store = await publish(rows, { subject, backend });
  const stored = rows.toSorted((one, other) => compareBytes(one.key, other.key));
  const [low, high] = [rows[70]!.key, rows[71]!.key].sort(compareBytes) as [Uint8Array, Uint8Array];
  await eachAccess(store, subject, async (reader, access) => {
    for (const range of [{}, { from: low }, { to: high }, { from: low, to: high }, { from: high, to: low }]) {
      const found = await Array.fromAsync(reader.scan(range));
      const expected = stored.filter(({ key }) =>
        (range.from === undefined || compareBytes(key, range.from) >= 0) &&
        (range.to === undefined || compareBytes(key, range.to) < 0)
      );
      const isRight = found.length === expected.length &&
        found.every(([key, value], at) => isSame(key, expected[at]!.key) && isSame(value, expected[at]!.value));
      const bounds = Object.keys(range).join(" and ") || "no bounds";
      ensure(isRight, `scan() with ${bounds} and access "${access}" gives other rows, or in another order`);
    }
  });
}

/** Values belong to the caller. */
export async function givesCopies(subject: Subject, backend: Backend): Promise<void> {
  if (!subject.storesValues) return;
  const [, row] = samplesFor(subject, backend) as [SampleRow, SampleRow];
  const store = await publish([row], { subject, backend });
  await eachAccess(store, subject, async (reader, access) => {
    for (let round = 0; round < 3; round++) {
      const value = await reader.get(row.key);
      ensure(isSame(value, row.value), `a value that was changed with access "${access}" comes back changed`);
      value?.fill(0);
    }
  });
}

/** Searches. */
export async function findsVectors(subject: Subject, backend: Backend): Promise<void> {
  if (backend.vectors === undefined) return;
  const rows = samplesFor(subject, backend);
  const store = await publish(rows, { subject, backend });
  await eachAccess(store, subject, async (reader, access) => {
    for (const number of [0, 1, 3, 511]) {
      const query = Float32Array.from(rows[number]!.entry!.vector, (part) => part * 1.25 + 0.01);
      await ensureNearest(reader, { rows, query, backend, label: `search() with access "${access}"` });
    }
  });
}

/** Shards with few vectors, or none. */
export async function takesFewVectors(subject: Subject, backend: Backend): Promise<void> {
  if (backend.vectors === undefined) return;
  const all = samplesFor(subject, backend).slice(0, 12);
  const query = new Float32Array(backend.vectors.dim).fill(0.5);
  for (const count of subject.storesValues ? [0, 1, 2] : [1, 2]) {
    const few = subject.storesValues
      ? all.map((row, at) => at < count ? row : { ...row, entry: null })
      : all.slice(0, count);
    const store = await publish(few, { subject, backend });
    await eachAccess(store, subject, async (reader, access) => {
      await ensureNearest(reader, { rows: few, query, backend, label: `search() among ${count} vectors` });
      if (subject.storesValues) ensureSame(await reader.getMany(few.map(({ key }) => key)), few, access);
    });
  }
}

/** Files of something else. */
export async function refusesOthers(_: Subject, backend: Backend): Promise<void> {
  if (!backend.opens.includes("memory")) return;
  for (const bytes of [new Uint8Array(4096), new TextEncoder().encode("No shard, but a text.\n".repeat(400))]) {
    let outcome: unknown;
    try {
      await using reader = await backend.openShard({ kind: "memory", bytes });
      outcome = await reader.get(bytes.subarray(0, 8));
    } catch (error) {
      if (error instanceof ShardyfusionError) continue;
      outcome = error;
    }
    ensure(false, `a file that is no shard must be a ShardyfusionError: current value is ${outcome}`);
  }
}
