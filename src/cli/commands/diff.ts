/**
 * `shardy diff [OLD] [NEW]`: what changed between two snapshots of a place.
 * @module
 */
import { openSnapshot } from "../../read/open_snapshot.ts";
import { history } from "../../snapshots/history.ts";
import type { Manifest } from "../../snapshots/manifest.ts";
import { CliError, messageOf } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import type { Printable } from "../json_text.ts";
import { type KeyDifferences, keyDifferences } from "../key_differences.ts";
import { historyPlace, type Location } from "../location.ts";
import { integerOption, switchOption } from "../option_values.ts";
import { hasSameSharding, type ShardDifference, shardDifferences } from "../shard_differences.ts";
import { manifestsAt, refAtOffset } from "../snapshot_session.ts";

/** Compares manifests, and rows when it is asked to. */
export const diffCommand: CliCommand = {
  name: "diff",
  usage: "[OLD] [NEW]",
  summary: "Tell what changed between two snapshots: shards, and keys",
  details: "Each snapshot is named by its place in the history (0 is the newest), its run, or its manifest.",
  examples: [
    ["diff --output-format text", "the current snapshot and the one published before it: which shards changed"],
    ["diff 3 0 --keys", "and which keys, which reads all shards that changed"],
    ["diff 1 0 --exit-code", "exit with 1 when anything differs"],
  ],
  readsSnapshot: false,
  declare(command) {
    command.argument("[OLD]", "default: the one published before NEW")
      .argument("[NEW]", "default: the current one")
      .option("--keys", "compare rows as well; shards that are the same are not read")
      .option("--limit <n>", "changed keys to list (10)")
      .option("--exit-code", "exit with 1 when anything differs");
  },
  run,
};

interface Side {
  readonly ref: string;
  readonly manifest: Manifest;
}

async function run(context: CommandContext): Promise<number> {
  const { args, options, signal } = context;
  const limit = integerOption(options, "--limit", 0) ?? 10;
  const location = await context.location();
  const newRef = args[1] === undefined ? await currentRef(location, signal) : await refOf(location, args[1], signal);
  const oldRef = args[0] === undefined
    ? await refBefore(location, newRef, signal)
    : await refOf(location, args[0], signal);
  const [older, newer] = await Promise.all([oldRef, newRef].map((ref) => sideAt(location, ref, signal)));
  let shards = shardDifferences(older!.manifest, newer!.manifest);
  let keys: KeyDifferences | undefined;
  if (switchOption(options, "--keys")) {
    keys = await keysOf(location, [older!, newer!], { shards, limit, signal });
    if (keys.shards.size > 0) {
      shards = shards.map((shard) => ({ ...shard, change: keys!.shards.get(shard.shardId) ?? shard.change }));
    }
  }
  print(context, { older: older!, newer: newer!, shards, keys });
  const differs = shards.some(({ change }) => change !== "same") ||
    !hasSameSharding(older!.manifest, newer!.manifest);
  return differs && switchOption(options, "--exit-code") ? 1 : 0;
}

async function currentRef(location: Location, signal: AbortSignal): Promise<string> {
  const current = await manifestsAt(location).loadCurrent({ signal });
  if (current !== null) return current.ref;
  throw new CliError("Cannot compare snapshots as nothing was published: there is no pointer to a current one");
}

async function refOf(location: Location, text: string, signal: AbortSignal): Promise<string> {
  if (/^\d{1,9}$/.test(text)) return await refAtOffset(location, Number(text), signal);
  if (text.includes("/")) return text;
  const { store, ...place } = historyPlace(location);
  const refs = await history(store, { ...place, limit: Number.MAX_SAFE_INTEGER, signal });
  const found = refs.find(({ runId }) => runId === text);
  if (found !== undefined) return found.ref;
  throw new CliError(`No manifest found with run_id=${text}`);
}

async function refBefore(location: Location, ref: string, signal: AbortSignal): Promise<string> {
  const { store, ...place } = historyPlace(location);
  const refs = await history(store, { ...place, limit: Number.MAX_SAFE_INTEGER, signal });
  const before = refs[refs.findIndex((other) => other.ref === ref) + 1];
  if (before !== undefined && before.ref !== ref) return before.ref;
  throw new CliError(`Cannot compare '${ref}' as no snapshot was published before it`);
}

async function sideAt(location: Location, ref: string, signal: AbortSignal): Promise<Side> {
  try {
    return { ref, manifest: await manifestsAt(location).loadManifest(ref, { signal }) };
  } catch (error) {
    if (signal.aborted) throw error;
    throw new CliError(`Cannot read the manifest '${ref}': ${messageOf(error)}`, { cause: error });
  }
}

async function keysOf(
  { store, manifestStore, pointerKey }: Location,
  sides: readonly [Side, Side],
  wanted: { shards: readonly ShardDifference[]; limit: number; signal: AbortSignal },
): Promise<KeyDifferences> {
  const { signal } = wanted;
  const open = ({ ref }: Side) => openSnapshot({ store, manifestStore, pointerKey, pin: ref, access: "range", signal });
  await using older = await open(sides[0]);
  await using newer = await open(sides[1]);
  const isSharedAlike = hasSameSharding(sides[0].manifest, sides[1].manifest);
  return await keyDifferences(older, newer, { ...wanted, isSharedAlike });
}

interface Found {
  readonly older: Side;
  readonly newer: Side;
  readonly shards: readonly ShardDifference[];
  readonly keys: KeyDifferences | undefined;
}

function print(context: CommandContext, found: Found): void {
  const { older, newer, shards, keys } = found;
  context.print({
    fields: {
      op: "diff",
      old: sideFields(older),
      new: sideFields(newer),
      "same_sharding": hasSameSharding(older.manifest, newer.manifest),
      shards: shards.map(({ shardId, change, oldRows, newRows, oldBytes, newBytes }) => ({
        ...{ "db_id": shardId, change, "old_rows": oldRows, "new_rows": newRows },
        ...{ "old_bytes": oldBytes, "new_bytes": newBytes },
      })),
      ...keys === undefined ? {} : {
        keys: {
          added: keys.added,
          removed: keys.removed,
          changed: keys.changed,
          listed: keys.listed.map((key) => ({ ...key })),
        },
      },
    },
    text: () => lines(found).join("\n"),
    table: () => lines(found).join("\n"),
  });
}

function sideFields({ ref, manifest }: Side): { readonly [name: string]: Printable } {
  return {
    "run_id": manifest.runId,
    "manifest_ref": ref,
    "num_dbs": manifest.shardCount,
    sharding: manifest.routing.strategy,
    "row_count": rowCount(manifest),
  };
}

function rowCount({ shards }: Manifest): number {
  return shards.reduce((sum, shard) => sum + shard.rowCount, 0);
}

function lines({ older, newer, shards, keys }: Found): string[] {
  const side = ({ manifest }: Side): string =>
    `run_id=${manifest.runId}  shards=${manifest.shardCount}  rows=${rowCount(manifest)}`;
  const counted = shards.filter(({ change }) => change === "same").length;
  return [
    `old  ${side(older)}`,
    `new  ${side(newer)}`,
    ...hasSameSharding(older.manifest, newer.manifest) ? [] : ["sharded in another way"],
    ...shards.filter(({ change }) => change !== "same").map(({ shardId, change, oldRows, newRows }) =>
      `${change}  db_id=${shardId}  rows=${oldRows ?? "-"} -> ${newRows ?? "-"}`
    ),
    `${counted} of ${shards.length} shards are the same`,
    ...keys === undefined ? [] : [
      `keys: ${keys.added} added, ${keys.removed} removed, ${keys.changed} changed`,
      ...keys.listed.map(({ key, change }) => `  ${change}  ${key}`),
    ],
  ];
}
