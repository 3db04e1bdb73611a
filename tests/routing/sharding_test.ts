// The judge for numbers of shards is the Python package, by its vectors.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { routerOf } from "../../src/routing/router_of.ts";
import {
  type CountedSharding,
  hashSharding,
  type HashShardingOptions,
  SHARDS_MAX,
  singleShard,
} from "../../src/routing/sharding.ts";
import { fixtureVectors } from "./fixture_keys.ts";

interface MiscVectors {
  "num_dbs_from_max_keys": { rows: number; max_keys_per_shard: number; num_dbs: number }[];
}

test("hashSharding() with shards has its router at once", () => {
  for (const shards of [1, 8, SHARDS_MAX]) {
    const sharding = hashSharding({ shards });
    ok(sharding.kind === "fixed" && Object.isFrozen(sharding));
    equal(sharding.router.shardCount, shards);
    deepEqual(sharding.router.spec, { strategy: "hash" });
  }
});

test("hashSharding() with keysPerShard makes as many shards as the Python package", () => {
  for (const { rows, max_keys_per_shard: keysPerShard, num_dbs: shardCount } of misc().num_dbs_from_max_keys) {
    const sharding = counted(keysPerShard);
    equal(sharding.keysPerShardMax, keysPerShard);
    equal(sharding.shardCountFor(rows), shardCount);
    equal(sharding.routerFor(rows).shardCount, shardCount);
  }
});

test("hashSharding() refuses rows that would take too many shards, and says what would do", () => {
  const sharding = counted(10);
  equal(sharding.shardCountFor(10 * SHARDS_MAX), SHARDS_MAX);
  throws(() => sharding.routerFor(10 * SHARDS_MAX + 1), {
    code: "CONFIG_VALIDATION",
    path: "hashSharding.keysPerShard",
    message: /at least 11 for 10000001 rows/,
  });
});

test("hashSharding() refuses wrong options by name", () => {
  const wrongNumbers = [0, -1, 1.5, NaN, Infinity, "8", null, 8n, true, undefined];
  for (const value of [...wrongNumbers, SHARDS_MAX + 1]) refused({ shards: value }, "hashSharding.shards");
  for (const value of wrongNumbers) refused({ keysPerShard: value }, "hashSharding.keysPerShard");
  refused({}, "hashSharding.shards");
  refused({ shards: 8, keysPerShard: 10 }, "hashSharding.keysPerShard");
  refused({ shard: 8 }, "hashSharding.shard");
  for (const options of [undefined, null, 8, "8"]) refused(options, "hashSharding");
});

test("singleShard() is hash sharding with one shard", () => {
  const sharding = singleShard();
  ok(sharding.kind === "fixed" && Object.isFrozen(sharding));
  deepEqual([sharding.router.shardCount, sharding.router.spec], [1, { strategy: "hash" }]);
  deepEqual([1, "a", new Uint8Array(300)].map((key) => sharding.router.route(key)), [0, 0, 0]);
});

test("routerOf() follows hash sharding and CEL sharding", async () => {
  equal((await routerOf({ strategy: "hash" }, 1000)).route(5), 332);
  const cel = { strategy: "cel", expr: "key % 2", columns: { key: "int" }, routingValues: null } as const;
  equal((await routerOf(cel, 2)).route(5), 1);
  await rejects(routerOf({ ...cel, expr: "key +" }, 2), { code: "CONFIG_VALIDATION" });
  await rejects(routerOf({ strategy: "hash" }, 0), { code: "CONFIG_VALIDATION" });
});

function misc(): MiscVectors {
  return fixtureVectors<MiscVectors>("misc_vectors");
}

function counted(keysPerShard: number): CountedSharding {
  const sharding = hashSharding({ keysPerShard });
  ok(sharding.kind === "keysPerShard" && Object.isFrozen(sharding));
  return sharding;
}

function refused(options: unknown, path: string): void {
  throws(() => hashSharding(options as HashShardingOptions), { code: "CONFIG_VALIDATION", path });
}
