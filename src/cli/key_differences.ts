/**
 * Compares the rows of two snapshots, both in the order of their keys.
 * @module
 */
import type { EncodedRow } from "../read/scan_shards.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { compareBytes, logicalKey } from "../routing/key.ts";
import { CliError } from "./cli_errors.ts";
import type { ShardChange, ShardDifference } from "./shard_differences.ts";

/** What became of a key. */
export interface ChangedKey {
  /** As text: what `shardy get` takes; bytes are shown as the text that they are most like. */
  readonly key: string;
  readonly change: "added" | "removed" | "changed";
}

/** How many keys differ. */
export interface KeyDifferences {
  added: number;
  removed: number;
  changed: number;
  readonly listed: ChangedKey[];
  /** What the rows tell about shards that manifests tell nothing about; empty where sharding differs. */
  readonly shards: Map<number, ShardChange>;
}

/** What is to be compared. */
export interface KeyComparison {
  readonly shards: readonly ShardDifference[];
  /** Whether each key is in the shard of the same number in both. */
  readonly isSharedAlike: boolean;
  /** So many keys are listed; all are counted. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/**
 * Counts the keys that differ. Reads shards that may differ, once each, and holds a page or so of each that is being
 * read: one of each side, or all where they are sharded in different ways.
 *
 * @throws {CliError} when keys cannot be compared.
 */
export async function keyDifferences(
  older: SnapshotReader,
  newer: SnapshotReader,
  { shards, isSharedAlike, limit, signal }: KeyComparison,
): Promise<KeyDifferences> {
  const { keyEncoding } = newer.info;
  if (older.info.keyEncoding !== keyEncoding) {
    throw new CliError(
      `Cannot compare keys as they are encoded in different ways: ${older.info.keyEncoding} and ${keyEncoding}`,
    );
  }
  const found: KeyDifferences = { added: 0, removed: 0, changed: 0, listed: [], shards: new Map() };
  const note = (change: ChangedKey["change"], [key]: EncodedRow): void => {
    found[change]++;
    if (found.listed.length >= limit) return;
    const text = logicalKey(keyEncoding, key) ?? new TextDecoder().decode(key);
    found.listed.push({ key: String(text), change });
  };
  if (!isSharedAlike) {
    const ids = (reader: SnapshotReader): number[] =>
      reader.shards.filter(({ dbUrl }) => dbUrl !== null).map(({ shardId }) => shardId);
    await compare(merged(older, ids(older), signal), merged(newer, ids(newer), signal), note);
    return found;
  }
  for (const { shardId, change } of shards) {
    if (change === "same") continue;
    const before = found.added + found.removed + found.changed;
    await compare(merged(older, [shardId], signal), merged(newer, [shardId], signal), note);
    const isSame = found.added + found.removed + found.changed === before;
    if (change === "unknown" || (change === "changed" && isSame)) {
      found.shards.set(shardId, isSame ? "same" : "changed");
    }
  }
  return found;
}

async function compare(
  older: AsyncGenerator<EncodedRow, void, undefined>,
  newer: AsyncGenerator<EncodedRow, void, undefined>,
  note: (change: ChangedKey["change"], row: EncodedRow) => void,
): Promise<void> {
  let [one, other] = [await older.next(), await newer.next()];
  while (!one.done || !other.done) {
    const order = one.done ? 1 : other.done ? -1 : compareBytes(one.value[0], other.value[0]);
    if (order < 0) note("removed", one.value!);
    else if (order > 0) note("added", other.value!);
    else if (compareBytes(one.value![1], other.value![1]) !== 0) note("changed", other.value!);
    if (order <= 0) one = await older.next();
    if (order >= 0) other = await newer.next();
  }
}

/** The rows of some shards in the order of their keys. */
async function* merged(
  reader: SnapshotReader,
  shardIds: readonly number[],
  signal: AbortSignal,
): AsyncGenerator<EncodedRow, void, undefined> {
  const scans = shardIds.map((shard) => reader.scan({ shard, signal }));
  try {
    const heads = new Map<AsyncGenerator<EncodedRow, void, undefined>, EncodedRow>();
    for (const scan of scans) {
      const { value, done } = await scan.next();
      if (!done) heads.set(scan, value);
    }
    while (heads.size > 0) {
      const [scan, row] = [...heads].reduce((best, head) => compareBytes(head[1][0], best[1][0]) < 0 ? head : best);
      yield row;
      const { value, done } = await scan.next();
      if (done) heads.delete(scan);
      else heads.set(scan, value);
    }
  } finally {
    for (const scan of scans) await scan.return();
  }
}
