/**
 * `deno task bench [--quick]`: builds and lookups on each runtime beside their floors, in one run; prints one table.
 *
 * Every figure comes from a process of its own, one after the other. Compare ratios within a run, not runs.
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const isQuick = process.argv.includes("--quick");
const ROWS = isQuick ? 200_000 : 1_000_000;
const MANY_ROWS = isQuick ? 1_000_000 : 10_000_000;
const VECTORS = isQuick ? 50_000 : 200_000;
const DIM = 384;

/** How to run a script on each runtime; those of npm are fetched when they are not installed. */
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  deno: [process.execPath, "run", "-A"],
  bun: ["npx", "-y", "bun@1.4.5"],
  node: ["npx", "-y", "node@26.10.0"],
};

interface Figures {
  readonly rowsPerSecond: number;
  readonly peakMiB: number;
  readonly [name: string]: number;
}

/** What was found by number of probes. */
type Recalls = Readonly<Record<string, { readonly recall: number; readonly medianMs: number }>>;

function run(command: readonly string[], label: string): Figures {
  const [program, ...args] = command;
  const { status, stdout, stderr } = spawnSync(program!, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${label} failed: ${stderr}`);
  const line = stdout.trim().split("\n").at(-1)!;
  console.error(`  ${label}: ${line}`);
  return JSON.parse(line);
}

function script(runtime: string, name: string, ...args: readonly (string | number)[]): Figures {
  const file = join(import.meta.dirname!, name);
  return run([...RUNTIMES[runtime]!, file, ...args.map(String)], `${runtime} ${name} ${args.join(" ")}`);
}

function thousands(value: number): string {
  return `${Math.round(value / 1000).toLocaleString("en")} k`.padStart(9);
}

/** SlateDB shards beside the native binding, which is no package of the checkout: npm fetches it for this. */
function slatedbLines(): string[] {
  const place = mkdtempSync(join(tmpdir(), "slatedb-uniffi-"));
  try {
    const install = ["install", "--prefix", place, "--no-audit", "--no-fund", "@slatedb/uniffi@0.12.1"];
    const { status } = spawnSync("npm", install, { stdio: "ignore" });
    const found = [`SlateDB, ${ROWS.toLocaleString("en")} rows, one shard (rows/s)`];
    if (status !== 0) found.push("  LEFT OUT: the native binding, as npm could not install @slatedb/uniffi");
    for (const runtime of Object.keys(RUNTIMES)) {
      // Deno imports from a folder of packages that is not its own only so.
      const command = [...RUNTIMES[runtime]!, ...(runtime === "deno" ? ["--node-modules-dir=manual"] : [])];
      const args = [join(import.meta.dirname!, "slatedb.ts"), `${ROWS}`, ...(status === 0 ? [place] : [])];
      const figures = run([...command, ...args], `${runtime} slatedb.ts`);
      const { rowsPerSecond, nativeRowsPerSecond, lagP99Ms, warmGets, nativeGets, requestsCold, requestsAbsent } =
        figures;
      const ratio = nativeRowsPerSecond ? `   ${(rowsPerSecond / nativeRowsPerSecond).toFixed(1)} × native` : "";
      const gets = `gets${thousands(warmGets ?? 0)}${nativeGets ? ` (native${thousands(nativeGets)})` : ""}`;
      const requests = `${requestsCold?.toFixed(2)} GETs a key, ${requestsAbsent?.toFixed(3)} an absent one`;
      found.push(
        `  ${runtime.padEnd(6)} ${thousands(rowsPerSecond)}${ratio}, lag p99 ${lagP99Ms} ms, ${gets}, ${requests}`,
      );
    }
    return found;
  } finally {
    rmSync(place, { recursive: true });
  }
}

const lines: string[] = [];
for (const order of ["random", "ascending"]) {
  const floors: Record<string, number> = {
    "python sqlite3": run(
      ["python3", join(import.meta.dirname!, "build_python.py"), `${ROWS}`, order],
      `python ${order}`,
    ).rowsPerSecond,
  };
  for (const runtime of Object.keys(RUNTIMES)) {
    const floor = script(runtime, "build_native.ts", "node:sqlite", ROWS, order).rowsPerSecond;
    floors[`${runtime} node:sqlite`] = floor;
  }
  floors["bun bun:sqlite"] = script("bun", "build_native.ts", "bun:sqlite", ROWS, order).rowsPerSecond;
  lines.push(`Build, ${order} keys, ${ROWS.toLocaleString("en")} rows (rows/s)`);
  for (const [name, rowsPerSecond] of Object.entries(floors)) {
    lines.push(`  floor ${name.padEnd(22)}${thousands(rowsPerSecond)}`);
  }
  const best = Math.max(...Object.values(floors));
  for (const runtime of Object.keys(RUNTIMES)) {
    const { rowsPerSecond, peakMiB } = script(runtime, "build_ours.ts", ROWS, order);
    const own = Math.max(
      ...Object.entries(floors).filter(([name]) => name.startsWith(runtime)).map(([, rate]) => rate),
    );
    const ratios = `${(rowsPerSecond / best).toFixed(2)} × best floor, ${(rowsPerSecond / own).toFixed(2)} × own floor`;
    lines.push(`  shardyfusion ${runtime.padEnd(15)}${thousands(rowsPerSecond)}   ${ratios}, peak ${peakMiB} MiB`);
  }
}
lines.push(`Build, random keys, ${MANY_ROWS.toLocaleString("en")} rows, memory.bytesMax 256 MiB (rows/s)`);
for (const runtime of Object.keys(RUNTIMES)) {
  const { rowsPerSecond, peakMiB } = script(runtime, "build_ours.ts", MANY_ROWS, "random", 256);
  lines.push(`  shardyfusion ${runtime.padEnd(15)}${thousands(rowsPerSecond)}   peak ${peakMiB} MiB`);
}
const folder = await mkdtemp(join(tmpdir(), "shardyfusion-bench-"));
script("deno", "build_ours.ts", ROWS, "random", 512, folder);
lines.push(`Warm gets, uniform over ${ROWS.toLocaleString("en")} keys, awaited one by one (gets/s)`);
for (const runtime of Object.keys(RUNTIMES)) {
  const { peakMiB, ...rates } = script(runtime, "gets.ts", folder, ROWS, isQuick ? 0.3 : 2);
  const floor = Math.max(rates["node:sqlite"] ?? 0, rates["bun:sqlite"] ?? 0);
  const ratio = `memory ${((rates["memory"] ?? 0) / floor).toFixed(2)} × best native engine`;
  const shown = Object.entries(rates).map(([name, rate]) => `${name}${thousands(rate as number)}`).join(", ");
  lines.push(`  ${runtime.padEnd(6)} ${shown}   ${ratio}, peak ${peakMiB} MiB`);
}
rmSync(folder, { recursive: true });
lines.push(`Vectors, ${VECTORS.toLocaleString("en")} × ${DIM} in 8 shards, memory.bytesMax 128 MiB`);
for (const runtime of Object.keys(RUNTIMES)) {
  const found = script(runtime, "vectors.ts", VECTORS, DIM, 8, 128);
  const { rowsPerSecond, nativeRowsPerSecond: floor } = found;
  const rates = `${thousands(rowsPerSecond)} rows/s, ${
    (rowsPerSecond / floor!).toFixed(2)
  } × plain inserts by sqlite-vec`;
  const { nativeSearchMs, fileSearchMs, memorySearchMs, peakMiB } = found;
  const searches = `search: memory ${memorySearchMs} ms, file ${fileSearchMs} ms, sqlite-vec ${nativeSearchMs} ms`;
  lines.push(`  ${runtime.padEnd(6)} ${rates}, peak ${peakMiB} MiB; ${searches}`);
}
lines.push(`Recall at 10, ${VECTORS.toLocaleString("en")} × ${DIM} in 16 shards, cosine; median ms of a search`);
for (const runtime of Object.keys(RUNTIMES)) {
  const figures = script(runtime, "vector_recall.ts", VECTORS, DIM, 16) as unknown as Record<string, Recalls>;
  for (const sharding of ["cluster", "lsh"]) {
    const shown = ["1", "2", "4", "all"].map((probes) => {
      const { recall, medianMs } = figures[sharding]![probes]!;
      return `${probes}: ${recall.toFixed(3)}, ${medianMs} ms`;
    });
    lines.push(`  ${runtime.padEnd(6)} ${sharding.padEnd(8)} probes ${shown.join("; ")}`);
  }
}
lines.push(...slatedbLines());
console.log(lines.join("\n"));
