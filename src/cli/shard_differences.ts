/**
 * What two manifests tell about the shards of their snapshots.
 * @module
 */
import { dumpJson, type JsonObject, type JsonValue } from "../bytes/python_json.ts";
import { directoryOf, type Manifest, type ShardEntry } from "../snapshots/manifest.ts";
import { CliError } from "./cli_errors.ts";

/** `unknown`: the manifests do not say, as those of the Python package, which have no digests of shards. */
export type ShardChange = "same" | "changed" | "added" | "removed" | "unknown";

/** One shard in both snapshots. */
export interface ShardDifference {
  readonly shardId: number;
  readonly change: ShardChange;
  /** Null: the snapshot has no such shard, or it is empty. */
  readonly oldRows: number | null;
  readonly newRows: number | null;
  readonly oldBytes: number | null;
  readonly newBytes: number | null;
}

/** Whether each key is in the shard of the same number in both. */
export function hasSameSharding(one: Manifest, other: Manifest): boolean {
  const text = ({ routing, shardCount, keyEncoding }: Manifest): string =>
    JSON.stringify([routing, shardCount, keyEncoding], (_, value) => typeof value === "bigint" ? `${value}n` : value);
  return text(one) === text(other);
}

/** Compares shards by number; those that are empty on both sides are left out. */
export function shardDifferences(older: Manifest, newer: Manifest): ShardDifference[] {
  for (const manifest of [older, newer]) {
    if (directoryOf(manifest) !== undefined) throw new CliError("Cannot compare snapshots of so many shards");
  }
  const [before, after] = [older, newer].map(({ shards }) =>
    new Map(shards.filter(({ dbUrl }) => dbUrl !== null).map((shard) => [shard.shardId, shard]))
  ) as [Map<number, ShardEntry>, Map<number, ShardEntry>];
  const isSharedAlike = hasSameSharding(older, newer);
  const shardIds = [...new Set([...before.keys(), ...after.keys()])].sort((one, other) => one - other);
  return shardIds.map((shardId) => {
    const [one, other] = [before.get(shardId), after.get(shardId)];
    const change = one === undefined ? "added" : other === undefined ? "removed" : changeOf(one, other, isSharedAlike);
    return {
      ...{ shardId, change, oldRows: one?.rowCount ?? null, newRows: other?.rowCount ?? null },
      ...{ oldBytes: one?.dbBytes ?? null, newBytes: other?.dbBytes ?? null },
    };
  });
}

function changeOf(one: ShardEntry, other: ShardEntry, isSharedAlike: boolean): ShardChange {
  if (one.dbUrl === other.dbUrl) return "same";
  const [digest, otherDigest] = [digestOf(one), digestOf(other)];
  if (digest !== null && digest === otherDigest && one.dbBytes === other.dbBytes) return "same";
  const isPlainlyOther = !isSharedAlike || one.rowCount !== other.rowCount || one.minKey !== other.minKey ||
    one.maxKey !== other.maxKey;
  // Other digests: at least the files differ; what is in them may still be the same.
  return isPlainlyOther || (digest !== null && otherDigest !== null) ? "changed" : "unknown";
}

/** Digests of what a shard is made of, as text; without sidecars, which are made for one upload. */
function digestOf({ writerInfo }: ShardEntry): string | null {
  const own = writerInfo["shardyfusion"];
  if (typeof own !== "object" || own === null || Array.isArray(own)) return null;
  const { objects } = own as Readonly<Record<string, JsonValue>>;
  if (!Array.isArray(objects)) return null;
  const content = (objects as readonly JsonObject[]).filter(({ name }) => name !== "shard.sidecar");
  return content.length === 0 ? null : dumpJson(content);
}
