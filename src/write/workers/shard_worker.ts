/**
 * What runs in a worker thread: rows come in and wait, then shards are built of them. Started by `worker_thread.ts`.
 * @module
 */
import process from "node:process";
import { parentPort } from "node:worker_threads";
import type { Backend } from "../../backends/backend.ts";
import type { ScratchSpace } from "../../bytes/spool.ts";
import { systemClock } from "../../clock.ts";
import { ConfigValidationError } from "../../errors.ts";
import type { ShardBatch } from "../../rows.ts";
import type { ObjectStore } from "../../stores/store.ts";
import { ArrayPool } from "../array_pool.ts";
import { fileScratch } from "../file_scratch.ts";
import { attemptShard } from "../shard_attempt.ts";
import type { ShardRows } from "../shard_rows.ts";
import { ShardSinks } from "../shard_sinks.ts";
import { fromErrorData, toErrorData } from "./error_data.ts";
import type { StoreCall, WorkerOrder, WorkerReport, WorkerSetup } from "./messages.ts";
import { bridgedStore } from "./store_bridge.ts";

type AttemptOrder = WorkerOrder & { readonly kind: "attempt" };

/** What the setup makes possible. */
interface Workplace {
  readonly backend: Promise<Backend>;
  readonly store: ObjectStore;
  readonly sinks: ShardSinks;
  readonly rows: WritableStreamDefaultWriter<ShardBatch>;
  readonly scratch: () => Promise<ScratchSpace>;
}

const { signal } = new AbortController(); // Aborting a write ends the whole thread.
const clock = systemClock();
/** Web Workers talk through their global scope; `parentPort` of Deno's is slow. */
const scope = "Deno" in globalThis ? globalThis as unknown as DedicatedWorkerScope : null;
let place: Workplace;
/** Orders about rows are carried out one after the other. */
let taking: Promise<void> = Promise.resolve();
let shards: Map<number, ShardRows> | undefined;
const waiting = new Map<number, PromiseWithResolvers<unknown>>();
let callCount = 0;

interface DedicatedWorkerScope {
  onmessage: ((event: { readonly data: WorkerOrder }) => void) | null;
  postMessage(report: WorkerReport, transfer: ArrayBuffer[]): void;
}

if (scope !== null) scope.onmessage = ({ data }) => carryOut(data);
else parentPort!.on("message", carryOut);
// Where the runtime does not tell the other side how a thread ended, the thread does.
if (scope !== null) process.on("exit", (code) => report({ kind: "ended", code }));

function carryOut(order: WorkerOrder): void {
  switch (order.kind) {
    case "begin":
      place = begin(order.setup);
      break;
    case "batches":
      taking = taking.then(() => take(order.batches)).catch(fail);
      break;
    case "attempt":
      taking.then(() => attempt(order));
      break;
    case "forget":
      shards?.get(order.shardId)?.[Symbol.asyncDispose]().catch(fail);
      break;
    case "answer":
      settle(order.callId).resolve(order.value);
      break;
    case "refusal":
      settle(order.callId).reject(fromErrorData(order.error));
      break;
    case "end":
      process.exit(0);
  }
}

function begin(setup: WorkerSetup): Workplace {
  setInterval(() => report({ kind: "alive" }), setup.heartbeatMs);
  const backend = loadBackend(setup.backend);
  backend.catch(() => {}); // The first attempt says it.
  let space: Promise<ScratchSpace> | undefined;
  const scratch = (): Promise<ScratchSpace> => space ??= fileScratch(setup.scratchFolder, setup.runId);
  const sinks = new ShardSinks(setup.memory, scratch, { signal, clock, pool: new ArrayPool() });
  const rows = sinks.getWriter();
  rows.closed.catch(() => {}); // A write that fails says so itself.
  return { backend, store: bridgedStore(setup.storeUrl, askStore), sinks, rows, scratch };
}

function report(message: WorkerReport, transfer: readonly ArrayBuffer[] = []): void {
  if (scope !== null) scope.postMessage(message, [...transfer]);
  else parentPort!.postMessage(message, [...transfer]);
}

function fail(error: unknown): void {
  report({ kind: "failed", error: toErrorData(error) });
}

async function take(batches: readonly ShardBatch[]): Promise<void> {
  for (const batch of batches) await place.rows.write(batch);
  report({ kind: "taken" });
}

async function attempt({ callId, shardId, request }: AttemptOrder): Promise<void> {
  try {
    const { sinks, store, scratch, backend } = place;
    shards ??= new Map(sinks.shards().map((shard) => [shard.shardId, shard]));
    const tools = { backend: await backend, store, scratch, clock, signal };
    report({ kind: "answer", callId, value: await attemptShard(shards.get(shardId)!, request, tools) });
  } catch (error) {
    report({ kind: "refusal", callId, error: toErrorData(error) });
  }
}

function askStore(call: StoreCall, transfer?: readonly ArrayBuffer[]): Promise<unknown> {
  const callId = callCount++;
  const answer = Promise.withResolvers<unknown>();
  waiting.set(callId, answer);
  report({ kind: "call", callId, call }, transfer);
  return answer.promise;
}

function settle(callId: number): PromiseWithResolvers<unknown> {
  const answer = waiting.get(callId)!;
  waiting.delete(callId);
  return answer;
}

async function loadBackend({ moduleUrl, factory, options }: WorkerSetup["backend"]): Promise<Backend> {
  const module = await import(moduleUrl) as Record<string, unknown>;
  const make = module[factory];
  if (typeof make === "function") return await make(options) as Backend;
  throw new ConfigValidationError(
    `Cannot use the backend in workers as "${moduleUrl}" must export a function "${factory}"`,
    "backend",
  );
}
