/**
 * What the writing thread and its workers say to each other: plain data, rows and pages as transferred buffers.
 * @module
 */
import type { JsonObject } from "../../bytes/python_json.ts";
import type { ShardBatch } from "../../rows.ts";
import type { AttemptOutcome, AttemptRequest } from "../shard_attempt.ts";
import type { MemoryLimits } from "../shard_sinks.ts";
import type { ErrorData } from "./error_data.ts";

/** What a worker is started with. */
export interface WorkerSetup {
  /** The engine: the function `factory` that the module exports, called with `options`. */
  readonly backend: { readonly moduleUrl: string; readonly factory: string; readonly options: JsonObject };
  /** The worker's share. */
  readonly memory: MemoryLimits;
  /** Folder for the worker's temporary files; the writing thread removes it. */
  readonly scratchFolder: string;
  readonly runId: string;
  readonly storeUrl: string;
  /** How often the worker gives a sign of life. */
  readonly heartbeatMs: number;
}

/** To a worker. */
export type WorkerOrder =
  /** The first order. */
  | { readonly kind: "begin"; readonly setup: WorkerSetup }
  /** Rows, in order of arrival. Answered by `taken`. */
  | { readonly kind: "batches"; readonly batches: readonly ShardBatch[] }
  /** Build a shard; all its rows were sent before. Answered by `answer`. */
  | { readonly kind: "attempt"; readonly callId: number; readonly shardId: number; readonly request: AttemptRequest }
  /** The shard is built: its rows may go. */
  | { readonly kind: "forget"; readonly shardId: number }
  /** What came of a `call`. */
  | Answer
  /** End: nothing is wanted any more. */
  | { readonly kind: "end" };

/** From a worker. */
export type WorkerReport =
  /** The batches of one order are held or spilled. */
  | { readonly kind: "taken" }
  /** A sign of life, and nothing else. */
  | { readonly kind: "alive" }
  /** What came of an `attempt`. */
  | Answer<AttemptOutcome>
  /** Asks the store, which only the writing thread has. Answered by `answer`. */
  | { readonly kind: "call"; readonly callId: number; readonly call: StoreCall }
  /** The thread is ending, as something in it asked for that. */
  | { readonly kind: "ended"; readonly code: number }
  /** The worker cannot go on and ends. */
  | { readonly kind: "failed"; readonly error: ErrorData };

/** The end of something that was asked for under a number. */
export type Answer<T = unknown> =
  | { readonly kind: "answer"; readonly callId: number; readonly value: T }
  | { readonly kind: "refusal"; readonly callId: number; readonly error: ErrorData };

/** A request to the store, by the name of its method; uploads have numbers. Signals stay where they are. */
export interface StoreCall {
  readonly method: string;
  readonly args: readonly unknown[];
}

/** Buffers of arrays, each once. */
export function buffersOf(arrays: readonly (Uint8Array | Uint32Array)[]): ArrayBuffer[] {
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}
