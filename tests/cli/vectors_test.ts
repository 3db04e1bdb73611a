// Command lines with the output of the Python package's `shardy`, on the snapshots it wrote.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { type Outcome, shardy, withFolder } from "./run_shardy.ts";

interface Vector {
  snapshot: string;
  args: string[];
  stdin: string | null;
  "exit_code": number;
  stdout: string;
  stderr: string;
  "uncaught_exception"?: string;
}

const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));
const { cases, script_files: scripts }: { cases: Vector[]; "script_files": Record<string, string> } = JSON.parse(
  readFileSync(`${fixtures}vectors/cli_vectors.json`, "utf8"),
);

/** The fixtures `history` and `cleanup` were made on that day: the day after, they are old enough to be removed. */
const clock = new ManualClock(Date.UTC(2026, 10, 22) * 1000);

function folderOf(snapshot: string): string {
  return `${fixtures}snapshots/${snapshot}/store/shardy-fixtures/${snapshot}`;
}

// The folder is a copy of an S3 prefix: refs keep naming the place where the series was published.
async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  let result: T;
  await withFolder(async (folder) => {
    result = await use(folder);
  });
  return result!;
}

async function run({ snapshot, args, stdin }: Vector, folder: string): Promise<Outcome> {
  for (const [name, text] of Object.entries(scripts)) await writeFile(join(folder, name), text);
  const words = args.map((word) => word.endsWith(".yaml") ? join(folder, word) : word);
  const url = `${folderOf(snapshot)}/_CURRENT`;
  const { stderr, ...outcome } = await shardy(["--current-url", url, ...words], { input: stdin ?? "", clock });
  return { ...outcome, stderr: stderr.replaceAll(`${folder}/`, "") };
}

/** What differs from one run to the next, and what the fixtures' README names as no contract. */
function normalised(text: string): string {
  return text.replace(/"manifest_age_seconds": [\d.]+/, '"manifest_age_seconds": 0.0')
    // Python names functions of its own.
    .replace(/(requires routing_context; ).*?(?=", "key)/, "$1…")
    .replace(/(Failed to initialise reader: ).*/s, "$1…")
    .replace(/(Invalid SQLite override\(s\): ).*/s, "$1…")
    // Python prints the names of its enums.
    .replace("sharding=ShardingStrategy.HASH", "sharding=hash")
    .replace("key_encoding=KeyEncoding.U64BE", "key_encoding=u64be")
    .replace("hash_algorithm=ShardHashAlgorithm.XXH3_64", "hash_algorithm=xxh3_64");
}

for (const [index, vector] of cases.entries()) {
  const name = `runCli() vector ${index}: ${vector.snapshot}: shardy ${vector.args.join(" ")}`;
  test(name, async () => {
    const outcome = await inFolder((folder) => run(vector, folder));
    if (vector.uncaught_exception !== undefined) {
      // Python falls over its own feet; what was typed is wrong.
      equal(outcome.exitCode, 2);
      match(outcome.stderr, /^Usage: .*--routing-context must be KEY=VALUE, got: 'bad'/s);
      return;
    }
    equal(outcome.exitCode, vector.exit_code, outcome.stderr);
    equal(normalised(outcome.stdout), normalised(vector.stdout));
    equal(normalised(outcome.stderr), normalised(vector.stderr));
  });
}

test("runCli() vectors: all of them are run, on the fixtures that they name", () => {
  equal(cases.length, 87);
  const missing = cases.filter(({ snapshot }) => snapshot !== "nothing_here" && !existsSync(folderOf(snapshot)));
  deepEqual(missing, []);
});

test("runCli() reads the fixtures whatever the form of the URL", async () => {
  const path = `${folderOf("history")}/_CURRENT`;
  const expected = '{"op": "get", "key": "12", "found": true, "value": "cnVuMS0xMg=="}\n';
  for (const url of [path, `file://${path}`]) {
    equal((await shardy(["--current-url", url, "get", "12"])).stdout, expected);
    equal((await shardy(["get", "12", "--current-url", url])).stdout, expected);
    equal((await shardy(["get", "12"], { env: { "SHARDY_CURRENT": url } })).stdout, expected);
  }
});

test("runCli() shows values in the encoding asked for", async () => {
  const url = `${folderOf("history")}/_CURRENT`;
  const shown = async (encoding: string): Promise<string> =>
    (await shardy(["--current-url", url, "--output-format", "text", "get", "12", "--value-encoding", encoding])).stdout;
  equal(await shown("base64"), "12=cnVuMS0xMg==\n");
  equal(await shown("hex"), "12=72756e312d3132\n");
  equal(await shown("utf8"), "12=run1-12\n");
  const { exitCode, stderr } = await shardy(["--current-url", url, "get", "12", "--value-encoding", "rot13"]);
  equal(exitCode, 2);
  match(stderr, /'rot13' is not one of 'base64', 'hex', 'utf8'/);
});

test("runCli() pins with --ref what --offset pins", async () => {
  const url = `${folderOf("history")}/_CURRENT`;
  const listed = await shardy(["--current-url", url, "history"]);
  const { ref } = JSON.parse(listed.stdout).manifests[2];
  const byRef = await shardy(["--current-url", url, "--ref", ref, "info"]);
  const byOffset = await shardy(["--current-url", url, "info", "--offset", "2"]);
  equal(byRef.exitCode, 0);
  equal(byRef.stdout, byOffset.stdout);
  ok(byRef.stdout.includes('"num_dbs": 2'));
});
