// Judge: the values that were put in, and snapshots that the Python package wrote.
import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Outcome, shardy, withFolder } from "./run_shardy.ts";

const NDJSON = [
  { id: 1, region: "us", tier: 1, big: 1 },
  { id: 2, region: "eu", tier: 2, big: 2 },
  { id: 3, region: "us", tier: 3, big: 3 },
].map((row) => JSON.stringify(row)).join("\n").replace('"big":3', '"big":9007199254740993');

function printed({ exitCode, stdout, stderr }: Outcome): Record<string, unknown> {
  equal(exitCode, 0, stderr);
  return JSON.parse(stdout.replace(/9007199254740993/g, '"9007199254740993"'));
}

/** Builds into a folder and gives what asks for it. */
async function built(
  folder: string,
  args: readonly string[],
  input: string = NDJSON,
): Promise<{ fields: Record<string, unknown>; ask: (...args: string[]) => Promise<Outcome> }> {
  const at = ["--current-url", `${folder}/_CURRENT`];
  const fields = printed(await shardy([...at, "build", "--key", "id", "--quiet", ...args], { input }));
  return { fields, ask: (...more) => shardy([...at, ...more]) };
}

const CONTEXT = "--routing-context";

test("shardy build --cel-expr infers shards, and get, multiget and route find rows by their columns", async () => {
  await withFolder(async (folder) => {
    const args = ["--cel-expr", "region", "--cel-column", "region:string", "--infer-routing-values"];
    const { fields, ask } = await built(folder, [...args, "--sample", "3"]);
    deepEqual([fields["num_dbs"], fields["rows_written"]], [2, 3]);
    equal(printed(await ask("info"))["sharding"], "cel");
    equal(printed(await ask("route", "1", CONTEXT, "region=us"))["db_id"], 1);
    equal(printed(await ask("get", "1", CONTEXT, "region=us", "--value-encoding", "utf8"))["found"], true);
    equal(printed(await ask("get", "1", CONTEXT, "region=eu"))["found"], false);
    equal(printed(await ask("get", "1", CONTEXT, "region=moon"))["found"], false);
    const many = printed(await ask("multiget", "1", "2", "3", CONTEXT, '{"region": "us"}'));
    deepEqual((many["results"] as { found: boolean }[]).map(({ found }) => found), [true, false, true]);
    const missing = await ask("multiget", "1");
    equal(missing.exitCode, 1);
    match(missing.stderr, /Multi-column CEL sharding requires routing_context; .*--routing-context/);
    equal((await ask("get", "1", CONTEXT, '{"region"')).exitCode, 2);
    equal(printed(await ask("verify"))["is_sound"], true);
  });
});

test("shardy build --cel-expr takes numbers exactly, and --routing-context gives columns their types", async () => {
  await withFolder(async (folder) => {
    const { fields, ask } = await built(folder, [
      ...["--cel-expr", "big + tier", "--cel-column", "big:int", "--cel-column", "tier:int"],
      ...["--routing-values", "[2, 4, 9007199254740996, 7]"],
    ]);
    equal(fields["num_dbs"], 4);
    for (const context of ['{"big": 9007199254740993, "tier": 3}', "big=9007199254740993"]) {
      equal(printed(await ask("get", "3", CONTEXT, context, CONTEXT, "tier=3"))["found"], true);
    }
    equal(printed(await ask("route", "3", CONTEXT, "big=9007199254740993", CONTEXT, "tier=3"))["db_id"], 2);
    const wrong = await ask("route", "3", CONTEXT, "big=many", CONTEXT, "tier=3");
    equal(wrong.exitCode, 1);
    match(wrong.stderr, /column .*big.* must be a whole number/);
  });
});

test("shardy build --cel-expr sees the key, also of CSV, whose columns are given types", async () => {
  await withFolder(async (folder) => {
    const csv = "id,on,weight\n1,true,0.5\n2,false,1.5\n3,true,2\n4,false,1\n";
    const { fields, ask } = await built(folder, [
      ...["--format", "csv", "--key-encoding", "u64be", "--cel-column", "key:int", "--cel-column", "on:bool"],
      ...["--cel-column", "weight:double", "--cel-expr", "on ? key % 2 - 1 : (weight > 1.0 ? 1 : 2)"],
    ], csv);
    equal(fields["num_dbs"], 3);
    for (const [key, on, weight, shard] of [["1", true, "0.5", 0], ["2", false, "1.5", 1], ["4", false, "1", 2]]) {
      const context = [CONTEXT, `on=${on}`, CONTEXT, `weight=${weight}`];
      equal(printed(await ask("route", `${key}`, ...context))["db_id"], shard);
      equal(printed(await ask("get", `${key}`, ...context))["found"], true);
    }
  });
  await withFolder(async (folder) => {
    const { ask } = await built(folder, ["--cel-expr", "key % 3", "--cel-column", "key:int"]);
    equal(printed(await ask("route", "2"))["db_id"], 2);
    equal(printed(await ask("multiget", "1", "2"))["op"], "multiget");
  });
});

test("shardy build refuses wrong options on CEL, and names the line of a row without a shard", async () => {
  await withFolder(async (folder) => {
    const url = `${folder}/_CURRENT`;
    const build = (...args: string[]): Promise<Outcome> =>
      shardy(["--current-url", url, "build", "--key", "id", "--quiet", ...args], { input: NDJSON });
    const region = ["--cel-expr", "region", "--cel-column", "region:string"];
    const wrong: readonly [args: string[], message: RegExp][] = [
      [["--shards", "2", ...region], /Exactly one of --shards, .* or --cel-expr/],
      [["--cel-column", "region:string", "--shards", "2"], /need --cel-expr/],
      [["--cel-expr", "region", "--cel-column", "region"], /--cel-column must be NAME:TYPE, got: 'region'/],
      [["--cel-expr", "region", "--cel-column", "region:text"], /one of int, uint, double, bool, string, bytes/],
      [["--cel-expr", "region +", "--cel-column", "region:string"], /Cannot compile CEL expression/],
      [region, /must give an int or uint/],
      [[...region, "--routing-values", "us"], /--routing-values must be a JSON array, got: 'us'/],
      [[...region, "--infer-routing-values", "--cel-nul", "keep"], /'keep' is not one of 'refuse', 'cut'/],
    ];
    for (const [args, message] of wrong) {
      const { exitCode, stderr } = await build(...args);
      equal(exitCode, 2, args.join(" "));
      match(stderr, message);
    }
    const missing = await build("--cel-expr", "zone", "--cel-column", "zone:string", "--infer-routing-values");
    equal(missing.exitCode, 1);
    match(missing.stderr, /Cannot find column \\"zone\\" in line 1 of stdin/);
    const unknown = await build(...region, "--routing-values", '["us"]');
    equal(unknown.exitCode, 1);
    match(unknown.stderr, /does not have its token: current value is .*eu.*row 2 of the source/);
  });
});

test("shardy get reads what Python sharded by columns of several types", async () => {
  const folder = fileURLToPath(new URL("../fixtures/snapshots/cel_by_columns_inferred/store/", import.meta.url));
  const ask = (...args: string[]): Promise<Outcome> =>
    shardy(["--current-url", `${folder}shardy-fixtures/cel_by_columns_inferred/_CURRENT`, ...args]);
  equal(printed(await ask("route", "0", CONTEXT, "b=false", CONTEXT, "u=0"))["db_id"], 0);
  equal(printed(await ask("get", "0", CONTEXT, "b=false", CONTEXT, "u=0"))["found"], true);
  equal(printed(await ask("route", "1000000", CONTEXT, '{"b": true, "u": 1}'))["db_id"], 4);
});
