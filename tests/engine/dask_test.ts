// The shim for Dask on a real cluster of two processes. Judge: writeSnapshot's files and manifests for the same rows.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { celSharding, jsonValue, singleShard } from "../../mod.ts";
import { withFolder } from "../cli/run_shardy.ts";
import { checkSnapshot, type EngineRow, findEngine, REPEATED_ROWS, runScenarios } from "./engine_cluster.ts";

const jsonOf = { value: ({ name, region, large, count }: EngineRow) => ({ name, region, large, count }) };

test("shardy_dask.write_snapshot: one snapshot, whatever happens to tasks; and words for rows that it refuses", {
  timeout: 300_000,
}, async (t) => {
  const python = findEngine("the shim for Dask", ["dask.dataframe", "distributed", "pyarrow"]);
  if (python === null) return t.skip("there is no Dask");
  await withFolder(async (folder) => {
    const run = await runScenarios("dask_scenarios.py", { python, folder });
    const repeated = { folder, rows: REPEATED_ROWS };
    const single = { ...repeated, sharding: singleShard() };
    const texts = { ...repeated, key: ({ name }: EngineRow) => name, keyColumn: "name" };
    await checkSnapshot(run, "threads", { folder, ...jsonOf });
    await checkSnapshot(run, "threads, repeated", repeated);
    await checkSnapshot(run, "threads, single", single);
    await checkSnapshot(run, "p2p", repeated);
    await checkSnapshot(run, "tasks", texts);
    await checkSnapshot(run, "single, sorted", single);
    await checkSnapshot(run, "given type", { folder, ...jsonOf });
    await checkSnapshot(run, "command line", { folder });
    deepEqual(run.outcomes.get("modules")?.published, { found: [] }, "modules of shims go to tasks by value");
    for (const trouble of ["route-killed", "build-killed", "build-node-lost", "build-twice"]) {
      await checkSnapshot(run, trouble, repeated);
      equal(run.outcomes.get(trouble)!["happened"], true, trouble);
    }
    const error = (scenario: string): string => run.outcomes.get(scenario)?.error?.message ?? "";
    match(error("NaN"), /column "id" as a key .* current value is NaN.*row 42 of .* partition 1 \(exit code 3\)$/);
  });
});
