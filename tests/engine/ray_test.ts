// The shim for Ray on a real cluster of a head and two nodes. Judge: writeSnapshot's files and manifests for the same
// rows.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { celSharding, jsonValue, singleShard } from "../../mod.ts";
import { withFolder } from "../cli/run_shardy.ts";
import { checkSnapshot, type EngineRow, findEngine, playsAccidents, runScenarios } from "./engine_cluster.ts";

test("shardy_ray.write_snapshot: one snapshot, whatever happens to tasks; and words for rows that it refuses", {
  timeout: 600_000,
}, async (t) => {
  const python = findEngine("the shim for Ray", ["ray.data", "pyarrow"]);
  if (python === null) return t.skip("there is no Ray");
  if (!playsAccidents("Ray", "deno")) return t.skip("played on deno");
  await withFolder(async (folder) => {
    const run = await runScenarios("ray_scenarios.py", { python, folder, timeoutMs: 500_000 });
    const cel = celSharding({ expr: "region", columns: { region: "string" }, routingValues: ["asia", "eu", "us"] });
    await checkSnapshot(run, "parquet", { folder });
    await checkSnapshot(run, "settings", { folder, key: ({ name }: EngineRow) => name });
    await checkSnapshot(run, "older shuffle", { folder, value: jsonValue(["name", "region", "large", "count"]) });
    await checkSnapshot(run, "cel", { folder, sharding: cel, columns: ({ region }: EngineRow) => ({ region }) });
    await checkSnapshot(run, "single, sorted", { folder, sharding: singleShard() });
    await checkSnapshot(run, "command line", { folder });
    const { strategy, changed, other } = run.outcomes.get("settings")!;
    deepEqual([strategy, changed, other], ["sort_shuffle_pull_based", 0, 20_000], "the strategy is restored");
    equal(run.outcomes.get("no rows")?.published?.["rows_written"], 0);
    deepEqual(run.outcomes.get("modules")?.published, { found: [] }, "modules of shims go to tasks by value");
    for (const trouble of ["route-killed", "build-killed", "build-node-lost", "build-twice", "build-engine-lost"]) {
      await checkSnapshot(run, trouble, { folder });
      equal(run.outcomes.get(trouble)!["happened"], true, trouble);
    }
    const refused: Record<string, RegExp> = {
      "NaN": /column "id" as a key .* current value is NaN; .*row 42 of stdin\) \(exit code 3\)$/,
      "null key": /column "id" as a key .* current value is null; .*row 42 of stdin\) \(exit code 3\)$/,
      "text as key": /column "id" as a key .* current value is "kéy 0" \(row 1 of stdin\) \(exit code 3\)$/,
      "null value": /column "body" as it must be bytes or text: current value is null; .*row \d+ .*\(exit code 3\)$/,
      "number as value": /column "body" as it must be bytes or text: current value is \d+; .*row \d+ .*code 3\)$/,
      "missing column": /Cannot find column "id" .* has the columns name, body, region, count \(exit code 3\)$/,
      "late missing column": /Cannot find column "id" .* has the columns name, body, region, large, count .*code 3\)$/,
      "shard column": /Cannot add column "shard_id" as stdin has one.*\(exit code 3\)$/,
      "other version": /planned by version 0\.0\.1 .* this worker is version .*\(exit code 2\)$/,
      "missing worker": /Cannot start '\/no\/such\/shardy' on .*install shardy on every machine.*\(exit code 127\)$/,
      "split": /shard \d was given \d+ rows and has \d+.*\(exit code 5\)$/,
    };
    for (const [scenario, words] of Object.entries(refused)) {
      const { error } = run.outcomes.get(scenario) ?? {};
      equal(error?.type, "ShardyError", `${scenario}: ${JSON.stringify(error)}`);
      match(error!.message, words);
    }
    ok(/"error": .*current value is NaN/.test(run.log), "Ray's own log has the worker's words");
  });
});
