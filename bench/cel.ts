/**
 * Routing expressions: nanoseconds per evaluation, beside `@marcbachmann/cel-js`, which is measured where it is installed.
 *
 * The peer hashes with our XXH3, so that only what is around it differs.
 * @module
 */
import { spawnSync } from "node:child_process";
import { hashBigint, hashInteger, hashView } from "../src/bytes/xxh3.ts";
import { type CelColumnType, compileCel, compileProgram } from "../src/cel/compile_cel.ts";

const ROWS = 4096;
const ROUNDS = 30;
const ROUND_MILLISECONDS = 15;

interface Case {
  readonly expr: string;
  readonly columns: Readonly<Record<string, CelColumnType>>;
  readonly rowAt: (index: number) => Record<string, unknown>;
  /** Integers as bigint, which is what the peer takes. */
  readonly isBigint?: boolean;
}

const REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"];
const keyAt = (index: number): number => Math.imul(index, 0x9e3779b1) >>> 0;
const key = { columns: { key: "int" }, rowAt: (index) => ({ key: keyAt(index) }) } satisfies Omit<Case, "expr">;

const CASES: readonly Case[] = [
  { ...key, expr: "shard_hash(key) % 8u" },
  { ...key, expr: "shard_hash(key) % 8u", isBigint: true },
  {
    expr: 'shard_hash(region + ":" + string(tier)) % 8u',
    columns: { region: "string", tier: "int" },
    rowAt: (index) => ({ region: REGIONS[index & 3], tier: index & 15 }),
  },
  { ...key, expr: "key % 8" },
  { ...key, expr: "key % 8", isBigint: true },
  { expr: "region", columns: { region: "string" }, rowAt: (index) => ({ region: REGIONS[index & 3] }) },
];

/** The best of many short rounds, in nanoseconds per call: others may use the machine as well. */
function measure(once: (index: number) => unknown): number {
  let best = Infinity;
  let kept: unknown;
  for (let round = 0; round < ROUNDS; round++) {
    let calls = 0;
    const start = performance.now();
    let elapsed = 0;
    while (elapsed < ROUND_MILLISECONDS) {
      for (let i = 0; i < ROWS; i++) kept = once(i);
      calls += ROWS;
      elapsed = performance.now() - start;
    }
    best = Math.min(best, elapsed * 1e6 / calls);
  }
  if (kept === undefined) throw new Error("nothing was computed");
  return best;
}

function rowsOf({ rowAt, isBigint }: Case, allBigint: boolean): Record<string, unknown>[] {
  return Array.from({ length: ROWS }, (_, index) =>
    Object.fromEntries(
      Object.entries(rowAt(index)).map(([name, value]) => [
        name,
        (isBigint || allBigint) && typeof value === "number" ? BigInt(value) : value,
      ]),
    ));
}

function evaluate(each: Case): number {
  const compiled = compileCel(each.expr, each.columns);
  const rows = rowsOf(each, false);
  return measure((i) => compiled.evaluate(rows[i]!));
}

/** As a router does that has rows as arrays of columns. */
function program(each: Case): number {
  const { slots, columns, run } = compileProgram(each.expr, each.columns);
  const rows = rowsOf(each, false);
  const values = columns.map((name) => rows.map((row) => row[name]));
  return measure((i) => {
    for (let column = 0; column < values.length; column++) slots[column] = values[column]![i];
    return run();
  });
}

interface PeerEnvironment {
  registerVariable(name: string, type: string): PeerEnvironment;
  registerFunction(signature: string, run: (value: never) => unknown): PeerEnvironment;
  parse(expr: string): (row: Record<string, unknown>) => unknown;
}

interface Peer {
  readonly Environment: new () => PeerEnvironment;
  readonly UnsignedInt: new (value: bigint) => unknown;
}

async function peerOrNull(): Promise<Peer | null> {
  const name = "@marcbachmann/cel-js";
  try {
    return { ...await import(name), ...await import(`${name}/evaluator`) };
  } catch {
    return null;
  }
}

const encoder = new TextEncoder();
const scratch = new Uint8Array(1024);
const view = new DataView(scratch.buffer);

function peerFigure({ Environment, UnsignedInt }: Peer, each: Case): number {
  const environment = new Environment();
  for (const [name, type] of Object.entries(each.columns)) environment.registerVariable(name, type);
  environment.registerFunction("shard_hash(int): uint", (value: bigint) => {
    hashInteger(Number(BigInt.asIntN(32, value)), Number(value >> 32n));
    return new UnsignedInt(hashBigint());
  });
  environment.registerFunction("shard_hash(string): uint", (value: string) => {
    hashView(view, 0, encoder.encodeInto(value, scratch).written);
    return new UnsignedInt(hashBigint());
  });
  const evaluate = environment.parse(each.expr);
  const rows = rowsOf(each, true);
  return measure((i) => evaluate(rows[i]!));
}

const FIGURES = ["evaluate", "program", "peer"] as const;

/** Each figure comes from a process of its own, as engines remember what they have seen before. */
function figureOf(index: number, figure: string): number {
  const script = process.versions.deno ? ["run", "-A", import.meta.filename!] : [import.meta.filename!];
  const args = [...process.execArgv, ...script, `${index}`, figure];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return Number(stdout);
}

const [index, figure] = process.argv.slice(2);
const peer = figure === undefined || figure === "peer" ? await peerOrNull() : null;
if (index !== undefined) {
  const each = CASES[Number(index)]!;
  console.log(figure === "peer" ? peerFigure(peer!, each) : figure === "program" ? program(each) : evaluate(each));
} else {
  if (peer === null) console.log("@marcbachmann/cel-js is not installed: only our own figures follow");
  console.log("ns per evaluation: evaluate(row), program over slots, the peer; then how often they go into the peer's");
  CASES.forEach((each, i) => {
    const figures = FIGURES.slice(0, peer === null ? 2 : 3).map((name) => figureOf(i, name));
    const ratios = peer === null ? [] : figures.slice(0, 2).map((own) => `${(figures[2]! / own).toFixed(1)} ×`);
    const label = each.expr + (each.isBigint ? " (bigint)" : "");
    console.log([label.padEnd(48), ...figures.map((ns) => ns.toFixed(1).padStart(8)), ...ratios].join(" "));
  });
}
