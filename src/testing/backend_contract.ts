/**
 * What every shard engine must do, as checks that any test framework can run.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { memoryStore } from "../stores/memory_store.ts";
import type { ObjectStore } from "../stores/store.ts";
import {
  buildsInWorkers,
  readsByGet,
  recordsObjects,
  refusesDamage,
  refusesMissing,
  removesAborted,
  removesFailed,
  repeatsBytes,
  writesSound,
} from "./build_contract.ts";
import type { Check } from "./contract_subject.ts";
import { findsVectors, givesCopies, readsRows, refusesOthers, scansRows, takesFewVectors } from "./read_contract.ts";

export { BackendContractError } from "./contract_subject.ts";

/** How the contract is tried. */
export interface BackendContractOptions {
  /** Makes the empty stores that shards are written to. @default {memoryStore} */
  readonly makeStore?: (() => ObjectStore | Promise<ObjectStore>) | undefined;
}

/** One thing that an engine must do. */
export interface BackendCheck {
  /** What it must do, to follow the engine's name: "gives every row back …". */
  readonly name: string;
  /** Rejects with {@linkcode BackendContractError}, or with what the engine threw, when it does not. */
  run(): Promise<void>;
}

/**
 * The contract of shard engines: what `writeSnapshot`, `openSnapshot` and `verifySnapshot` rely on, shown with some
 * 1,200 rows, and with vectors where the engine stores them. Checks are independent of each other and leave nothing
 * behind; each takes a fraction of a second with engines that build fast.
 *
 * @param makeBackend Gives an engine that is not shared with anybody; of few dimensions, if it stores vectors.
 *
 * @example Run it, with whatever runs your tests
 * ```ts
 * import { sqliteBackend } from "../backends/sqlite_backend.ts";
 * import { backendContract } from "./backend_contract.ts";
 *
 * const checks = backendContract(() => sqliteBackend());
 * for (const { name, run } of checks.slice(0, 2)) {
 *   await run(); // test(`my engine ${name}`, run);
 *   if (name === "") throw new Error("a check without a name");
 * }
 * ```
 */
export function backendContract(
  makeBackend: () => Backend | Promise<Backend>,
  { makeStore = () => memoryStore() }: BackendContractOptions = {},
): BackendCheck[] {
  return Object.entries(CHECKS).map(([name, check]) => ({
    name,
    async run() {
      const backend = await makeBackend();
      await check({ makeBackend, makeStore, storesValues: backend.storesValues !== false }, backend);
    },
  }));
}

const CHECKS: Readonly<Record<string, Check>> = {
  "gives every row back, and null for keys that are not there": readsRows,
  "scans rows in the order of their keys, within bounds": scansRows,
  "hands out values that the caller may change": givesCopies,
  "finds the nearest vectors, their ids and payloads": findsVectors,
  "takes the vectors of rows of which some or all have none": takesFewVectors,
  "refuses files that are no shards": refusesOthers,
  "records every object that it writes, and nothing else": recordsObjects,
  "writes the same bytes for the same rows, if it says so": repeatsBytes,
  "is built in worker threads, where it names its module": buildsInWorkers,
  "leaves nothing behind when it is aborted": removesAborted,
  "leaves nothing behind when a request fails, whichever": removesFailed,
  "answers damaged objects by errors, never by other values (P7)": refusesDamage,
  "answers missing objects by errors": refusesMissing,
  "sends nothing but GET while it is read (P8)": readsByGet,
  "writes what verifySnapshot finds sound": writesSound,
};
