// Judge: the files of the folder, changed by hand, and snapshots that the Python package wrote.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readdir, readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { shardy, withFolder } from "./run_shardy.ts";

const ROWS = Array.from({ length: 100 }, (_, id) => `{"id": ${id}, "name": "row ${id}"}\n`).join("");

async function build(folder: string, ...more: string[]): Promise<void> {
  const args = ["build", "--current-url", `${folder}/_CURRENT`, "--key", "id", "--shards", "2", "--quiet", ...more];
  const { exitCode, stderr } = await shardy(args, { input: ROWS });
  equal(exitCode, 0, stderr);
}

async function fileOf(folder: string, name: string): Promise<string> {
  const paths = await readdir(folder, { recursive: true });
  return join(folder, paths.sort().find((path) => path.endsWith(name))!);
}

test("shardy verify exits with 0 when all is sound", async () => {
  await withFolder(async (folder) => {
    await build(folder);
    const { exitCode, stdout, stderr } = await shardy(["verify", "--current-url", `${folder}/_CURRENT`]);
    deepEqual([exitCode, stderr, stdout.trim().split("\n").length], [0, "", 1]);
    const { op, is_sound: isSound, row_count: rows, num_dbs: shards, problems, unchecked } = JSON.parse(stdout);
    deepEqual([op, isSound, rows, shards, problems, unchecked], ["verify", true, 100, 2, [], []]);
    const text = await shardy(["--output-format", "text", "verify", "--current-url", `${folder}/_CURRENT`]);
    match(text.stdout, /^sound\nrun_id=\w+ {2}shards=2 {2}rows=100 {2}bytes_read=\d+\nmanifest_ref=.*\n$/);
  });
});

test("shardy verify exits with 1 and tells the problems", async () => {
  await withFolder(async (folder) => {
    await build(folder);
    const path = await fileOf(folder, "shard.db");
    const bytes = await readFile(path);
    bytes[5000]! ^= 1;
    await writeFile(path, bytes);
    await unlink(await fileOf(folder, "shard.sidecar"));
    const found = await shardy(["verify", "--current-url", `${folder}/_CURRENT`]);
    equal(found.exitCode, 1);
    const { is_sound: isSound, problems, problem_count: count } = JSON.parse(found.stdout);
    deepEqual([isSound, count, problems.length], [false, 3, 3]);
    deepEqual(problems.map(({ kind }: { kind: string }) => kind).sort(), ["digest", "missing", "page"]);
    const page = problems.find(({ kind }: { kind: string }) => kind === "page");
    deepEqual([page.db_id, page.byte_offset], [0, 4096]);
    const text = await shardy(["verify", "--current-url", `${folder}/_CURRENT`, "--output-format", "text"]);
    match(text.stdout, /^NOT SOUND: 3 problems\n/);
    match(text.stdout, /\nshard 0 {2}page: page 2 .*\n {4}\S+shard\.db at byte 4096\n/);
    const other = await shardy(["verify", "--current-url", `${folder}/_CURRENT`, "--shard", "1"]);
    equal(other.exitCode, 0);
  });
});

test("shardy verify checks an earlier snapshot", async () => {
  await withFolder(async (folder) => {
    await build(folder, "--run-id", "first");
    await build(folder, "--run-id", "second");
    const offset = await shardy(["verify", "--offset", "1", "--current-url", `${folder}/_CURRENT`]);
    const { run_id: runId, manifest_ref: ref } = JSON.parse(offset.stdout);
    equal(runId, "first");
    const byRef = await shardy(["verify", "--ref", ref, "--current-url", `${folder}/_CURRENT`]);
    deepEqual([byRef.exitCode, byRef.stdout], [0, offset.stdout]);
    const beyond = await shardy(["verify", "--offset", "2", "--current-url", `${folder}/_CURRENT`]);
    deepEqual([beyond.exitCode, beyond.stderr], [1, "Error: Offset 2 out of range (only 2 manifests available)\n"]);
  });
});

test("shardy verify says what it could not check", async () => {
  const folder = fileURLToPath(
    new URL("../fixtures/snapshots/hash_u64/store/shardy-fixtures/hash_u64/", import.meta.url),
  );
  const { exitCode, stdout } = await shardy([
    "verify",
    "--current-url",
    `${folder}_CURRENT`,
    "--output-format",
    "table",
  ]);
  equal(exitCode, 0);
  match(stdout, /^sound\n/);
  match(
    stdout,
    /\nnot checked: digests of objects, as the manifest records none \(shards 0, 1, 2, 3, 4 and 3 more\)\n/,
  );
});

test("shardy verify exits with 2 when the command line is wrong, and with 1 without a place", async () => {
  await withFolder(async (folder) => {
    await build(folder);
    const place = ["--current-url", `${folder}/_CURRENT`];
    for (
      const [args, message] of [
        [["--shard", "x"], /Invalid value for '--shard': 'x' is not a valid integer/],
        [["--shard", "-1"], /--shard must be >= 0/],
        [["--shard", "2"], /the snapshot has 2 shards, from 0: current value has 2/],
        [["--ref", "a", "--offset", "1"], /mutually exclusive/],
        [["1"], /more arguments/],
      ] as const
    ) {
      const { exitCode, stderr, stdout } = await shardy(["verify", ...place, ...args]);
      deepEqual([exitCode, stdout], [2, ""]);
      match(stderr, message);
    }
    equal((await shardy(["verify"])).exitCode, 1);
    const help = await shardy(["verify", "--help"]);
    match(help.stdout, /--shard <n>[\s\S]*Example/);
  });
});

test("shardy verify shows its progress on a terminal", async () => {
  await withFolder(async (folder) => {
    await build(folder);
    const { stderr } = await shardy(["verify", "--current-url", `${folder}/_CURRENT`], { isTerminal: true });
    match(stderr, /2 of 2 shards, 0 MB/);
    ok(stderr.endsWith("\r\x1b[K"));
  });
});
