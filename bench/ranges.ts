/**
 * Lookups over ranges beside whole files, against MinIO with added latency: `ranges.ts [SECONDS]`. The server is a
 * process of its own, on the same cores. Prints a table.
 * @module
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openSnapshot } from "../mod.ts";
import type { SnapshotReader } from "../src/read/snapshot_reader.ts";
import { s3FetchStore } from "../src/stores/s3_fetch_store.ts";
import { keyAt } from "./rows.ts";

const ROWS = 1_000_000;
const DELAYS_MS = [0, 5, 25];
const seconds = Number(process.argv[2] ?? 2);
/** Lookups under way at the same time, where not one by one. */
const AT_ONCE = 16;

interface Server {
  readonly endpoints: Readonly<Record<number, string>>;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

const [program, ...flags] = "Deno" in globalThis ? [process.execPath, "run", "-A"] : [process.execPath];
const args = [...flags, join(import.meta.dirname!, "range_server.ts"), `${ROWS}`, ...DELAYS_MS.map(String)];
const child = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] });
const [line] = await Array.fromAsync(firstLine());
const server: Server = JSON.parse(line!);

async function* firstLine(): AsyncGenerator<string> {
  for await (const line of createInterface(child.stdout)) return yield line;
}

let salt = 1;
/** A key of the snapshot, uniform over all rows. */
function someKey(): number {
  salt = (Math.imul(salt, 0x19660d) + 0x3c6ef35f) >>> 0;
  return keyAt(salt % ROWS, "random");
}

function absentKey(): number {
  return someKey() + 1;
}

interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly getsEach: number;
  readonly bytesEach: number;
}

/** Does `work` again and again, `atOnce` at a time, and divides what it cost by `keysEach`. */
async function measure(
  reader: SnapshotReader,
  work: () => Promise<unknown>,
  { atOnce = 1, keysEach = 1 }: { atOnce?: number; keysEach?: number } = {},
): Promise<Figures> {
  const before = reader.stats();
  const times: number[] = [];
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let nowMs = performance.now(); nowMs < endMs;) {
      await work();
      times.push(-nowMs + (nowMs = performance.now()));
    }
  }));
  const elapsedMs = performance.now() - startedMs;
  times.sort((one, other) => one - other);
  const after = reader.stats();
  const keys = times.length * keysEach;
  return {
    perSecond: keys / elapsedMs * 1000,
    p50Ms: times[times.length >> 1]!,
    p99Ms: times[Math.floor(times.length * 0.99)]!,
    getsEach: (after.requests - before.requests) / keys,
    bytesEach: (after.bytesRead - before.bytesRead) / keys,
  };
}

const rows: string[][] = [["ms", "", "keys/s", "p50 ms", "p99 ms", "GETs/key", "bytes/key"]];

function report(delayMs: number, name: string, { perSecond, p50Ms, p99Ms, getsEach, bytesEach }: Figures): void {
  const figures = [Math.round(perSecond).toLocaleString("en"), p50Ms.toFixed(2), p99Ms.toFixed(2)];
  rows.push([`${delayMs}`, name, ...figures, getsEach.toFixed(2), Math.round(bytesEach).toLocaleString("en")]);
}

function storeAt(endpoint: string) {
  return s3FetchStore({ url: "s3://bench/rows", endpoint, credentials: server.credentials });
}

for (const delayMs of DELAYS_MS) {
  const store = storeAt(server.endpoints[delayMs]!);
  // So little cache that hardly a page is found again: only sidecars and guards stay.
  await using reader = await openSnapshot({ store, access: "range", cacheBytesMax: 1 << 25, concurrencyMax: AT_ONCE });
  const opening: number[] = [];
  for (let i = 0; i < 5; i++) {
    const startedMs = performance.now();
    await using first = await openSnapshot({ store, access: "range" });
    await first.get(someKey());
    opening.push(performance.now() - startedMs);
  }
  const openMs = opening.sort((one, other) => one - other)[2]!;
  rows.push([`${delayMs}`, "open, and the first get of a shard", "", openMs.toFixed(2), "", "", ""]);
  await reader.warm({ shards: [0, 1, 2, 3] });
  const floor = { requests: 0 };
  report(
    delayMs,
    "floor: one signed GET of 4 KiB",
    await measure(reader, async () => {
      floor.requests++;
      const key = reader.shards[0]!.dbUrl!.slice("s3://bench/rows/".length);
      await store.getRanges(`${key}/shard.db`, [{ offset: (floor.requests % 5000) * 4096, lengthBytes: 4096 }]);
    }),
  );
  report(delayMs, "get, cold leaf", await measure(reader, () => reader.get(someKey())));
  report(
    delayMs,
    `get, cold leaf, ${AT_ONCE} at once`,
    await measure(reader, () => reader.get(someKey()), { atOnce: AT_ONCE }),
  );
  report(delayMs, "get, absent key", await measure(reader, () => reader.get(absentKey())));
  const hot = Array.from({ length: 1000 }, someKey);
  await reader.getMany(hot);
  let next = 0;
  report(delayMs, "get, warm leaf", await measure(reader, () => reader.get(hot[next++ % hot.length]!)));
  const many = () => reader.getMany(Array.from({ length: 100 }, someKey));
  report(delayMs, "getMany of 100", await measure(reader, many, { keysEach: 100 }));
  const startedMs = performance.now();
  await using whole = await openSnapshot({ store, access: "download" });
  const downloadMs = performance.now() - startedMs;
  const { requests, bytesRead } = whole.stats();
  rows.push([
    `${delayMs}`,
    `whole files: open (${requests} GETs, ${(bytesRead / 2 ** 20).toFixed(0)} MiB)`,
    "",
    downloadMs.toFixed(2),
    "",
    "",
    "",
  ]);
  report(delayMs, "whole files: get", await measure(whole, () => whole.get(someKey())));
}
child.stdin.end();
const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
for (const row of rows) {
  console.log(
    row.map((cell, column) => column === 1 ? cell.padEnd(widths[1]!) : cell.padStart(widths[column]!)).join("  "),
  );
}
process.exit(0);
