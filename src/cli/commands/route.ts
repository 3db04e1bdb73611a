/**
 * `shardy route KEY`: the shard of a key.
 * @module
 */
import { routerOf } from "../../routing/router_of.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { keyOf, routingColumns } from "../key_text.ts";
import { listOption, repeated } from "../option_values.ts";

/** Names the shard that has the key, or would have it; reads no shard. */
export const routeCommand: CliCommand = {
  name: "route",
  usage: "KEY",
  summary: "Tell the shard of a key",
  readsSnapshot: true,
  declare(command) {
    command.argument("KEY", "the key, as text")
      .option("--routing-context <k=v>", "value of a column that routing looks at; repeatable", repeated);
  },
  errorFields: ([key = ""]) => ({ key }),
  run,
};

async function run(context: CommandContext): Promise<number> {
  const [text = ""] = context.args;
  const columns = routingColumns(listOption(context.options, "--routing-context"));
  const { manifest } = await context.loadManifest();
  const shardId = routerOf(manifest.routing, manifest.shardCount).route(keyOf(text, manifest.keyEncoding), columns);
  context.print({ fields: { op: "route", key: text, "db_id": shardId }, text: () => `${text} -> shard ${shardId}` });
  return 0;
}
