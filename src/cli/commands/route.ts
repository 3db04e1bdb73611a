/**
 * `shardy route KEY`: the shard of a key.
 * @module
 */
import { routerOf } from "../../routing/router_of.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { keyOf } from "../key_text.ts";
import { repeated } from "../option_values.ts";
import { columnsFor, routed, typedColumns } from "../routing_columns.ts";

/** Names the shard that has the key, or would have it; reads no shard. */
export const routeCommand: CliCommand = {
  name: "route",
  usage: "KEY",
  summary: "Tell the shard of a key",
  examples: [
    ["route 42", "the number of the shard"],
  ],
  readsSnapshot: true,
  declare(command) {
    command.argument("KEY", "the key, as text")
      .option("--routing-context <k=v>", "column that routing looks at, or a JSON object; repeatable", repeated);
  },
  errorFields: ([key = ""]) => ({ key }),
  run,
};

async function run(context: CommandContext): Promise<number> {
  const [text = ""] = context.args;
  const typed = typedColumns(context.options);
  const { manifest } = await context.loadManifest();
  const { routing, shardCount, keyEncoding } = manifest;
  const router = await routerOf(routing, shardCount);
  const shardId = await routed(() => router.route(keyOf(text, keyEncoding), columnsFor(typed, routing)));
  context.print({ fields: { op: "route", key: text, "db_id": shardId }, text: () => `${text} -> shard ${shardId}` });
  return 0;
}
