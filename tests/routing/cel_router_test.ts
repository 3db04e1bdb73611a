// Judge: what the Python package routed, `tests/fixtures/vectors/cel_vectors.json` and snapshots that it wrote.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { routingProgram } from "../../src/routing/cel_program.ts";
import { celRouter, celRouting, type CelRoutingSpec } from "../../src/routing/cel_router.ts";
import { directShard, tokenTable } from "../../src/routing/cel_tokens.ts";
import type { Key } from "../../src/routing/key.ts";
import { contextOf, keyOf, type NotedKey } from "../read/fixture_snapshots.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";

interface Vector {
  readonly expr: string;
  readonly columns: Readonly<Record<string, string>>;
  readonly context: Readonly<Record<string, NotedKey>>;
  readonly "routing_values": readonly NotedKey[] | null;
  readonly "compile_error"?: unknown;
  readonly "runtime_error"?: string;
  readonly "evaluate_error"?: { readonly class: string };
  readonly "resolve_error"?: { readonly class: string };
  readonly shard?: number;
}

const vectors: readonly Vector[] = fixtureJson("vectors/cel_vectors.json").vectors;
/** Values of `dyn` are refused: no type is known when compiling. */
const REFUSED = "dyn(key) == 3.0 ? 1 : 0";
/** Larger than what a snapshot may have, so that as many results as possible can be compared. */
const SHARDS_END = Number.MAX_SAFE_INTEGER;

test("celRouter() routes every row of cel_vectors.json as the Python package does", () => {
  let routedCount = 0;
  for (const vector of vectors) {
    const { expr, columns, shard } = vector;
    const about = JSON.stringify(vector);
    // In JavaScript 5.0 and 5 are one number.
    if (columns["key"] === "int" && vector.context["key"]?.type === "double") continue;
    const route = (): number => {
      const program = routingProgram({ expr, columns }, "cut");
      const values = vector.routing_values?.map(keyOf) as (bigint | string | Uint8Array)[] | undefined;
      const context = Object.fromEntries(Object.entries(vector.context).map(([name, value]) => [name, keyOf(value)]));
      // The key is not known here; where `context` has none, Python has none either.
      const token = program.tokenOf(undefined as unknown as Key, context);
      return values === undefined ? directShard(token, SHARDS_END, expr) : tokenTable(values, program.type)(token);
    };
    // Rounded by JSON.parse, but far beyond any number of shards.
    const isShard = shard !== undefined && shard >= 0 && shard < SHARDS_END;
    if (expr === "b'a'" && vector.routing_values?.[0]?.type === "string") {
      // Python does not find bytes among values that its manifests record as strings; here they are found.
      equal(route(), 0, about);
    } else if (isShard && expr !== REFUSED) {
      equal(route(), shard, about);
      routedCount++;
    } else {
      throws(route, { code: codeOf(vector) }, about);
    }
  }
  ok(routedCount > 190, `only ${routedCount} were routed`);
});

function codeOf(vector: Vector): string {
  if (vector.compile_error !== undefined || vector.evaluate_error !== undefined || vector.expr === REFUSED) {
    return "CONFIG_VALIDATION";
  }
  if (vector.runtime_error !== undefined) return "CEL_EVALUATION";
  return vector.resolve_error?.class === "UnknownRoutingTokenError" ? "UNKNOWN_ROUTING_TOKEN" : "SHARD_ASSIGNMENT";
}

interface VectorSnapshot {
  readonly manifest: {
    readonly "build_meta": { readonly custom: string; readonly "num_dbs": number; sharding: string };
  };
  readonly entries?: readonly VectorRow[];
  readonly vectors?: readonly VectorRow[];
  readonly searches: readonly {
    readonly "routing_context"?: Readonly<Record<string, NotedKey>>;
    readonly "routed_shards"?: readonly number[];
    readonly "route_error"?: { readonly class: string };
  }[];
}

interface VectorRow {
  readonly id?: NotedKey;
  readonly key?: NotedKey;
  readonly shard: number;
  readonly "routing_context"?: Readonly<Record<string, NotedKey>>;
}

for (const name of ["vec_unified_cel", "vec_only_cel", "vec_only_cel_bytes", "vec_only_cel_direct"]) {
  test(`celRouter() routes the rows and searches of ${name} as the Python package does`, () => {
    const run: VectorSnapshot = fixtureJson(`snapshots/${name}/expected.json`);
    const { custom, sharding, num_dbs: shardCount } = run.manifest.build_meta;
    const noted = name === "vec_unified_cel" ? JSON.parse(sharding) : JSON.parse(custom).vector;
    const values = noted.routing_values?.map((value: string | { readonly "__bytes_hex__": string }) =>
      typeof value === "string" ? value : new Uint8Array(Buffer.from(value.__bytes_hex__, "hex"))
    );
    const spec = { expr: noted.cel_expr as string, columns: noted.cel_columns as Record<string, string> };
    const program = routingProgram(spec, "cut");
    const shardOf = values ? tokenTable(values, program.type) : null;
    const route = (row: Pick<VectorRow, "routing_context">): number => {
      const token = program.tokenOf(0, contextOf(row).columns);
      return shardOf === null ? directShard(token, shardCount, spec.expr) : shardOf(token);
    };
    const rows = run.entries ?? run.vectors!;
    ok(rows.length >= 40);
    for (const row of rows) equal(route(row), row.shard, JSON.stringify(row));
    for (const search of run.searches) {
      if (search.route_error !== undefined) throws(() => route(search), { name: search.route_error!.class });
      else if (search.routed_shards !== undefined) deepEqual([route(search)], search.routed_shards);
    }
  });
}

function spec(expr: string, columns: Record<string, string>, values?: (bigint | string)[]): CelRoutingSpec {
  return { strategy: "cel", expr, columns, routingValues: values ?? null };
}

test("celRouter() routes by the key alone where the expression looks at nothing else", () => {
  const router = celRouter(spec("key % 4", { key: "int", region: "string" }), 4);
  equal(router.isKeyOnly, true);
  equal(router.route(7), 3);
  equal(router.route(7n), 3);
  // Columns that are given take the key's place, and where they have none the key stays.
  equal(router.route(7, { key: 5 }), 1);
  equal(router.route(7, { region: "eu" }), 3);
});

test("celRouter() asks for columns, and says which", () => {
  const router = celRouter(spec('shard_hash(region + ":" + string(key)) % 8u', { key: "int", region: "string" }), 8);
  equal(router.isKeyOnly, false);
  throws(() => router.route(5), { code: "CONFIG_VALIDATION", path: "columns", message: /"region".*\{ columns: / });
  throws(() => router.route(5, {}), { code: "CEL_EVALUATION", message: /no column "region"/ });
  equal(router.route(5, { region: "eu" }), router.route(6, { region: "eu", key: 5n }));
  throws(() => router.route(5, Object.create({ region: undefined })), { code: "CEL_EVALUATION" });
});

test("celRouter() does not take what every object has for columns", () => {
  const router = celRouter(spec("shard_hash(constructor) % 2u", { constructor: "string" }), 2);
  throws(() => router.route(5, {}), { code: "CEL_EVALUATION", message: /no column "constructor"/ });
});

test("celRouter() checks the range of shards, and takes numbers in text as Python does", () => {
  const direct = celRouter(spec("t", { t: "string" }), 20);
  for (const [t, shard] of [["3", 3], [" +1_0\t", 10], ["-0", 0], ["007", 7]] as const) {
    equal(direct.route(0, { t }), shard, t);
  }
  for (const t of ["20", "-1", "", "x", "1__0", "_1", "1_", "0x1", "1.0", "1e1", "٣", "99999999999999999999"]) {
    throws(() => direct.route(0, { t }), { code: "SHARD_ASSIGNMENT" }, t);
  }
  const whole = celRouter(spec("key", { key: "int" }), 3);
  equal(whole.route(2), 2);
  for (const key of [3, -1, 2n ** 60n]) throws(() => whole.route(key), { code: "SHARD_ASSIGNMENT", message: /0 to 2/ });
});

test("celRouter() finds bytes among values that are their text, as manifests record them", () => {
  const router = celRouter(spec("key", { key: "bytes" }, ["é", "z"]), 2);
  equal(router.route(Uint8Array.of(0xc3, 0xa9)), 0);
  equal(router.route(Uint8Array.of(0x7a)), 1);
  throws(() => router.route(Uint8Array.of(0xe9)), { code: "UNKNOWN_ROUTING_TOKEN", message: /x'e9'/ });
});

test("celRouter() cuts values at a NUL as Python does, unless it is told to refuse them", () => {
  const rule = spec("key", { key: "string" }, ["a", "b"]);
  equal(celRouter(rule, 2).route("b\0c"), 1);
  throws(() => celRouter(rule, 2, { nul: "refuse" }).route("b\0c"), { code: "CEL_EVALUATION", message: /NUL/ });
});

test("celRouter() refuses what is no routing rule", () => {
  for (const expr of ["key > 3", "1.5", "[key]", "null", "key +", "other"]) {
    throws(() => celRouter(spec(expr, { key: "int" }), 2), { code: "CONFIG_VALIDATION" }, expr);
  }
  throws(() => celRouter(spec("key", { key: "decimal" }), 2), { code: "CONFIG_VALIDATION" });
  throws(() => celRouter(spec("key", { key: "int" }), 0), { code: "CONFIG_VALIDATION" });
});

test("celRouting() leaves other strategies to others", () => {
  equal(celRouting({ strategy: "hash" }, 2), null);
  equal(celRouting(spec("key", { key: "int" }), 2)?.route(1), 1);
});
