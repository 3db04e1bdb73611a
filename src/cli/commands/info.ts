/**
 * `shardy info`: what the manifest says about the snapshot.
 * @module
 */
import { jsonStamp } from "../../bytes/timestamps.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { fieldLines } from "../result.ts";

/** Describes the snapshot; reads no shard. */
export const infoCommand: CliCommand = {
  name: "info",
  usage: "",
  summary: "Describe the snapshot",
  examples: [
    ["info --output-format text", "one line for each property"],
  ],
  readsSnapshot: true,
  declare() {},
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { manifest, ref } = await context.loadManifest();
  const fields = {
    op: "info",
    "run_id": manifest.runId,
    "num_dbs": manifest.shardCount,
    sharding: manifest.routing.strategy,
    "created_at": isoStamp(manifest.createdAtMicros),
    "manifest_ref": ref,
    "row_count": manifest.shards.reduce((sum, { rowCount }) => sum + rowCount, 0),
    "key_encoding": manifest.keyEncoding,
    "hash_algorithm": "xxh3_64",
  };
  context.print({ fields, text: () => fieldLines(fields) });
  return 0;
}

/** As Python's `isoformat` has it: `2026-11-21T02:42:59.439579+00:00`. */
export function isoStamp(micros: number): string {
  return jsonStamp(micros).replace(/Z$/, "+00:00");
}
