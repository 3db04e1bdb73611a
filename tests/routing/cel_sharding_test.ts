// Judge: what the Python package made of the same rules, `tests/fixtures/vectors/{cel,misc}_vectors.json`.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { celSharding, celShardingByColumns, type CelShardingOptions } from "../../src/routing/cel_sharding.ts";
import { sortedTokens } from "../../src/routing/cel_assigner.ts";
import type { Key } from "../../src/routing/key.ts";
import { keyOf, type NotedKey } from "../read/fixture_snapshots.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";

interface Failure {
  readonly error: { readonly class: string };
}

interface Misc {
  readonly "discover_cel_num_dbs": readonly { readonly ids: readonly number[]; readonly result: number | Failure }[];
  readonly "infer_routing_values": readonly {
    readonly values: readonly NotedKey[];
    readonly result: readonly NotedKey[] | Failure;
  }[];
}

interface ByColumns {
  readonly columns: Parameters<typeof celShardingByColumns>[0];
  readonly options: { readonly "num_shards"?: number; readonly separator?: string };
  readonly result: Failure | {
    readonly "cel_expr": string;
    readonly "cel_columns": Readonly<Record<string, string>>;
    readonly "infer_routing_values_from_data": boolean;
  };
}

const misc: Misc = fixtureJson("vectors/misc_vectors.json");
const byColumns: readonly ByColumns[] = fixtureJson("vectors/cel_vectors.json").cel_sharding_by_columns;

test("celShardingByColumns() makes the expressions that the Python package makes", () => {
  for (const { columns, options, result } of byColumns) {
    const { num_shards: shards, separator } = options;
    const make = () => celShardingByColumns(columns, { shards, separator });
    if ("error" in result) {
      throws(make, { name: result.error.class });
      continue;
    }
    const { spec, isInferred } = make();
    deepEqual([spec.expr, spec.columns, spec.routingValues], [result.cel_expr, result.cel_columns, null]);
    equal(isInferred, result.infer_routing_values_from_data);
  }
});

test("celShardingByColumns() refuses wrong options by name", () => {
  throws(() => celShardingByColumns(["a"], { shards: 1.5 }), { path: "celShardingByColumns.shards" });
  throws(() => celShardingByColumns(["a"], { shards: 2_000_000 }), { path: "celShardingByColumns.shards" });
  throws(() => celShardingByColumns(["a", "b"], { separator: 5 as never }), { path: "celShardingByColumns.separator" });
  throws(() => celShardingByColumns([{ name: "a", type: "decimal" as never }]), { code: "CONFIG_VALIDATION" });
  // CEL has no escapes for halves of characters; Python does not compile it either.
  throws(() => celShardingByColumns(["a", "b"], { separator: "😀" }), { code: "CONFIG_VALIDATION" });
});

test("celSharding() in direct mode finds the number of shards as the Python package does", () => {
  for (const { ids, result } of misc.discover_cel_num_dbs) {
    const assigner = celSharding({ expr: "id", columns: { id: "int" } }).assigner();
    const about = JSON.stringify(ids);
    // Python's sum of -1 and 1 comes out even.
    if (ids.includes(-1)) {
      throws(() => ids.forEach((id) => assigner.assign(0, { id })), { code: "SHARD_ASSIGNMENT" }, about);
      continue;
    }
    for (const id of ids) equal(assigner.assign(0, { id }), id);
    if (typeof result === "object") {
      throws(() => assigner.finish(), { name: result.error.class }, about);
      continue;
    }
    const { router, shardIdOf } = assigner.finish();
    equal(router.shardCount, result, about);
    deepEqual(ids.map(shardIdOf), ids);
  }
});

test("celSharding() infers the routing values that the Python package infers", () => {
  let inferredCount = 0;
  for (const { values, result } of misc.infer_routing_values) {
    const type = values[0]?.type ?? "string";
    const infer = () => {
      const sharding = celSharding({ expr: "t", columns: { t: type as "int" }, inferRoutingValues: true });
      const assigner = sharding.assigner();
      const assigned = values.map((value) => assigner.assign(0, { t: keyOf(value) }));
      const { router, shardIdOf } = assigner.finish();
      for (const [index, value] of values.entries()) {
        equal(shardIdOf(assigned[index]!), router.route(0, { t: keyOf(value) }));
      }
      return router;
    };
    const about = JSON.stringify(values);
    // Manifests record bytes as strings, which Python does not find again.
    if ("error" in result || type === "bytes") {
      const codes = ["CONFIG_VALIDATION", "CEL_EVALUATION"];
      throws(infer, (error: { code: string }) => codes.includes(error.code), about);
      continue;
    }
    const { spec, shardCount } = infer();
    deepEqual(spec.strategy === "cel" && spec.routingValues, result.map(keyOf), about);
    equal(shardCount, Math.max(1, result.length));
    inferredCount++;
  }
  ok(inferredCount >= 4);
});

test("sortedTokens() sorts by value, and strings by code point", () => {
  deepEqual(sortedTokens(["😀", "a", "～", ""]), ["", "a", "～", "😀"]);
  deepEqual(sortedTokens([2n ** 60n, 3, -(2n ** 60n), -1]), [-(2n ** 60n), -1, 3, 2n ** 60n]);
});

const region = { expr: "region", columns: { region: "string" } } as const;

test("celSharding() says what it is made of", () => {
  const values = celSharding({ ...region, routingValues: ["eu", "us"] });
  deepEqual(values.spec, { strategy: "cel", ...region, routingValues: ["eu", "us"] });
  deepEqual([values.isKeyOnly, values.isInferred, values.kind], [false, false, "cel"]);
  const numbers = celSharding({ expr: "key / 10", columns: { key: "int" }, routingValues: [-1, 0, 2n ** 60n] });
  deepEqual(numbers.spec.routingValues, [-1n, 0n, 2n ** 60n]);
  deepEqual([numbers.isKeyOnly, numbers.isInferred], [true, false]);
  equal(celSharding({ ...region, inferRoutingValues: true }).isInferred, true);
});

const REFUSED: readonly [change: Partial<Record<keyof CelShardingOptions | "other", unknown>>, path: string][] = [
  [{ expr: "" }, "celSharding.expr"],
  [{ expr: "region +" }, "expr"],
  [{ expr: "region == 'eu'" }, "expr"],
  // Python would take the text for a number; nobody needs that.
  [{}, "celSharding.expr"],
  [{ columns: {} }, "celSharding.columns"],
  [{ columns: { region: "text" } }, "columns.region"],
  [{ columns: { key: "int" } }, "expr"],
  [{ routingValues: [] }, "celSharding.routingValues"],
  [{ routingValues: ["eu", 1] }, "celSharding.routingValues"],
  [{ routingValues: ["eu", "eu"] }, "celSharding.routingValues"],
  [{ routingValues: [true] }, "celSharding.routingValues"],
  [{ routingValues: [null] }, "celSharding.routingValues"],
  [{ routingValues: ["\ud800"] }, "celSharding.routingValues"],
  [{ routingValues: [new Uint8Array(1)] }, "celSharding.routingValues"],
  [{ routingValues: [1, 2] }, "celSharding.expr"],
  [{ expr: "bytes(region)", inferRoutingValues: true }, "celSharding.expr"],
  [{ expr: "bytes(region)", routingValues: ["eu"] }, "celSharding.expr"],
  [{ routingValues: ["eu"], inferRoutingValues: true }, "celSharding.inferRoutingValues"],
  [{ inferRoutingValues: 1 }, "celSharding.inferRoutingValues"],
  [{ nul: "keep" }, "celSharding.nul"],
  [{ other: 1 }, "celSharding.other"],
];

test("celSharding() refuses wrong options by name", () => {
  for (const [change, path] of REFUSED) {
    const options = { ...region, ...change } as CelShardingOptions;
    throws(() => celSharding(options), { code: "CONFIG_VALIDATION", path }, JSON.stringify(Object.keys(change)));
  }
});

test("celSharding() gives rows without a shard errors, not shards", () => {
  const assign = (sharding: ReturnType<typeof celSharding>, row: Record<string, unknown>, key: Key = 0) =>
    sharding.assigner().assign(key, row);
  const direct = celSharding({ expr: "n", columns: { n: "int" } });
  for (const n of [-1, 1_000_000, 2n ** 62n]) throws(() => assign(direct, { n }), { code: "SHARD_ASSIGNMENT" });
  const known = celSharding({ ...region, routingValues: ["eu"] });
  throws(() => assign(known, { region: "us" }), { code: "SHARD_ASSIGNMENT", message: /"routingValues".*"us"/ });
  const failing = celSharding({ expr: "1 / n", columns: { n: "int" }, inferRoutingValues: true });
  throws(() => assign(failing, { n: 0 }), { code: "CEL_EVALUATION", message: /divi/ });
  throws(() => assign(failing, {}), { code: "CEL_EVALUATION" });
});

test("celSharding() refuses a NUL in a column, after which Python's readers read nothing", () => {
  const refusing = celSharding({ ...region, inferRoutingValues: true }).assigner();
  throws(() => refusing.assign(0, { region: "eu\0west" }), { code: "CEL_EVALUATION", message: /NUL/ });
  const cutting = celSharding({ ...region, inferRoutingValues: true, nul: "cut" }).assigner();
  equal(cutting.assign(0, { region: "eu\0west" }), cutting.assign(0, { region: "eu" }));
  const { router } = cutting.finish();
  deepEqual(router.spec.strategy === "cel" && router.spec.routingValues, ["eu"]);
  equal(router.route(0, { region: "eu\0south" }), 0);
});

test("celSharding() stops inferring where there are too many values to be shards", () => {
  const { assign } = celSharding({ expr: "key", columns: { key: "int" }, inferRoutingValues: true }).assigner();
  for (let key = 0; key < 100_000; key++) assign(key, undefined);
  equal(assign(99_999, undefined), 99_999);
  throws(() => assign(100_000, undefined), { code: "CONFIG_VALIDATION", message: /at most 100000 different/ });
});
