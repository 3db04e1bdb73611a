/**
 * Builds with CEL sharding beside builds with hash sharding: `cel_builds.ts [ROWS]`, on whichever runtime it is run.
 *
 * Each pair is built one after the other in a process of its own, with as many shards; what counts is the processor time of
 * all threads, as others may use the machine as well.
 * @module
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { celSharding, celShardingByColumns, hashSharding, type Sharding, writeSnapshot } from "../mod.ts";
import type { RoutingColumns } from "../src/routing/router.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { keyAt, valueAt } from "./rows.ts";

const REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2", "eu-north-1", "sa-east-1", "af-1", "me-1"];
const PAIRS = 5;

interface Case {
  readonly label: string;
  readonly sharding: () => Sharding;
  readonly columns?: (index: number) => RoutingColumns;
}

const byRegion = (index: number): RoutingColumns => ({ region: REGIONS[index & 7], tier: index >> 3 & 7 });
const key = { key: "int" } as const;
const region = { region: "string", tier: "int" } as const;

const CASES: readonly Case[] = [
  {
    label: "direct: shard_hash(key) % 8u",
    sharding: () => celSharding({ expr: "shard_hash(key) % 8u", columns: key }),
  },
  {
    label: 'direct: shard_hash(region + ":" + string(tier)) % 8u',
    sharding: () => celShardingByColumns(["region", { name: "tier", type: "int" }], { shards: 8 }),
    columns: byRegion,
  },
  {
    label: "categorical: region",
    sharding: () => celSharding({ expr: "region", columns: region, routingValues: REGIONS }),
    columns: byRegion,
  },
  {
    label: "inferred: region",
    sharding: () => celSharding({ expr: "region", columns: region, inferRoutingValues: true }),
    columns: byRegion,
  },
  {
    label: 'inferred: region + ":" + string(tier), 64 shards',
    sharding: () => celShardingByColumns(["region", { name: "tier", type: "int" }]),
    columns: byRegion,
  },
];

interface Figures {
  readonly cpuMs: number;
  readonly wallMs: number;
}

async function build(rowCount: number, options: Pick<Case, "columns"> & { sharding: Sharding }): Promise<Figures> {
  function* rows(): Generator<number> {
    for (let index = 0; index < rowCount; index++) yield index;
  }
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-bench-"));
  const used = process.cpuUsage();
  const startedMs = performance.now();
  await writeSnapshot(rows(), {
    ...options,
    store: fsStore(folder),
    key: (index) => keyAt(index, "random"),
    value: valueAt,
  });
  const wallMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(used);
  rmSync(folder, { recursive: true });
  return { cpuMs: (user + system) / 1000, wallMs };
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1]!;
}

/** Rows per second of processor time, for hash and CEL; the median of the pairs' ratios, by processor and by clock. */
async function compare({ label, sharding, columns }: Case, rowCount: number): Promise<string> {
  const shards = label.includes("64 shards") ? 64 : 8;
  const pairs: [hash: Figures, cel: Figures][] = [];
  for (let pair = 0; pair <= PAIRS; pair++) {
    const hash = await build(rowCount, { sharding: hashSharding({ shards }) });
    pairs.push([hash, await build(rowCount, { sharding: sharding(), ...(columns && { columns }) })]);
  }
  pairs.shift(); // It warms the compiler up.
  const rate = (which: 0 | 1): string => `${Math.round(rowCount / median(pairs.map((pair) => pair[which].cpuMs)))} k`;
  const share = (by: keyof Figures): string => median(pairs.map(([hash, cel]) => hash[by] / cel[by])).toFixed(2);
  return [label.padEnd(54), rate(0).padStart(8), rate(1).padStart(8), share("cpuMs"), share("wallMs")].join(" ");
}

const [rowsText = "500000", index] = process.argv.slice(2);
if (index !== undefined) {
  console.log(await compare(CASES[Number(index)]!, Number(rowsText)));
} else {
  console.log("rows per second of processor time with hash and with CEL sharding; share by processor and by clock");
  CASES.forEach((_, i) => {
    const script = process.versions.deno ? ["run", "-A", import.meta.filename!] : [import.meta.filename!];
    const args = [...process.execArgv, ...script, rowsText, `${i}`];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    console.log(stdout.trimEnd());
  });
}
