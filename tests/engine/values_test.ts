// Jobs that shard by expressions, routing values that tasks find among them. Judge: writeSnapshot of the same rows,
// which infers routing values by itself.
import { deepEqual, equal, match, rejects, throws } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { celSharding, type CelShardingOptions, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import {
  buildStage,
  ENGINE_EXIT_CODES,
  engineExitCode,
  mergedValues,
  parseJob,
  parseValues,
  publishJob,
  renderValues,
  routeStage,
  valuesStage,
} from "../../src/engine/mod.ts";
import { CelEvaluationError, ConfigValidationError } from "../../src/errors.ts";
import { shardingFields } from "../../src/snapshots/write_manifest.ts";
import { shardy, streamOf, withFolder } from "../cli/run_shardy.ts";
import { arrowRowsIn, arrowStream, columnsOf } from "./arrow_tables.ts";

const REGIONS = ["us", "é", "～", "😀", "", "a"];
const ROWS = Array.from({ length: 1200 }, (_, row) => ({
  id: BigInt(row),
  body: `value ${row}`,
  region: REGIONS[row % 6]!,
  tier: BigInt(row % 4 - 1),
}));
type Row = typeof ROWS[number];
type Memory = ReturnType<typeof memoryStore>;
const PARTS = [ROWS.slice(0, 500), ROWS.slice(500, 501), ROWS.slice(501)];

function inputOf(rows: readonly Record<string, unknown>[]) {
  return { name: "stdin", bytes: streamOf(arrowStream(columnsOf(rows), 70)) };
}

const CASES: Record<string, CelShardingOptions> = {
  "direct": { expr: "shard_hash(region) % 3u", columns: { region: "string" } },
  "direct, by the key": { expr: "key / 400", columns: { key: "int" } },
  "categorical": { expr: "region", columns: { region: "string" }, routingValues: REGIONS.toReversed() },
  "inferred": { expr: "region", columns: { region: "string" }, inferRoutingValues: true },
  "inferred numbers": { expr: "tier * 1000000000000", columns: { tier: "int" }, inferRoutingValues: true },
  "inferred, by the key": {
    ...{ expr: "region + string(key % 2)", columns: { region: "string", key: "int" }, inferRoutingValues: true },
  },
};

/** The values of all tasks, by way of their lines. */
async function foundBy({ expr, columns }: CelShardingOptions): Promise<(bigint | string)[]> {
  let lines = "";
  for (const rows of PARTS) {
    const key = { column: "id", encoding: "u64be" } as const;
    lines += renderValues(await valuesStage({ input: inputOf(rows), expr, columns, key }));
  }
  return mergedValues(parseValues(lines, { name: "lines", expr }));
}

async function objects(store: Memory): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { key } of (await Array.fromAsync(store.list("shards/"))).flat()) {
    const digest = await crypto.subtle.digest(
      "SHA-256",
      await (await store.get(key)).bytes() as Uint8Array<ArrayBuffer>,
    );
    found.set(key, key.endsWith(".sidecar") ? "there" : new Uint8Array(digest).toHex());
  }
  return found;
}

for (const [name, cel] of Object.entries(CASES)) {
  test(`P9 routeStage(), buildStage(), publishJob() by CEL, ${name}: writeSnapshot's objects and routing`, async () => {
    const whole = memoryStore();
    await writeSnapshot(ROWS, {
      ...{
        store: whole,
        sharding: celSharding(cel),
        runId: "run",
        key: ({ id }: Row) => id,
        value: ({ body }) => body,
      },
      columns: ({ region, tier, id }) => ({ region, tier, key: id }),
    });
    await using expected = await openSnapshot({ store: whole });
    const routingValues = cel.inferRoutingValues ? await foundBy(cel) : cel.routingValues;
    const { spec } = celSharding({ expr: cel.expr, columns: cel.columns, routingValues });
    const shardCount = expected.info.shardCount;
    const text = JSON.stringify(
      {
        ...{ format: 1, packageVersion: "1", runId: "run", currentUrl: "/x/_CURRENT" },
        spec: {
          ...{ keyColumn: "id", keyEncoding: "u64be", value: { column: "body" }, shardCount },
          sharding: shardingFields(spec),
        },
      },
      (_, value) => typeof value === "bigint" ? Number(value) : value,
    );
    const job = parseJob(text, { name: "job.json", packageVersion: "1" });
    const store = memoryStore();
    const backend = sqliteBackend();
    const routed: Record<string, unknown>[] = [];
    for (const [task, rows] of PARTS.entries()) {
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      const write = (piece: Uint8Array): Promise<void> => Promise.resolve(void pieces.push(new Uint8Array(piece)));
      await routeStage(job, { input: inputOf(rows), write, record: { store, task } });
      routed.push(...arrowRowsIn(new Uint8Array(await new Blob(pieces).arrayBuffer())));
    }
    for (let shard = 0; shard < shardCount; shard++) {
      await buildStage(job, { store, backend, input: inputOf(routed.filter((row) => row["shard_id"] === shard)) });
    }
    await publishJob(job, { store, backend, rowCount: ROWS.length });
    deepEqual(await objects(store), await objects(whole));
    await using reader = await openSnapshot({ store });
    for (const { id, body, region, tier } of ROWS.slice(0, 50)) {
      const columns = { region, tier, key: id };
      equal(reader.route(id, { columns }), expected.route(id, { columns }));
      equal(new TextDecoder().decode((await reader.get(id, { columns }))!), body);
    }
  });
}

test("valuesStage() names rows and columns that are wrong, and what the expression needs", async () => {
  const text = { expr: "region", columns: { region: "string" } } as const;
  const found = await valuesStage({ input: { name: "stdin", bytes: streamOf(new Uint8Array()) }, ...text });
  deepEqual([found.values, found.rowCount], [[], 0]);
  const isBad = (message: RegExp, code: keyof typeof ENGINE_EXIT_CODES) => (error: Error): boolean => {
    match(error.message, message);
    equal(engineExitCode(error), ENGINE_EXIT_CODES[code]);
    return error instanceof ConfigValidationError || error instanceof CelEvaluationError;
  };
  const rows = [ROWS[0]!, { ...ROWS[1]!, region: null }];
  await rejects(valuesStage({ input: inputOf(rows), ...text }), isBad(/region.*\(row 2 of stdin\)/, "badRow"));
  const missing = { expr: "area", columns: { area: "string" } } as const;
  await rejects(valuesStage({ input: inputOf(ROWS), ...missing }), isBad(/Cannot find column "area"/, "badRow"));
  const byKey = { expr: "key % 2", columns: { key: "int" } } as const;
  await rejects(valuesStage({ input: inputOf(ROWS), ...byKey }), /reads "key": name the column of the keys/);
});

test("parseValues() and mergedValues() refuse what is of another expression, or no value", () => {
  const parse = (text: string) => parseValues(text, { name: "v.jsonl", expr: "region" });
  deepEqual(mergedValues(parse('["b", "a"]\n\n{"cel_expr": "region", "routing_values": ["c", "a"]}\n')), [
    "a",
    "b",
    "c",
  ]);
  deepEqual(mergedValues([10n, 9n, -1n, 9n]), [-1n, 9n, 10n]);
  throws(() => parse('\n{"cel_expr": "area", "routing_values": []}'), /line 2 of v.jsonl as they are those of "area"/);
  for (const wrong of ["hello", "1", "[1.5]", "[null]", '{"cel_expr": "region"}']) {
    throws(() => parse(wrong), /Cannot read line 1 of v.jsonl as routing values/);
  }
  throws(() => mergedValues(["1", 1n]), /partly numbers and partly texts/);
});

test("shardy worker values, and shardy plan --routing-values @file", () =>
  withFolder(async (folder) => {
    const rule = ["--cel-expr", "region", "--cel-column", "region:string"];
    const files: string[] = [];
    for (const [part, rows] of PARTS.entries()) {
      const { exitCode, stdout, stderr } = await shardy(["worker", "values", ...rule], {
        input: arrowStream(columnsOf(rows)),
      });
      equal(exitCode, 0, stderr);
      files.push(join(folder, `values-${part}.jsonl`));
      await writeFile(files[part]!, stdout);
    }
    const place = ["--current-url", join(folder, "_CURRENT")];
    const keys = ["--key", "id", "--key-encoding", "u64be"];
    const plan = async (values: string[]) =>
      await shardy([...place, "plan", ...keys, ...rule, ...values.flatMap((value) => ["--routing-values", value])]);
    const { exitCode, stdout, stderr } = await plan(files.map((file) => `@${file}`));
    equal(exitCode, 0, stderr);
    const { spec } = JSON.parse(stdout);
    deepEqual([spec.shardCount, spec.sharding.routing_values], [6, ["", "a", "us", "é", "～", "😀"]]);
    const given = JSON.parse((await plan(['["us", "a"]'])).stdout);
    deepEqual(given.spec.sharding.routing_values, ["us", "a"]);
    match((await plan(["@no-such-file"])).stderr, /Cannot read 'no-such-file'/);
    const wrong = await plan([`@${files[0]}`, "[1]"]);
    deepEqual([wrong.exitCode, /partly numbers/.test(wrong.stderr)], [2, true]);
    const refused = [
      [["values"], /Missing option '--cel-expr'/],
      [["values", "--cel-expr", "region"], /name a column at least/],
      [["values", ...rule, "--key", "id"], /--key and --key-encoding go together/],
      [["values", ...rule, "--task", "1"], /--task is for the stage route, and not for values/],
      [["route", ...rule], /--cel-expr is for the stage values, and not for route/],
    ] as const;
    for (const [args, message] of refused) {
      const { exitCode, stderr } = await shardy(["worker", ...args], { input: arrowStream(columnsOf(ROWS)) });
      equal(exitCode, 2, stderr);
      match(stderr, message);
    }
  }));
