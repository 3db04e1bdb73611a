// Searches from the command line. Judges: what the Python package found in its own snapshots, and rows that are far apart.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { writeNpy } from "../../src/vector/npy.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";
import { shardy, withFolder } from "./run_shardy.ts";

const snapshots = fileURLToPath(new URL("../fixtures/snapshots/", import.meta.url));

function currentOf(name: string): string {
  return `${snapshots}${name}/store/shardy-fixtures/${name}/_CURRENT`;
}

interface Found {
  readonly op: string;
  readonly results: readonly { readonly id: number | string; readonly score: number; readonly payload: unknown }[];
}

for (const name of ["vec_only_cluster", "vec_only_lsh", "vec_only_explicit", "vec_only_cel", "vec_unified_cel"]) {
  test(`runCli() search finds what Python finds in ${name}`, async () => {
    const { searches } = fixtureJson(`snapshots/${name}/expected.json`);
    for (const search of searches) {
      const context = Object.entries(search.routing_context ?? {}) as [string, { value: string }][];
      const { exitCode, stdout, stderr } = await shardy([
        ...["--current-url", currentOf(name), "search", "--top-k", `${search.top_k}`],
        ...(search.shard_ids ? ["--shard-ids", search.shard_ids.join()] : []),
        ...(search.num_probes ? ["--probes", `${search.num_probes}`] : []),
        ...context.flatMap(([column, { value }]) => ["--routing-context", `${column}=${value}`]),
        ...["--", search.query.values.join()],
      ]);
      equal(exitCode, search.error ? 1 : 0, stderr);
      if (search.error) {
        match(stderr, /^\{"op": "search", "error": /);
        continue;
      }
      const found = JSON.parse(stdout) as Found & Record<string, number>;
      deepEqual(Object.keys(found), ["op", "top_k", "num_shards_queried", "latency_ms", "results"]);
      equal(found["num_shards_queried"], search.num_shards_queried);
      const expected = search.results as { id: { value: string }; score: number; payload: unknown }[];
      deepEqual(found.results.map(({ id }) => `${id}`), expected.map(({ id }) => id.value));
      found.results.forEach(({ score, payload }, i) => {
        ok(Math.abs(score - expected[i]!.score) < 1e-5);
        deepEqual(payload, expected[i]!.payload);
      });
    }
  });
}

const rows = Array.from({ length: 12 }, (_, id) => ({
  id,
  at: [id % 2 * 100 + id, -(id % 2) * 100],
  name: `row ${id}`,
  side: id % 2,
}));
const ndjson = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const csv = [
  "id,at,name,side",
  ...rows.map(({ id, at, name, side }) => `${id},"${JSON.stringify(at)}",${name},${side}`),
]
  .join("\n");

const BUILDS: Readonly<Record<string, readonly string[]>> = {
  "trained clusters": ["--sharding", "cluster", "--shards", "2", "--seed", "5", "--train-sample", "100"],
  "hyperplanes": ["--sharding", "lsh", "--shards", "3", "--hash-bits", "4", "--probes", "3"],
  "explicit": ["--sharding", "explicit", "--shards", "2", "--shard-column", "side"],
  "vectors by hash": ["--shards", "3", "--vector-only"],
  "vectors beside values": ["--shards", "3", "--value", "name"],
};

for (const [how, args] of Object.entries(BUILDS)) {
  for (const [format, input] of [["ndjson", ndjson], ["csv", csv]]) {
    test(`runCli() build and search: ${how}, from ${format}`, () =>
      withFolder(async (folder) => {
        const current = ["--current-url", `${folder}/_CURRENT`];
        const built = await shardy([
          ...current,
          ...["build", "--format", format!, "--key", "id", "--key-encoding", "u64be", "--quiet"],
          ...["--vector", "at", "--vector-dim", "2", "--vector-metric", "l2", "--payload", "json:name", ...args],
        ], { input: input! });
        equal(built.exitCode, 0, built.stderr);
        const shards = how === "explicit" ? ["--shard-ids", "0,1"] : [];
        const search = ["search", "--top-k", "2", ...shards, "--", "107.25,-100"];
        const { stdout, stderr } = await shardy([...current, ...search]);
        const hits = (JSON.parse(stdout || stderr) as Found).results.map(({ id, score, payload }) => ({
          id,
          score,
          payload,
        }));
        const expected = [
          { id: 7, score: 0.25, payload: { name: "row 7" } },
          { id: 9, score: 1.75, payload: { name: "row 9" } },
        ];
        // Hyperplanes may put neighbours into different shards.
        if (how === "hyperplanes") deepEqual(hits[0], expected[0]);
        else deepEqual(hits, expected);
        const got = await shardy([...current, "--output-format", "text", "get", "7", "--value-encoding", "utf8"]);
        if (how === "vectors beside values") equal(got.stdout, "7=row 7\n");
        else equal(got.exitCode, 1);
      }));
  }
}

test("runCli() search prints tables and text, and takes the query from a file of NumPy", () =>
  withFolder(async (folder) => {
    const url = ["--current-url", currentOf("vec_only_cluster")];
    const [search] = fixtureJson("snapshots/vec_only_cluster/expected.json").searches;
    const values = Float32Array.from(search.query.values as number[]);
    const queries: [number[], Float32Array<ArrayBuffer>][] = [[[8], values], [[1, 8], values]];
    for (const [shape, numbers] of queries) {
      const path = `${folder}/${shape.length}.npy`;
      await writeFile(path, writeNpy({ shape, values: numbers }));
      const text = await shardy([...url, "--output-format", "text", "search", "--top-k", "2", "--vector-file", path]);
      const [head, first, second, ...others] = text.stdout.split("\n");
      match(head!, /^top_k=2 {2}shards=2 {2}latency_ms=\d+\.\d\d$/);
      equal(first, 'id=0  score=0.000000  {"i": 0}');
      match(second!, /^id=93 {2}score=\d\.\d{6} {2}\{"i": 93\}$/);
      deepEqual(others, [""]);
      const table = await shardy([...url, "--output-format", "table", "search", "--top-k", "1", "--vector-file", path]);
      equal(
        table.stdout,
        `${"ID".padEnd(20)}  ${"SCORE".padStart(12)}  PAYLOAD\n0${" ".repeat(25)}0.000000  {"i": 0}\n`,
      );
    }
    const wrong = `${folder}/wrong.npy`;
    await writeFile(wrong, writeNpy({ shape: [2, 4], values }));
    match((await shardy([...url, "search", "--vector-file", wrong])).stderr, /^Error: .*must hold one vector/);
    await writeFile(wrong, "no numbers");
    match((await shardy([...url, "search", "--vector-file", wrong])).stderr, /^Error: Cannot read .*wrong\.npy/);
    equal((await shardy([...url, "search", "1", "--vector-file", wrong])).exitCode, 2);
    const short = await shardy([...url, "search", "1,2"]);
    deepEqual([short.exitCode, /must have 8 numbers/.test(short.stderr)], [1, true]);
  }));

test("runCli() build takes centroids from a file of NumPy, and options for vectors only with vectors", () =>
  withFolder(async (folder) => {
    const centroids = `${folder}/centroids.npy`;
    await writeFile(centroids, writeNpy({ shape: [2, 2], values: Float32Array.of(0, 0, 100, -100) }));
    const build = ["--current-url", `${folder}/series/_CURRENT`, "build", "--key", "id", "--quiet"];
    const vectors = ["--vector", "at", "--vector-dim", "2", "--vector-metric", "l2"];
    const args = [...build, ...vectors, "--sharding", "cluster", "--centroids", centroids, "--vector-id", "name"];
    const built = await shardy(args, { input: ndjson });
    equal(built.exitCode, 0, built.stderr);
    const found = await shardy(["--current-url", `${folder}/series/_CURRENT`, "search", "0,0", "--top-k", "9"]);
    deepEqual(
      (JSON.parse(found.stdout) as Found).results.map(({ id }) => id),
      [0, 2, 4, 6, 8, 10].map((id) => `row ${id}`),
    );
    for (
      const wrong of [
        ["--sharding", "cluster", "--shards", "2"],
        ["--vector", "at", "--shards", "2"],
        [...vectors, "--centroids", centroids, "--shards", "2"],
        [...vectors, "--sharding", "cluster"],
        [...vectors, "--sharding", "lsh"],
        [...vectors, "--sharding", "explicit", "--shards", "2"],
        [...vectors, "--sharding", "cluster", "--shards", "2", "--hash-bits", "2"],
        [...vectors, "--sharding", "cluster", "--shards", "3", "--centroids", centroids],
        [...vectors, "--sharding", "lsh", "--shards", "3", "--hyperplanes", centroids, "--hash-bits", "3"],
        [...vectors],
      ]
    ) {
      const { exitCode, stderr } = await shardy([...build, ...wrong], { input: ndjson });
      deepEqual([exitCode, stderr.startsWith("Usage: shardy build")], [2, true], `${wrong.join(" ")}: ${stderr}`);
    }
    const bad = await shardy([...build, ...vectors, "--shards", "2"], { input: '{"id": 1, "at": "x"}\n' });
    match(bad.stderr, /Cannot read a vector from column.*row 1 of the source/);
  }));
