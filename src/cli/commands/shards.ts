/**
 * `shardy shards`: the shards of the snapshot, empty ones included.
 * @module
 */
import { type ShardInfo, shardInfosOf } from "../../read/shard_info.ts";
import type { CliCommand, CommandContext } from "../command.ts";

/** Lists the shards; reads none of them. */
export const shardsCommand: CliCommand = {
  name: "shards",
  usage: "",
  summary: "List the shards",
  examples: [
    ["shards --output-format table", "as a table"],
  ],
  readsSnapshot: true,
  declare() {},
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { manifest } = await context.loadManifest();
  const shards = shardInfosOf(manifest);
  context.print({
    fields: {
      op: "shards",
      shards: shards.map(({ shardId, rowCount, minKey, maxKey, dbUrl }) => ({
        "db_id": shardId,
        "row_count": rowCount,
        "min_key": minKey,
        "max_key": maxKey,
        "db_url": dbUrl,
      })),
    },
    text: () => shards.map(line).join("\n"),
    table: () => table(shards),
  });
  return 0;
}

function line({ shardId, rowCount, minKey, maxKey }: ShardInfo): string {
  return `db_id=${shardId}  rows=${rowCount}  min=${minKey ?? "None"}  max=${maxKey ?? "None"}`;
}

function table(shards: readonly ShardInfo[]): string {
  const rows = shards.map(({ shardId, rowCount, minKey, maxKey, dbUrl }) =>
    row([String(shardId), String(rowCount), String(minKey ?? ""), String(maxKey ?? "")], dbUrl ?? "None")
  );
  const header = row(["DB_ID", "ROWS", "MIN_KEY", "MAX_KEY"], "URL");
  return [header, "-".repeat(header.length), ...rows].join("\n");
}

const WIDTHS = [5, 8, 10, 10] as const;

function row(cells: readonly string[], url: string): string {
  return [...cells.map((cell, index) => cell.padStart(WIDTHS[index]!)), url].join("  ");
}
