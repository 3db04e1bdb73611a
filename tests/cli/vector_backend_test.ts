// Which engines the command line puts vectors into. Judges: rows that are far apart; what the manifest names.
import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { lanceMissing, lanceTest } from "../backends/lance_shards.ts";
import { shardy, withFolder } from "./run_shardy.ts";

const ndjson = Array.from(
  { length: 12 },
  (_, id) => ({ id, at: [id % 2 * 100 + id, -(id % 2) * 100], name: `row ${id}` }),
)
  .map((row) => `${JSON.stringify(row)}\n`).join("");
const build = ["build", "--key", "id", "--shards", "2", "--quiet", "--vector", "at", "--vector-dim", "2"];
const byL2 = [...build, "--vector-metric", "l2", "--payload", "json:name"];

interface Engine {
  readonly args: readonly string[];
  /** What the manifest names. */
  readonly names: string;
  /** Nearest to 107.5, -100. */
  readonly score: number;
  readonly isVectorOnly?: boolean;
}

const engines: readonly Engine[] = [
  { args: [], names: "sqlite-vec", score: 0.5 },
  { args: ["--backend", "sqlite", "--page-size", "8192"], names: "sqlite-vec", score: 0.5 },
  { args: ["--backend", "slatedb"], names: "slatedb and sqlite-vec", score: 0.5 },
  { args: ["--vector-backend", "lancedb"], names: "sqlite and lancedb", score: 0.25 },
  {
    args: ["--vector-backend", "lancedb", "--backend", "slatedb", "--slatedb-settings", '{"compression_codec":"Zstd"}'],
    names: "slatedb and lancedb",
    score: 0.25,
  },
  { args: ["--vector-backend", "lancedb", "--vector-only"], names: "lancedb", score: 0.25, isVectorOnly: true },
];

function namesOf(spec: { name: string; options: Record<string, { name: string }> }): string {
  return spec.name === "composite" ? `${spec.options["kv"]!.name} and ${spec.options["vector"]!.name}` : spec.name;
}

for (const { args, names, score, isVectorOnly = false } of engines) {
  const testIt = names.includes("lancedb") ? lanceTest : test;
  testIt(
    `shardy build ${args.join(" ")} makes a snapshot that search, get and verify read`,
    () =>
      withFolder(async (folder) => {
        const on = async (...command: string[]) => {
          const { exitCode, stdout, stderr } = await shardy(["--current-url", `${folder}/_CURRENT`, ...command], {
            input: ndjson,
          });
          equal(exitCode, 0, stderr);
          return stdout;
        };
        await on(...byL2, ...args);
        await using reader = await openSnapshot({ store: fsStore(folder) });
        const { backend } = reader.info.custom["shardyfusion"] as never as { backend: Parameters<typeof namesOf>[0] };
        equal(namesOf(backend), names);
        const { results: [hit] } = JSON.parse(await on("search", "--top-k", "1", "--", "107.5,-100"));
        deepEqual([String(hit.id), hit.score, hit.payload], ["7", score, { name: "row 7" }]);
        if (!isVectorOnly) match(await on("get", "7", "--value-encoding", "utf8"), /row 7/);
        const { problems } = JSON.parse(await on("verify"));
        deepEqual(problems ?? [], []);
      }),
  );
}

test("shardy build refuses engines that do not fit the vectors, and publishes nothing", () =>
  withFolder(async (folder) => {
    const current = ["--current-url", `${folder}/_CURRENT`];
    const wrong: [args: string[], message: RegExp][] = [
      [["--vector-metric", "dot_product"], /sqlite-vec as that has "cosine" and "l2" only.*--vector-backend lancedb/],
      [["--vector-backend", "faiss"], /sqlite-vec.*lancedb/],
      [["--vector-backend", "lancedb", "--vector-only", "--page-size", "8192"], /--page-size is not for/],
      [
        ["--vector-backend", "lancedb", "--vector-only", "--backend", "slatedb"],
        /--backend is not for vectors without/,
      ],
      [["--slatedb-settings", "{}"], /needs --backend slatedb/],
      [["--vector-only", "--slatedb-settings", "{}"], /needs --backend slatedb/],
    ];
    for (const [args, message] of wrong) {
      const { exitCode, stderr } = await shardy([...current, ...build, ...args], { input: ndjson });
      equal(exitCode, 2, stderr);
      match(stderr, message);
    }
    const plain = ["build", "--key", "id", "--shards", "2", "--quiet", "--vector-backend", "lancedb"];
    match((await shardy([...current, ...plain], { input: ndjson })).stderr, /--vector-backend needs --vector/);
    if (lanceMissing !== null) {
      const { exitCode, stderr } = await shardy([...current, ...byL2, "--vector-backend", "lancedb"], {
        input: ndjson,
      });
      equal(exitCode, 1);
      match(stderr, /npm install @lancedb\/lancedb/);
    }
    equal((await shardy([...current, "info"])).exitCode, 1);
  }));
