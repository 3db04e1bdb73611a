// The shim for Dask on a real cluster of two processes. Judge: writeSnapshot's files and manifests for the same rows.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { celSharding, jsonValue, singleShard } from "../../mod.ts";
import { withFolder } from "../cli/run_shardy.ts";
import {
  checkSnapshot,
  type EngineRow,
  findEngine,
  playsAccidents,
  REPEATED_ROWS,
  runScenarios,
} from "./engine_cluster.ts";

const jsonOf = { value: jsonValue(["name", "region", "large", "count"]) };

test("shardy_dask.write_snapshot: one snapshot, whatever happens to tasks; and words for rows that it refuses", {
  timeout: 600_000,
}, async (t) => {
  const python = findEngine("the shim for Dask", ["dask.dataframe", "distributed", "pyarrow"]);
  if (python === null) return t.skip("there is no Dask");
  if (!playsAccidents("Dask", "bun")) return t.skip("played on bun");
  await withFolder(async (folder) => {
    const run = await runScenarios("dask_scenarios.py", { python, folder });
    const repeated = { folder, rows: REPEATED_ROWS };
    const single = { ...repeated, sharding: singleShard() };
    const texts = { ...repeated, key: ({ name }: EngineRow) => name };
    const cel = celSharding({ expr: "region", columns: { region: "string" }, routingValues: ["asia", "eu", "us"] });
    await checkSnapshot(run, "threads", { folder, ...jsonOf });
    await checkSnapshot(run, "threads, repeated", repeated);
    await checkSnapshot(run, "threads, single", single);
    equal(run.outcomes.get("no rows")?.published?.["rows_written"], 0);
    equal(run.log.includes("nobody has counted"), false, "also without rows there are counts");
    await checkSnapshot(run, "p2p", repeated);
    await checkSnapshot(run, "tasks", texts);
    await checkSnapshot(run, "single, sorted", single);
    await checkSnapshot(run, "single, killed", single);
    await checkSnapshot(run, "cel", { folder, sharding: cel, columns: ({ region }: EngineRow) => ({ region }) });
    await checkSnapshot(run, "lists", {
      folder,
      value: ({ name, region, large }: EngineRow) => jsonValue()({ tags: [name, region], large }),
    });
    await checkSnapshot(run, "command line", { folder });
    deepEqual(run.outcomes.get("modules")?.published, { found: [] }, "modules of shims go to tasks by value");
    for (const trouble of ["route-killed", "build-killed", "build-node-lost", "build-twice"]) {
      await checkSnapshot(run, trouble, repeated);
      equal(run.outcomes.get(trouble)!["happened"], true, trouble);
    }
    const refused: Record<string, RegExp> = {
      "NaN": /column "id" as a key .* current value is NaN; .*row 42 of .*partition 1\) \(exit code 3\)$/,
      "null key": /column "name" as a key .* current value is null; .*row 42 of .*partition 1\) \(exit code 3\)$/,
      "text as key": /column "id" of row 42 of partition 1 as int64: it holds string; current value is 'seven'/,
      "fraction": /column "id" of row 42 of partition 1 as int64: .*7\.5/,
      "null value":
        /column "body" as it must be bytes or text: current value is null; .*\(key \d+\) \(row \d+ .*partition \d\)/,
      "number as value":
        /column "body" of row 42 of partition 1 as large_binary: .* current value is 7 \(exit code 3\)$/,
      "missing column": /Cannot find column "body" .* has the columns id, name, large \(exit code 3\)$/,
      "other version": /planned by version 0\.0\.1 .* this worker is version .* \(exit code 2\)$/,
      "missing worker": /Cannot start '\/no\/such\/shardy' on .*install shardy on every machine.*\(exit code 127\)$/,
      "unknown type": /Cannot tell what column "tags" holds from its dtype object: .*schema=/,
    };
    for (const [scenario, words] of Object.entries(refused)) {
      const { error } = run.outcomes.get(scenario) ?? {};
      equal(error?.type, "ShardyError", scenario);
      match(error!.message, words);
    }
    ok(/Compute Failed(?:.*\n)*.*current value is NaN/.test(run.log), "Dask's own log has the worker's words");
  });
});
