// The shim for Spark on a real cluster of two executors. Judge: writeSnapshot's files and manifests for the same rows.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { celSharding, jsonValue, singleShard } from "../../mod.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { withFolder } from "../cli/run_shardy.ts";
import { checkSnapshot, type EngineRow, findEngine, playsAccidents, runScenarios } from "./engine_cluster.ts";
import { filesBelow } from "./snapshot_files.ts";

/** As the engine's types say it: a time, and a decimal fraction of two places. */
function json({ id, name, large, count }: EngineRow): string {
  const seen = new Date(Number(id) * 1000).toISOString();
  return jsonValue()({ name, large, count, seen, price: (Number(id) / 4).toFixed(2) });
}

/** Attempts and tasks of what was published. */
async function builtBy(place: string): Promise<{ attempts: number[]; tasks: number }> {
  const manifests = objectManifestStore(fsStore(place));
  const { shards } = await manifests.loadManifest((await manifests.loadCurrent())!.ref);
  const tasks = new Set(shards.map(({ writerInfo }) => writerInfo["task_attempt_id"]));
  return { attempts: shards.map(({ attempt }) => attempt), tasks: tasks.size };
}

test("shardy_spark.write_snapshot: one snapshot, whatever happens to tasks; and words for rows that it refuses", {
  timeout: 700_000,
}, async (t) => {
  const python = findEngine("the shim for Spark", ["pyspark", "pyarrow"]);
  if (python === null) return t.skip("there is no Spark");
  if (!playsAccidents("Spark", "node")) return t.skip("played on node");
  if (spawnSync("java", ["-version"]).status !== 0) {
    console.log("LEFT OUT: the shim for Spark, as there is no Java");
    return t.skip("there is no Java");
  }
  await withFolder(async (folder) => {
    const run = await runScenarios("spark_scenarios.py", { python, folder, timeoutMs: 600_000 });
    await checkSnapshot(run, "settings", { folder });
    await checkSnapshot(run, "before 4.1", { folder, key: ({ name }: EngineRow) => name });
    const regions = celSharding({ expr: "region", columns: { region: "string" }, routingValues: ["asia", "eu", "us"] });
    const columns = ({ region }: EngineRow): { region: string } => ({ region });
    await checkSnapshot(run, "types", { folder, value: json, sharding: regions, columns });
    await checkSnapshot(run, "killed", { folder });
    await checkSnapshot(run, "engine lost", { folder });
    await checkSnapshot(run, "slow", { folder, sharding: singleShard() });
    for (const trouble of ["killed", "engine lost", "slow"]) {
      equal(run.outcomes.get(trouble)!["happened"], true, trouble);
    }
    const { before, after, cached } = run.outcomes.get("settings")!;
    deepEqual(after, before, "settings are what they were");
    equal(cached, false, "nothing is kept any longer");
    equal(run.outcomes.get("types")!["cached"], true, "what the caller keeps stays");
    match(run.outcomes.get("fixed setting")?.error?.message ?? "", /CANNOT_MODIFY_CONFIG.*spark\.executor\.memory/);
    deepEqual(run.outcomes.get("after it")?.published, before, "settings are what they were, also after an error");
    deepEqual(run.outcomes.get("modules")?.published, { found: [] }, "modules of shims go to tasks by value");
    equal(run.outcomes.get("no rows")?.published?.["rows_written"], 0);

    // Adaptive execution has not joined the partitions, small as they are.
    equal((await builtBy(join(folder, "settings"))).tasks, 3);
    equal((await builtBy(join(folder, "before 4.1"))).tasks, 2);
    // What the engine has run first lies in attempt 0, and was not taken.
    deepEqual((await builtBy(join(folder, "slow"))).attempts, [1]);
    ok(/FetchFailed/.test(run.log), "a stage was run again, after results had got lost");

    const refused: Record<string, RegExp> = {
      "NaN": /column "id" as a key .* current value is NaN; .*\(row \d+ .*\(task \d of stage route, .*exit code 3\)$/,
      "null key": /column "id" as a key .* current value is null; .*\(row \d+ .*stage route, .*\(exit code 3\)$/,
      "text as key": /column "id" as a key .* current value is "\d+" \(row 1 .*stage route, .*\(exit code 3\)$/,
      "null value": /column "body" as it must be bytes or text: current value is null; .*\(row \d+ .*stage build/,
      "number as value": /column "body" as it must be bytes or text: current value is \d+; .*\(row 1 .*stage build/,
      "missing column": /Cannot find column "id" .* has the columns name, body, region, count .*\(exit code 3\)$/,
      "shard column": /Cannot add column 'shard_id' as there is one: plan with shard_id_column \(exit code 2\)$/,
      "other version": /planned by version 0\.0\.1 .* this worker is version .* \(exit code 2\)$/,
      "missing worker": /Cannot start '\/no\/such\/shardy' on .*install shardy on every machine.*\(exit code 127\)$/,
    };
    for (const [scenario, words] of Object.entries(refused)) {
      const { error } = run.outcomes.get(scenario) ?? {};
      equal(error?.type, "ShardyError", `${scenario}: ${JSON.stringify(run.outcomes.get(scenario))}`);
      match(error!.message, words);
    }
    const logs = (await filesBelow(join(folder, "work"))).filter((path) => path.endsWith("stderr"));
    const logged = (await Promise.all(logs.map((path) => readFile(path, "utf8")))).join("");
    match(logged, /ShardyError: Cannot use column "id" as a key .* current value is NaN/);
  });
});
