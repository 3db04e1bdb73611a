// Jobs by the commands: vectors, a single shard, expressions. Judges: `shardy build` of the same rows, byte by byte,
// and an independent checker of snapshot series in Python, named by SHARDYFUSION_JUDGE (a path to its script).
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { writeNpy } from "../../src/vector/npy.ts";
import { type Outcome, shardy, withFolder } from "../cli/run_shardy.ts";
import { arrowRowsIn, arrowStream, columnsOf } from "./arrow_tables.ts";

const ROWS = Array.from({ length: 900 }, (_, row) => ({
  id: BigInt(row),
  vector: [Math.sin(row), Math.cos(row * 7), Math.fround(row / 100) - 4],
  region: ["eu", "us", "ap"][row % 3]!,
  side: BigInt(row % 2),
  name: `row ${row}`,
}));
const INPUT = arrowStream(columnsOf(ROWS), 100);
const judge = process.env["SHARDYFUSION_JUDGE"];
if (judge === undefined) {
  console.log("LEFT OUT: the independent checker of snapshots (SHARDYFUSION_JUDGE is not set)");
}

async function ok0(args: string[], options: Parameters<typeof shardy>[1] = {}): Promise<Outcome> {
  const outcome = await shardy(args, options);
  equal(outcome.exitCode, 0, `${args.join(" ")}: ${outcome.stderr}`);
  return outcome;
}

/** Contents by path below the run; of sidecars, which name the version of the file beside them, that they are there. */
async function filesOf(folder: string): Promise<Map<string, Uint8Array | null>> {
  const found = new Map<string, Uint8Array | null>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !/shards|vector_meta/.test(path.slice(folder.length))) continue;
    const name = path.slice(folder.length).replace(/run_id=[^/\\]+/, "run");
    found.set(name, name.endsWith(".sidecar") ? null : await readFile(path));
  }
  return found;
}

/** Routes in two tasks, builds each shard in one, and publishes; gives the folder of the series. */
async function carryOut(
  folder: string,
  planned: string[],
  tasks: { isRouted?: boolean | undefined } = {},
): Promise<string> {
  const place = join(folder, "by-job");
  const job = ["--job", join(folder, "job.json")];
  await ok0(["--current-url", join(place, "_CURRENT"), "plan", ...planned, "--output", job[1]!]);
  if (tasks.isRouted === false) {
    await ok0(["worker", "build", ...job, "--quiet"], { input: INPUT });
    await ok0(["publish", ...job, "--rows", String(ROWS.length)]);
    return place;
  }
  const routed: Record<string, unknown>[] = [];
  for (const [task, rows] of [ROWS.slice(0, 400), ROWS.slice(400)].entries()) {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const stdoutBytes = (piece: Uint8Array): Promise<void> => Promise.resolve(void pieces.push(new Uint8Array(piece)));
    const route = ["worker", "route", ...job, "--task", String(task), "--quiet"];
    await ok0(route, { input: arrowStream(columnsOf(rows), 90), stdoutBytes });
    routed.push(...arrowRowsIn(new Uint8Array(await new Blob(pieces).arrayBuffer())));
  }
  const rows = routed.map((row) => ({ ...row, vector: [...row["vector"] as number[]] }) as Record<string, unknown>);
  for (const shard of new Set(rows.map((row) => row["shard_id"]))) {
    const input = arrowStream(columnsOf(rows.filter((row) => row["shard_id"] === shard)));
    await ok0(["worker", "build", ...job, "--quiet"], { input });
  }
  await ok0(["publish", ...job]);
  return place;
}

function check(place: string): void {
  if (judge === undefined) return;
  const { stdout, stderr, status } = spawnSync("python3", [judge, place, "--all"], { encoding: "utf8" });
  equal(status, 0, stdout + stderr);
  match(stdout, /\d+ passed, 0 failed/);
}

async function compared(
  folder: string,
  { place, build }: { place: string; build: string[] },
): Promise<string> {
  const whole = join(folder, "by-build");
  const rows = join(folder, "rows.arrows");
  await writeFile(rows, INPUT);
  await ok0(["--current-url", join(whole, "_CURRENT"), "build", rows, ...build, "--quiet"]);
  deepEqual(await filesOf(place), await filesOf(whole));
  check(place);
  return whole;
}

async function searched(place: string, args: string[]): Promise<unknown> {
  const { stdout } = await ok0([
    "--current-url",
    join(place, "_CURRENT"),
    "search",
    ...args,
    "--top-k",
    "4",
    "--",
    "0,1,2",
  ]);
  return JSON.parse(stdout).results;
}

const KEY = ["--key", "id", "--key-encoding", "u64be"];
const VECTOR = ["--vector", "vector", "--vector-dim", "3", "--vector-metric", "l2", "--payload", "json:name,region"];
const REGION = ["--cel-expr", "region", "--cel-column", "region:string"];
const CASES: Record<string, { args: string[]; search: string[]; isRouted?: boolean }> = {
  "lsh": {
    args: ["--sharding", "lsh", "--shards", "4", "--hash-bits", "5", "--probes", "2"],
    search: ["--probes", "4"],
  },
  "explicit": {
    args: ["--sharding", "explicit", "--shards", "2", "--shard-column", "side"],
    search: ["--shard-ids", "1"],
  },
  "CEL": {
    args: ["--vector-only", ...REGION, "--routing-values", '["us","eu","ap"]'],
    search: ["--routing-context", "region=eu"],
  },
  "hash": { args: ["--vector-only", "--shards", "3"], search: [] },
  "single shard": { args: ["--vector-only", "--single-shard"], search: [], isRouted: false },
  "values and vectors, single shard": { args: ["--value", "name", "--single-shard"], search: [], isRouted: false },
  "values and vectors, CEL": {
    args: ["--value", "json:name", ...REGION, "--routing-values", '["us","eu","ap"]'],
    search: [],
  },
};

for (const [name, { args, search, isRouted }] of Object.entries(CASES)) {
  test(
    `P9 shardy plan, worker, publish with vectors, ${name}: the files of shardy build`,
    { timeout: 60_000 },
    () =>
      withFolder(async (folder) => {
        const all = [...KEY, ...VECTOR, ...args];
        const place = await carryOut(folder, all, { isRouted });
        const whole = await compared(folder, { place, build: all });
        const results = await searched(place, search) as unknown[];
        deepEqual(results, await searched(whole, search));
        equal(results.length, 4);
      }),
  );
}

test(
  "P9 shardy plan --train-file trains the centroids that shardy build trains",
  { timeout: 60_000 },
  () =>
    withFolder(async (folder) => {
      const cluster = [
        ...KEY,
        ...VECTOR,
        "--sharding",
        "cluster",
        "--shards",
        "3",
        "--train-sample",
        "200",
        "--seed",
        "5",
      ];
      const rows = join(folder, "sample.arrows");
      await writeFile(rows, INPUT);
      const place = await carryOut(folder, [...cluster, "--train-file", rows]);
      const whole = await compared(folder, { place, build: cluster });
      deepEqual(await searched(place, ["--probes", "2"]), await searched(whole, ["--probes", "2"]));
      const listed = await ok0(["--current-url", join(place, "_CURRENT"), "cleanup", "--dry-run"]);
      equal(JSON.parse(listed.stdout).total_prefixes_removed, 0);
      ok((await ok0(["--current-url", join(place, "_CURRENT"), "verify"])).stdout.includes('"problems": []'));
    }),
);

test(
  "P9 shardy plan takes centroids, and vectors to train with, from files of NumPy",
  { timeout: 60_000 },
  () =>
    withFolder(async (folder) => {
      const centroids = join(folder, "centroids.npy");
      await writeFile(centroids, writeNpy({ shape: [2, 3], values: Float64Array.of(0, 0.1, 3, 1, 1, -3) }));
      const given = [...KEY, ...VECTOR, "--sharding", "cluster", "--centroids", centroids];
      await compared(folder, { place: await carryOut(folder, given), build: given });
      const vectors = join(folder, "vectors.npy");
      await writeFile(
        vectors,
        writeNpy({ shape: [4, 3], values: Float32Array.of(0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 8) }),
      );
      const place = join(folder, "other");
      await ok0([
        ...[
          "--current-url",
          join(place, "_CURRENT"),
          "plan",
          ...KEY,
          ...VECTOR,
          "--sharding",
          "cluster",
          "--shards",
          "2",
        ],
        ...["--train-file", vectors, "--output", join(folder, "other.json")],
      ]);
      const [meta] = (await filesOf(place)).values();
      deepEqual([...new Float32Array(meta!.buffer.slice(meta!.byteLength - 24))].sort(), [0, 0, 0.5, 8.5, 9, 9]);
    }),
);

test(
  "shardy plan: its hyperplanes stay as long as the run's lease, and go with the run",
  { timeout: 60_000 },
  () =>
    withFolder(async (folder) => {
      const place = ["--current-url", join(folder, "_CURRENT")];
      const clock = new ManualClock(Date.UTC(2026, 10, 22) * 1000);
      const sharding = ["--sharding", "lsh", "--shards", "2", "--lease", "2d"];
      const plan = async (runId: string) =>
        await shardy([...place, "plan", ...KEY, ...VECTOR, ...sharding, "--run-id", runId], { clock });
      const hyperplanes = async () => (await readdir(join(folder, "vector_meta"))).sort();
      const cleanUp = async () => await ok0([...place, "cleanup", "--include-old-runs"], { clock });
      const published = await plan("published");
      const job = { env: { "SHARDY_JOB": published.stdout }, clock };
      await ok0(["worker", "build", "--quiet"], { ...job, input: INPUT });
      await ok0(["publish"], job);
      const left = await plan("left");
      equal(left.exitCode, 0, left.stderr);
      const again = await plan("left");
      equal(again.exitCode, 1);
      match(again.stderr, /hyperplanes\.npy/);
      clock.advance(86_400_000);
      await cleanUp();
      deepEqual(await hyperplanes(), ["run_id=left", "run_id=published"]);
      clock.advance(2 * 86_400_000);
      await cleanUp();
      deepEqual(await hyperplanes(), ["run_id=published"]);
      const late = { env: { "SHARDY_JOB": left.stdout }, clock, input: INPUT };
      const gone = await shardy(["worker", "build"], late);
      deepEqual([gone.exitCode, /hyperplanes.npy is not in the store: plan it again/.test(gone.stderr)], [2, true]);
      await ok0([...place, "search", "--top-k", "1", "--", "0,1,2"]);
    }),
);

test(
  "shardy plan refuses options about vectors that do not fit, and leaves nothing behind",
  { timeout: 60_000 },
  () =>
    withFolder(async (folder) => {
      const wrong: [args: string[], message: RegExp][] = [
        [
          [...VECTOR, "--sharding", "cluster", "--shards", "2"],
          /needs --centroids or --train-file, as no worker sees all/,
        ],
        [[...VECTOR, "--sharding", "lsh"], /--sharding lsh needs --shards/],
        [
          [...VECTOR, "--sharding", "lsh", "--shards", "2", "--train-file", "x.npy"],
          /--train-file is for --sharding cluster/,
        ],
        [[...VECTOR, "--sharding", "lsh", "--shards", "2", "--single-shard"], /--single-shard is not for --sharding/],
        [
          [...VECTOR, "--sharding", "lsh", "--shards", "2", "--value", "name"],
          /--value is not for vectors without values/,
        ],
        [[...VECTOR, "--vector-only", "--shards", "2", "--backend", "slatedb"], /--backend is not for vectors without/],
        [[...VECTOR, "--sharding", "lsh", "--shards", "2", "--probes", "3"], /probes.*from 1 to 2/],
        [
          [...VECTOR, "--sharding", "explicit", "--shards", "2", "--shard-column", "shard_id"],
          /vector.sharding.column" as it must differ from "shardIdColumn"/,
        ],
        [["--sharding", "lsh", "--shards", "2"], /--sharding needs --vector/],
        [
          ["--vector", "vector", "--vector-dim", "3", "--vector-metric", "dot_product", "--shards", "2"],
          /"sqlite-vec" as that has "cosine" and "l2" only/,
        ],
      ];
      for (const [args, message] of wrong) {
        const place = ["--current-url", join(folder, "place", "_CURRENT")];
        const { exitCode, stderr } = await shardy([...place, "plan", ...KEY, ...args]);
        equal(exitCode, 2, stderr);
        match(stderr, message);
      }
      deepEqual(await readdir(folder), []);
    }),
);

test("docs/engines.md: its commands about vectors and routing values", { timeout: 120_000 }, async (t) => {
  if (process.platform === "win32") {
    console.log("LEFT OUT: the commands of docs/engines.md, as they need a POSIX shell");
    return t.skip("needs a POSIX shell");
  }
  await withFolder(async (folder) => {
    const page = await readFile(new URL("../../docs/engines.md", import.meta.url), "utf8");
    const script = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map(([, text]) => text!)
      .find((text) => text.includes("--train-file"))!;
    const points = ROWS.map(({ id, vector, name }) => ({ id, at: vector, name }));
    const parts = ROWS.map(({ id, region }) => ({ id, region, body: `in ${region}` }));
    await writeFile(join(folder, "points.arrows"), arrowStream(columnsOf(points)));
    await writeFile(join(folder, "sample.arrows"), arrowStream(columnsOf(points.slice(0, 100))));
    await writeFile(join(folder, "part-0.arrows"), arrowStream(columnsOf(parts.slice(0, 2))));
    await writeFile(join(folder, "part-1.arrows"), arrowStream(columnsOf(parts.slice(2))));
    const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
    const words = [process.execPath, ..."deno" in process.versions ? ["run", "-A", "--no-check"] : [], main];
    await mkdir(join(folder, "bin"));
    await writeFile(
      join(folder, "bin", "shardy"),
      `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`,
    );
    await chmod(join(folder, "bin", "shardy"), 0o755);
    const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"]}` };
    const { status, stderr } = spawnSync("sh", ["-e", "-c", script], { cwd: folder, env, encoding: "utf8" });
    equal(status, 0, stderr);
    const all = ["--probes", "3"];
    const [hit] = await searched(join(folder, "points"), all) as { payload: string }[];
    match(hit!.payload, /^row \d+$/);
    const { spec } = JSON.parse(await readFile(join(folder, "regions.json"), "utf8"));
    deepEqual(spec.sharding.routing_values, ["ap", "eu", "us"]);
  });
});
