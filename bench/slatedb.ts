/**
 * SlateDB shards: builds and lookups beside the native binding `@slatedb/uniffi` in the same process, and how late
 * timers come meanwhile: `slatedb.ts [ROWS] [FOLDER]`. FOLDER is where npm has installed the binding; without it there
 * is no floor. Prints one line of JSON.
 * @module
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { openSnapshot, singleShard, writeSnapshot } from "../mod.ts";
import { slatedbBackend } from "../src/backends/slatedb_backend.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { keyAt, keyBytes, peakMiB, valueAt } from "./rows.ts";

const [rowsText = "400000", bindingFolder] = process.argv.slice(2);
const rowCount = Number(rowsText);
/** What one write of the binding takes. */
const BATCH_ROWS = 1000;
const GETS = 30_000;
const ROUNDS = 3;

interface Build {
  readonly rowsPerSecond: number;
  /** By the processor's time, of all threads: what a busy machine changes less. */
  readonly rowsPerCpuSecond: number;
  /** How late a timer of one millisecond comes: of a hundred times the second longest, and the longest. */
  readonly lagP99Ms: number;
  readonly lagMaxMs: number;
  /** The processor time between two such timers: what remains on a busy machine. NaN where the runtime does not tell. */
  readonly turnP99Ms: number;
}

/** What the processor spent on this thread, in milliseconds, where the runtime tells; NaN elsewhere. */
function threadMs(): number {
  const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } };
  if (threadCpuUsage === undefined) return NaN;
  const { user, system } = threadCpuUsage.call(process);
  return (user + system) / 1000;
}

/** Measures until it is called how late timers come, and how long they kept the thread's processor from it. */
function watchTurns(): () => Pick<Build, "lagP99Ms" | "lagMaxMs" | "turnP99Ms"> {
  const lags: number[] = [];
  const turns: number[] = [];
  let since = { ms: performance.now(), cpuMs: threadMs() };
  function note(): void {
    const now = { ms: performance.now(), cpuMs: threadMs() };
    lags.push(now.ms - since.ms - 1);
    turns.push(now.cpuMs - since.cpuMs);
    since = now;
  }
  function look(): void {
    note();
    timer = setTimeout(look, 1);
  }
  let timer = setTimeout(look, 1);
  return () => {
    clearTimeout(timer);
    // The last turn, if it goes on.
    note();
    return { lagP99Ms: shareOf(lags, 0.99), lagMaxMs: shareOf(lags, 1), turnP99Ms: shareOf(turns, 0.99) };
  };
}

/** What so many of the numbers do not exceed. */
function shareOf(numbers: readonly number[], share: number): number {
  const ascending = [...numbers].sort((one, other) => one - other);
  return Math.round(ascending[Math.ceil(ascending.length * share) - 1]! * 10) / 10;
}

async function measured(build: () => Promise<unknown>): Promise<Build> {
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  const lags = watchTurns();
  await build();
  const turns = lags();
  const { user, system } = process.cpuUsage(startCpu);
  return {
    rowsPerSecond: Math.round(rowCount / (performance.now() - startMs) * 1000),
    rowsPerCpuSecond: Math.round(rowCount / (user + system) * 1e6),
    ...turns,
  };
}

function* rows(): Generator<number> {
  for (let index = 0; index < rowCount; index++) yield index;
}

async function buildOurs(folder: string): Promise<void> {
  await writeSnapshot(rows(), {
    store: fsStore(folder),
    sharding: singleShard(),
    backend: slatedbBackend(),
    key: (index) => keyAt(index, "random"),
    value: valueAt,
  });
}

// deno-lint-ignore no-explicit-any -- the binding is no dependency
type Binding = any;

async function loadBinding(folder: string): Promise<Binding> {
  return await import(pathToFileURL(join(folder, "node_modules/@slatedb/uniffi/index.js")).href);
}

async function buildNative(
  { DbBuilder, ObjectStore, Settings, WriteBatch }: Binding,
  folder: string,
): Promise<void> {
  const store = ObjectStore.resolve(`file://${folder}`);
  const builder = new DbBuilder("", store);
  builder.with_settings(Settings.default());
  const database = await builder.build();
  for (let from = 0; from < rowCount; from += BATCH_ROWS) {
    const batch = new WriteBatch();
    for (let index = from; index < Math.min(rowCount, from + BATCH_ROWS); index++) {
      batch.put(keyBytes(keyAt(index, "random")), valueAt(index));
    }
    await database.write_with_options(batch, { await_durable: false });
    batch.dispose();
  }
  await database.shutdown();
  database.dispose();
  store.dispose();
}

const indexes = Array.from({ length: GETS }, (_, i) => (Math.imul(i, 0x2545f491) >>> 0) % rowCount);

async function getsPerSecond(get: (index: number) => unknown): Promise<number> {
  const startMs = performance.now();
  for (const index of indexes) {
    const value = await get(index) as Uint8Array | null;
    if (value?.[0] !== valueAt(index)[0]) throw new Error(`row ${index} is missing or another one`);
  }
  return Math.round(GETS / (performance.now() - startMs) * 1000);
}

/** Warm: everything was fetched before. Cold: little is kept, so that each lookup fetches. */
async function getsOurs(folder: string): Promise<Record<string, number>> {
  const store = fsStore(folder);
  const figures: Record<string, number> = {};
  {
    await using reader = await openSnapshot({ store });
    const get = (index: number): unknown => reader.get(keyAt(index, "random"));
    await getsPerSecond(get);
    figures["warmGets"] = await getsPerSecond(get);
  }
  await using reader = await openSnapshot({ store, cacheBytesMax: 1.5 * rowCount + (1 << 18) });
  await reader.warm({ shards: [0] });
  const requests = (): number => reader.stats().requests;
  const before = requests();
  figures["coldGets"] = await getsPerSecond((index) => reader.get(keyAt(index, "random")));
  const between = requests();
  figures["requestsCold"] = (between - before) / GETS;
  for (const index of indexes) {
    if (await reader.get(keyAt(index, "random") + 1) !== null) throw new Error("a key that is not there");
  }
  figures["requestsAbsent"] = (requests() - between) / GETS;
  return figures;
}

async function getsNative({ DbReaderBuilder, ObjectStore }: Binding, folder: string): Promise<number> {
  const store = ObjectStore.resolve(`file://${folder}`);
  const reader = await new DbReaderBuilder("", store).build();
  const get = (index: number): Promise<Uint8Array> => reader.get(keyBytes(keyAt(index, "random")));
  await getsPerSecond(get);
  const rate = await getsPerSecond(get);
  await reader.shutdown();
  return rate;
}

function shardOf(folder: string): string {
  const name = readdirSync(folder, { recursive: true, encoding: "utf8" }).find((path) => /attempt=\d+$/.test(path));
  return join(folder, name!);
}

function middle(builds: readonly Build[]): Build {
  const of = (name: keyof Build): number =>
    builds.map((build) => build[name]).sort((a, b) => a - b)[builds.length >> 1]!;
  return {
    rowsPerSecond: of("rowsPerSecond"),
    rowsPerCpuSecond: of("rowsPerCpuSecond"),
    lagP99Ms: of("lagP99Ms"),
    lagMaxMs: of("lagMaxMs"),
    turnP99Ms: of("turnP99Ms"),
  };
}

const binding = bindingFolder === undefined ? null : await loadBinding(bindingFolder);
const folder = mkdtempSync(join(tmpdir(), "slatedb-bench-"));
try {
  const ours: Build[] = [];
  const native: Build[] = [];
  // In turns, so that what else the machine does meets both; the first round warms the compiler up.
  for (let round = 0; round <= ROUNDS; round++) {
    const place = join(folder, `${round}`);
    ours.push(await measured(() => buildOurs(join(place, "ours"))));
    if (binding === null) continue;
    const database = mkdtempSync(join(folder, "native-"));
    native.push(await measured(() => buildNative(binding, database)));
    rmSync(database, { recursive: true });
  }
  const place = join(folder, "0", "ours");
  const figures = { ...middle(ours.slice(1)), ...await getsOurs(place), peakMiB: peakMiB() };
  if (binding === null) console.log(JSON.stringify(figures));
  else {
    // Last, as it writes into the shard.
    const nativeGets = await getsNative(binding, shardOf(place));
    const { rowsPerSecond, rowsPerCpuSecond, lagP99Ms, lagMaxMs, turnP99Ms } = middle(native.slice(1));
    const floor = {
      nativeTurnP99Ms: turnP99Ms,
      nativeRowsPerSecond: rowsPerSecond,
      nativeRowsPerCpuSecond: rowsPerCpuSecond,
      nativeLagP99Ms: lagP99Ms,
      nativeLagMaxMs: lagMaxMs,
      nativeGets,
    };
    console.log(JSON.stringify({ ...figures, ...floor }));
  }
} finally {
  rmSync(folder, { recursive: true });
}
process.exit(0);
