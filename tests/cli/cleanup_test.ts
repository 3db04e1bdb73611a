// `shardy cleanup`, `pin` and `unpin`, on a copy of the fixture that has something to remove. What they print in a dry
// run is checked by the vectors of the Python package.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { cpSync, existsSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { shardy, withFolder } from "./run_shardy.ts";

const source = fileURLToPath(new URL("../fixtures/snapshots/cleanup/store/shardy-fixtures/cleanup", import.meta.url));
const clock = new ManualClock(Date.UTC(2026, 10, 22) * 1000);

async function withSeries(use: (folder: string, url: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    cpSync(source, folder, { recursive: true });
    await use(folder, `${folder}/_CURRENT`);
  });
}

test("runCli() cleanup removes what a dry run prints, and the manifests of old runs", async () => {
  await withSeries(async (folder, url) => {
    const args = ["--current-url", url, "cleanup", "--keep-last", "1", "--explain"];
    const planned = JSON.parse((await shardy([...args, "--dry-run"], { clock })).stdout);
    const { stdout, stderr, exitCode } = await shardy(args, { clock });
    equal(exitCode, 0, stderr);
    const done = JSON.parse(stdout);
    equal(done["total_objects_deleted"], 3 + 3 + 4 + 1 + 1);
    equal(done["total_prefixes_removed"], planned["total_prefixes_removed"]);
    for (const field of ["kept", "kept_runs", "removed_manifests", "removed_run_records"]) {
      deepEqual(done[field], planned[field]);
    }
    equal(planned["removed_manifests"].length, 2);
    equal(readdirSync(`${folder}/manifests`).length, 1);
    deepEqual(planned.kept[0].reasons, ["current", "newest"]);
    const text = await shardy([...args, "--output-format", "text"], { clock });
    match(
      text.stdout,
      /^Cleanup for run_id=63804c\w+\nTotal: 0 prefixes, 0 objects\n {2}keep {2}current, newest {2}s3:/,
    );
  });
});

test("runCli() cleanup leaves alone what is younger than --grace, pinned, or of unknown age (P5)", async () => {
  await withSeries(async (folder, url) => {
    const cleanup = async (...args: string[]): Promise<Record<string, { run_id: string }[]>> => {
      const { stdout } = await shardy(["--current-url", url, "cleanup", "--keep-last", "1", ...args], { clock });
      return JSON.parse(stdout);
    };
    const young = await cleanup("--grace", "2d");
    deepEqual(young["old_runs"]!.map((run) => run["run_id"]), ["orphan-1", "orphan-12"]);
    const pinned = await shardy(["--current-url", url, "pin", "--offset", "2", "--for", "7d"], { clock });
    match(pinned.stdout, /^\{"op": "pin", "ref": "s3:\/\/shardy.*43ebf2.*", "until": "2026-11-29T00:00:00Z"\}\n$/);
    const kept = await cleanup("--keep-unknown");
    deepEqual(kept["old_runs"]!.map((run) => run["run_id"].slice(0, 6)), ["14043d"]);
    ok(existsSync(`${folder}/pins`));
    const unpinned = await shardy(["--current-url", url, "unpin", "--offset", "1"], { clock });
    match(unpinned.stdout, /^\{"op": "unpin", "ref": ".*43ebf2.*", "removed": 1\}\n$/);
    deepEqual((await cleanup())["old_runs"]!.map((run) => run["run_id"].slice(0, 6)), ["43ebf2"]);
  });
});

test("runCli() cleanup and pin say what they cannot do", async () => {
  await withFolder(async (folder) => {
    const url = `${folder}/_CURRENT`;
    for (const command of ["cleanup", "pin", "unpin"]) {
      const { exitCode, stderr } = await shardy(["--current-url", url, command]);
      equal(exitCode, 1);
      match(stderr, /nothing was published/i);
    }
  });
});
