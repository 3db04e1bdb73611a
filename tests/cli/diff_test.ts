// What changed between snapshots. Judge: the rows that the tests wrote.
import { deepEqual, equal, match } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { shardy, withFolder } from "./run_shardy.ts";

async function withBuilds(
  builds: readonly (readonly [rows: Record<string, string>, args: string[]])[],
  use: (run: (...args: string[]) => ReturnType<typeof shardy>) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const place = ["--current-url", join(folder, "_CURRENT")];
    for (const [rows, args] of builds) {
      const input = Object.entries(rows).map(([k, v]) => `${JSON.stringify({ k, v })}\n`).join("");
      const { exitCode, stderr } = await shardy(
        [...place, "build", "--key", "k", "--value", "v", "--quiet", ...args],
        { input },
      );
      equal(exitCode, 0, stderr);
    }
    await use((...args) => shardy([...place, ...args]));
  });
}

const ROWS = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`key${i}`, `value ${i}`]));
const CHANGED = { ...ROWS, key7: "other", extra: "new" } as Record<string, string>;
delete CHANGED["key9"];

test("shardy diff: which shards differ, and with --keys which keys", async () => {
  const shards = ["--shards", "32"];
  await withBuilds([[ROWS, shards], [ROWS, shards], [CHANGED, shards]], async (run) => {
    const same = JSON.parse((await run("diff", "2", "1", "--keys")).stdout);
    deepEqual([...new Set(same.shards.map(({ change }: { change: string }) => change))], ["same"]);
    deepEqual(same.keys, { added: 0, removed: 0, changed: 0, listed: [] });
    const found = JSON.parse((await run("diff", "--keys")).stdout);
    const changed = found.shards.filter(({ change }: { change: string }) => change === "changed");
    equal(changed.length > 0 && changed.length <= 3, true, "three keys are in at most three shards");
    const listed = found.keys.listed.map(({ key, change }: Record<string, string>) => `${change} ${key}`).sort();
    deepEqual(listed, ["added extra", "changed key7", "removed key9"]);
    equal((await run("diff", "2", "1", "--exit-code")).exitCode, 0);
    equal((await run("diff", "1", "0", "--exit-code")).exitCode, 1);
    match(
      (await run("--output-format", "text", "diff", "--keys", "--limit", "0")).stdout,
      /keys: 1 added, 1 removed, 1 changed\n$/,
    );
  });
});

test("shardy diff --keys compares rows that are sharded in different ways", async () => {
  await withBuilds([[ROWS, ["--shards", "3"]], [CHANGED, ["--single-shard"]]], async (run) => {
    const { same_sharding: isSame, keys } = JSON.parse((await run("diff", "--keys")).stdout);
    equal(isSame, false);
    deepEqual({ ...keys, listed: keys.listed.length }, { added: 1, removed: 1, changed: 1, listed: 3 });
  });
  await withBuilds([[{ 1: "a" }, ["--single-shard", "--key-encoding", "utf8"]], [ROWS, [
    "--single-shard",
    "--key-encoding",
    "raw",
  ]]], async (run) => {
    match(
      (await run("diff", "--keys")).stderr,
      /^Error: Cannot compare keys as they are encoded in different ways: utf8 and raw/,
    );
  });
});

test("shardy diff on snapshots of the Python package, and what it cannot compare", async () => {
  const snapshots = fileURLToPath(new URL("../fixtures/snapshots/", import.meta.url));
  const run = (...args: string[]) =>
    shardy(["--current-url", `${snapshots}history/store/shardy-fixtures/history/_CURRENT`, "diff", ...args]);
  // Keys 0 to 39, 10 to 49 and 20 to 59, each with a value of its run.
  deepEqual(JSON.parse((await run("2", "1", "--keys", "--limit", "1")).stdout).keys, {
    ...{ added: 10, removed: 10, changed: 30 },
    listed: [{ key: "0", change: "removed" }],
  });
  const itself = JSON.parse((await run("d43df1defb4042fea9eb669aba848f4c", "1")).stdout);
  equal(itself.shards.every(({ change }: { change: string }) => change === "same"), true);
  for (
    const [args, complaint] of [
      [["9", "0"], /^Error: Offset 9 out of range/],
      [["none"], /^Error: No manifest found with run_id=none/],
      [["s3://other/place"], /^Error: Cannot read the manifest 's3:\/\/other\/place'/],
      [["--", "1", "2", "3"], /^Usage: /],
    ] as const
  ) {
    match((await run(...args)).stderr, complaint);
  }
});
