// Vectors from the command line that cannot be stored or searched for: what is said, and that nothing is published.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { shardy, withFolder } from "./run_shardy.ts";

const GOOD = '{"id": 1, "at": [1, 2]}\n{"id": 2, "at": [3, 4]}\n';
const BUILD = ["build", "--key", "id", "--quiet", "--shards", "2", "--vector", "at", "--vector-dim", "2"];
const HASHED = [...BUILD, "--vector-only"];
const CLUSTERS = [...BUILD, "--sharding", "cluster"];

const REFUSED: Readonly<Record<string, readonly [args: readonly string[], input: string, message: RegExp]>> = {
  "a wrong dimension": [HASHED, `${GOOD}{"id": 3, "at": [1]}\n`, /must have 2 numbers: current value is 1 \(row 3/],
  "NaN": [[...HASHED, "--format", "csv"], 'id,at\n1,"[NaN,1]"\n', /must be an array of numbers.*NaN.*\(row 1/],
  "an infinity": [HASHED, '{"id": 1, "at": [1, 1e999]}\n', /finite as float32: current value is Infinity \(row 1/],
  "more than a float32": [HASHED, '{"id": 1, "at": [1, -1e39]}\n', /finite as float32: current value is -1e\+39/],
  "the zero vector under cosine": [HASHED, '{"id": 1, "at": [0, 0.0]}\n', /with metric "cosine" it must not be zero/],
  "a text in a vector": [HASHED, '{"id": 1, "at": [1, "2"]}\n', /all of it must be numbers: current value is "2"/],
  "no vector": [HASHED, '{"id": 1, "at": null}\n', /neither value nor vector.*\(row 1/],
  "no such column": [HASHED, '{"id": 1}\n', /at/],
  "a key that comes twice, in clusters": [CLUSTERS, `${GOOD}{"id": 1, "at": [9, 9]}\n`, /same key.*\(row 3 of/],
  "fewer vectors than clusters": [CLUSTERS, '{"id": 1, "at": [9, 9]}\n', /centroids of 2 shards with 1 vectors/],
  "no vectors to train with": [CLUSTERS, "", /centroids of 2 shards with 0 vectors/],
  "a dimension of none": [[...HASHED, "--vector-dim", "8193"], GOOD, /dim.*from 1 to 8192/],
  "more probes than shards": [[...CLUSTERS, "--probes", "3"], GOOD, /probes.*from 1 to 2, the number of shards/],
};

for (const [what, [args, input, message]] of Object.entries(REFUSED)) {
  test(`runCli() build refuses ${what}`, () =>
    withFolder(async (folder) => {
      const { exitCode, stderr } = await shardy(["--current-url", `${folder}/_CURRENT`, ...args], { input });
      match(stderr.replaceAll('\\"', '"'), message);
      ok(exitCode === 1 || exitCode === 2, `exit code ${exitCode}`);
      ok(!existsSync(`${folder}/_CURRENT`));
    }));
}

test("runCli() build refuses a metric that sqlite-vec has not", () =>
  withFolder(async (folder) => {
    for (const metric of ["dot_product", "l1"]) {
      const args = ["--current-url", `${folder}/_CURRENT`, ...HASHED, "--vector-metric", metric];
      const { exitCode, stderr } = await shardy(args, { input: GOOD });
      equal(exitCode, 2);
      match(stderr, /--vector-metric.*cosine.*l2/s);
    }
  }));

test("runCli() search refuses queries that nothing can be found by, and takes an empty snapshot", () =>
  withFolder(async (folder) => {
    const current = ["--current-url", `${folder}/_CURRENT`];
    const empty = await shardy([...current, ...HASHED], { input: "" });
    equal(empty.exitCode, 0, empty.stderr);
    const none = JSON.parse((await shardy([...current, "search", "1,2"])).stdout);
    deepEqual([none.results, none.num_shards_queried], [[], 0]);

    const built = await shardy([...current, ...CLUSTERS], { input: GOOD });
    equal(built.exitCode, 0, built.stderr);
    const refused: readonly (readonly [args: string[], message: RegExp])[] = [
      [["1,2,3"], /must have 2 numbers: current value is 3/],
      [["1"], /must have 2 numbers: current value is 1/],
      [["1,NaN"], /QUERY must be comma-separated floats/],
      [["1,"], /QUERY must be comma-separated floats/],
      [["1,Infinity"], /finite as float32: current value is Infinity/],
      [["1,1e39"], /finite as float32: current value is 1e\+39/],
      [["0,0"], /not be zero with metric "cosine"/],
      [["1,2", "--shard-ids", "2"], /shard.*2/],
      [["1,2", "--shard-ids", "x"], /--shard-ids must be comma-separated integers/],
      [["1,2", "--top-k", "0"], /--top-k/],
      [["1,2", "--top-k", "4097"], /topK.*from 1 to 4096/],
      [["1,2", "--probes", "0"], /--probes/],
    ];
    for (const [args, message] of refused) {
      const { exitCode, stderr, stdout } = await shardy([...current, "search", ...args]);
      match(stderr.replaceAll('\\"', '"'), message, `${args}: ${stdout}`);
      ok(exitCode === 1 || exitCode === 2, `${args}: exit code ${exitCode}`);
    }
    const all = JSON.parse((await shardy([...current, "search", "1,2", "--probes", "99"])).stdout);
    deepEqual([all.results.length, all.num_shards_queried], [2, 2]);
  }));
