// Jobs whose vectors are in LanceDB, or beside rows in another engine. Judge: `shardy build` of the same rows, by what
// searches and lookups answer, as these engines name their files anew each time; `shardy verify`.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { lanceTest } from "../backends/lance_shards.ts";
import { shardy, withFolder } from "../cli/run_shardy.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";

const ROWS = Array.from({ length: 400 }, (_, row) => ({
  id: BigInt(row),
  vector: [Math.sin(row), Math.cos(row * 7), Math.fround(row / 100) - 2],
  name: `row ${row}`,
}));

type Run = (args: string[], input?: Uint8Array<ArrayBuffer>) => Promise<string>;

const run: Run = async (args, input = new Uint8Array()) => {
  const { exitCode, stdout, stderr } = await shardy(args, { input });
  equal(exitCode, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
};

const KEY = ["--key", "id", "--key-encoding", "u64be"];
const VECTOR = ["--vector", "vector", "--vector-dim", "3", "--vector-metric", "l2", "--payload", "name"];
const PLAIN = ["--value", "name", "--shards", "2"];
const CASES: Record<string, { args: string[]; isLance: boolean; hasValues: boolean }> = {
  "LanceDB, vectors only": {
    args: ["--vector-backend", "lancedb", "--sharding", "lsh", "--shards", "3", "--probes", "3"],
    isLance: true,
    hasValues: false,
  },
  "SQLite and LanceDB": { args: ["--vector-backend", "lancedb", ...PLAIN], isLance: true, hasValues: true },
  "SlateDB and LanceDB": {
    args: ["--vector-backend", "lancedb", "--backend", "slatedb", ...PLAIN],
    isLance: true,
    hasValues: true,
  },
  "SlateDB and sqlite-vec": { args: ["--backend", "slatedb", ...PLAIN], isLance: false, hasValues: true },
};

for (const [name, { args, isLance, hasValues }] of Object.entries(CASES)) {
  const declare: typeof lanceTest = isLance ? lanceTest : (name, use) => void test(name, { timeout: 60_000 }, use);
  declare(
    `shardy plan, worker, publish with ${name}: what shardy build answers`,
    (_: TestContext) =>
      withFolder(async (folder) => {
        const [place, whole] = ["by-job", "by-build"].map((name) => ["--current-url", join(folder, name, "_CURRENT")]);
        const job = ["--job", join(folder, "job.json")];
        const input = arrowStream(columnsOf(ROWS));
        await run([...place!, "plan", ...KEY, ...VECTOR, ...args, "--output", job[1]!]);
        const first = await run(["worker", "build", ...job, "--quiet"], input);
        ok(first.includes('"objects"'));
        // A speculative task, and one that met its folder.
        await run(["worker", "build", ...job, "--quiet", "--attempt", "1"], input);
        const taken = await shardy(["worker", "build", ...job, "--quiet"], { input });
        deepEqual([taken.exitCode, taken.stdout], [6, ""], taken.stderr);
        await run(["worker", "build", ...job, "--quiet", "--attempt", "next"], input);
        await run(["publish", ...job, "--rows", String(ROWS.length), "--verify"]);
        const rows = join(folder, "rows.arrows");
        await writeFile(rows, input);
        await run([...whole!, "build", rows, ...KEY, ...VECTOR, ...args, "--quiet"]);

        const answers = async (place: string[]): Promise<unknown[]> => {
          const search = await run([...place, "search", "--top-k", "5", "--", "0.1,0.9,-1.2"]);
          const lookup = hasValues ? await run([...place, "get", "77", "--value-encoding", "utf8"]) : "";
          const { vector, backend } = JSON.parse(await run([...place, "info"]));
          return [JSON.parse(search).results, lookup, vector, backend];
        };
        deepEqual(await answers(place!), await answers(whole!));
        const { problems } = JSON.parse(await run([...place!, "verify"]));
        deepEqual(problems ?? [], []);
        const dry = JSON.parse(await run([...place!, "cleanup", "--dry-run"]));
        equal(dry.total_prefixes_removed, 0);
      }),
  );
}

test("shardy plan refuses engines that do not fit the vectors", async () => {
  await withFolder(async (folder) => {
    const wrong: [args: string[], message: RegExp][] = [
      [["--vector-backend", "lancedb", "--vector-only", "--shards", "2", "--page-size", "8192"], /page size/],
      [["--vector-backend", "faiss", "--shards", "2"], /sqlite-vec.*lancedb/],
    ];
    for (const [args, message] of wrong) {
      const place = ["--current-url", join(folder, "_CURRENT")];
      const { exitCode, stderr } = await shardy([...place, "plan", ...KEY, ...VECTOR, ...args]);
      equal(exitCode, 2, stderr);
      match(stderr, message);
    }
    const plain = ["plan", ...KEY, "--shards", "2", "--vector-backend", "lancedb"];
    match(
      (await shardy(["--current-url", join(folder, "_CURRENT"), ...plain])).stderr,
      /--vector-backend needs --vector/,
    );
  });
});
