/**
 * Snapshots that differ from the one before in the rows that are named.
 * @module
 */
import { equal } from "node:assert/strict";
import {
  hashSharding,
  history,
  type ObjectStore,
  openSnapshot,
  verifySnapshot,
  writeSnapshot,
  type WriteSnapshotOptions,
} from "../../mod.ts";

export const MODES = ["copy", "reference"] as const;

/** A series of snapshots with as many rows each. */
export interface SeriesShape {
  readonly rows: number;
  readonly shards: number;
}

/** Publishes a snapshot whose rows have the value `old`, but for some. */
export function write(
  store: ObjectStore,
  { rows, shards }: SeriesShape,
  { changed = {}, ...options }:
    & Partial<WriteSnapshotOptions<number>>
    & { changed?: Readonly<Record<number, string>> } = {},
): ReturnType<typeof writeSnapshot> {
  return writeSnapshot(numbers(rows), {
    store,
    sharding: hashSharding({ shards }),
    key: (row) => row,
    value: (row) => changed[row] ?? `old ${row}`,
    ...options,
  });
}

/** Each number below `count`, one after the other. */
export function* numbers(count: number): Generator<number> {
  for (let number = 0; number < count; number++) yield number;
}

/** Finds the right value in each row, over memory and over ranges, and every object as the manifest records it. */
export async function requireRight(
  store: ObjectStore,
  { rows }: SeriesShape,
  changed: Readonly<Record<number, string>> = {},
): Promise<void> {
  for (const access of ["memory", "range"] as const) {
    await using reader = await openSnapshot({ store, access });
    const values = await reader.getMany([...numbers(rows)]);
    for (const [key, value] of values) {
      equal(new TextDecoder().decode(value!), changed[key as number] ?? `old ${key}`);
    }
    equal(await reader.get(rows), null);
    // A sidecar that belongs to another version of the file would be left out with a warning.
    equal(reader.info.warnings.filter((warning) => !warning.startsWith("shards have no guards")).join(), "");
  }
  await requireSound(store);
}

/** Finds nothing wrong with any snapshot of the history. */
export async function requireSound(store: ObjectStore): Promise<void> {
  for (const { ref } of await history(store)) {
    const { isSound, problems } = await verifySnapshot(store, { ref });
    equal(isSound, true, `${ref}: ${problems.map(({ message }) => message).join("; ")}`);
  }
}

/** Keys of all objects but the records of runs, which stay whatever becomes of a run. */
export async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
  return keys.filter((key) => !key.startsWith("runs/"));
}
