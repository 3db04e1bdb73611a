// Vectors through the shims, on the engines themselves. Judge: writeSnapshot's files for the same rows, centroids that
// it has trained included, and an independent checker of snapshot series, named by SHARDYFUSION_JUDGE.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { clusterSharding, openSnapshot, writeSnapshot } from "../../mod.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { withFolder } from "../cli/run_shardy.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";
import { findEngine, runScenarios } from "./engine_cluster.ts";
import { filesBelow, shardFiles } from "./snapshot_files.ts";

const ROWS = Array.from({ length: 600 }, (_, row) => ({
  id: BigInt(row * 5),
  vector: [Math.sin(row), Math.cos(row * 7), Math.fround(row / 100) - 3, Math.sin(row * 13)],
  name: `row ${row}`,
}));
const MODULES = { dask: ["dask.dataframe", "distributed"], spark: ["pyspark"], ray: ["ray"] };

async function centroidsIn(folder: string): Promise<Uint8Array[]> {
  return await Promise.all((await filesBelow(join(folder, "vector_meta"))).map((path) => readFile(path)));
}

test("P9 shims for Ray, Spark and Dask: vectors by centroids, the files of writeSnapshot", {
  timeout: 600_000,
}, async (t) => {
  const engines = Object.entries(MODULES).filter(([name, modules]) =>
    findEngine(`vectors in ${name}`, ["pyarrow", ...modules]) !== null
  );
  const python = findEngine("vectors in engines", ["pyarrow"]);
  if (engines.length === 0 || python === null) return t.skip("there is no engine");
  await withFolder(async (folder) => {
    await writeFile(join(folder, "vectors.arrows"), arrowStream(columnsOf(ROWS)));
    const whole = join(folder, "whole");
    await writeSnapshot(ROWS, {
      ...{ store: fsStore(whole), sharding: clusterSharding({ shards: 3 }) },
      backend: sqliteVecBackend({ dim: 4, metric: "l2" }),
      key: ({ id }) => id,
      vector: ({ vector, name }) => ({ vector, payload: name }),
    });
    const { outcomes, log } = await runScenarios("vector_scenarios.py", { python, folder });
    for (const [name] of engines) {
      const told = outcomes.get(name);
      ok(told?.published, `${name}: ${JSON.stringify(told ?? null)}\n${log.slice(-20_000)}`);
      equal(told.published["rows_written"], ROWS.length);
      const place = join(folder, name);
      deepEqual(await shardFiles(place), await shardFiles(whole), name);
      deepEqual(await centroidsIn(place), await centroidsIn(whole), name);
      await using reader = await openSnapshot({ store: fsStore(place) });
      const { results: [nearest] } = await reader.search(ROWS[77]!.vector, { topK: 1 });
      deepEqual([nearest!.id, nearest!.payload, nearest!.score], [77 * 5, "row 77", 0]);
      const judge = process.env["SHARDYFUSION_JUDGE"];
      if (!judge) continue;
      const { stdout, stderr } = spawnSync("python3", [judge, place, "--all"], { encoding: "utf8" });
      match(stdout, /\d+ passed, 0 failed/, `${name}: ${stdout}${stderr}`);
    }
  });
});
