/**
 * Options of a write: what they are, what they must be, and what they are when left out.
 * @module
 */
import * as v from "valibot";
import type { Backend } from "../backends/backend.ts";
import { dumpJson, type JsonObject } from "../bytes/python_json.ts";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import {
  clockOption,
  functionOf,
  objectWith,
  parseOptions,
  positiveInteger,
  positiveNumber,
  shown,
  signalOption,
  wholeNumber,
} from "../options.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import type { Key, KeyEncoding } from "../routing/key.ts";
import type { RoutingColumns } from "../routing/router.ts";
import type { Sharding } from "../routing/sharding.ts";
import { checkDbPathTemplate, checkRunId, checkSegment } from "../snapshots/layout.ts";
import type { ManifestStore } from "../snapshots/manifest_store.ts";
import { type PreconditionPolicy, preconditionPolicy } from "../snapshots/preconditions.ts";
import type { Tracer } from "../spans.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { ShardRetry } from "./build_shards.ts";
import { type RequestRetry, requestRetry } from "./limited_store.ts";
import type { VectorEntry } from "../vector/vector_cell.ts";
import { type BatchLimits, batchLimits } from "./shard_batch_stream.ts";
import type { RateLimit } from "../token_bucket.ts";
import { vectorPacker } from "./vector_column.ts";
import {
  type CheckedWorkerBudget,
  checkWorkers,
  type WorkerBudget,
  workerBudget,
  workersOption,
} from "./worker_options.ts";

/** How far a write has come; counters never go back. */
export interface WriteProgress {
  /** What is being done: rows are read, then shards are built and uploaded, then the snapshot is published. */
  readonly phase: "rows" | "shards" | "publish";
  /** Rows read from the source so far. */
  readonly rowsRead: number;
  /** Bytes of keys and values read so far. */
  readonly bytesRead: number;
  /** Shards that lie in the store, whole. */
  readonly shardsBuilt: number;
  /** Shards that have rows; null while rows are still being read. */
  readonly shardsToBuild: number | null;
}

/** Options of `writeSnapshot` and `snapshotSink`. */
export interface WriteSnapshotOptions<T> {
  /** The place of the snapshot series. */
  readonly store: ObjectStore;
  /** How rows are spread over shards: `hashSharding(…)`, `singleShard()`, `celSharding(…)`. */
  readonly sharding: Sharding;
  /** The key of a row. A `number` must be a safe integer. Of rows with equal keys the last one wins. */
  readonly key: (row: T) => Key;
  /** The value of a row; strings are stored as UTF-8. To be left out only of rows that are vectors and nothing else. */
  readonly value?: ((row: T) => string | Uint8Array) | undefined;
  /**
   * The vector of a row, with an id of its own and a payload if you like; null for rows without one. For backends that
   * store vectors, `sqliteVecBackend(…)`, which need it. Without `value` each row must have one, and its key is its id;
   * where vectors or columns tell the shard, each key may come once only. Ids may repeat.
   */
  readonly vector?: ((row: T) => VectorEntry | null) | undefined;
  /**
   * The columns that the expression of `celSharding(…)` looks at; other properties are ignored, and a column `key` that
   * is left out is the key itself. Default: the key is all there is.
   */
  readonly columns?: ((row: T) => RoutingColumns) | undefined;
  /** How keys are stored. Default: `"u64be"`, `"utf8"` or `"raw"`, whichever suits the first row's key. */
  readonly keyEncoding?: KeyEncoding | undefined;
  /** What a shard is made of. Default: `sqliteBackend()`. */
  readonly backend?: Backend | undefined;
  /** When a shard's batch is full. @default {{ rowsMax: 50_000, bytesMax: 1 MiB }} */
  readonly batch?: BatchLimits | undefined;
  /** Rows in memory, over all shards; beyond, sorted runs go to disk. @default {{ bytesMax: 512 MiB }} */
  readonly memory?: { readonly bytesMax?: number | undefined; readonly rowsMax?: number | undefined } | undefined;
  /** Limits over all shards together. Default: none. */
  readonly rateLimit?: RateLimit | undefined;
  /** What all uploads together may send. Default: no limit. */
  readonly uploadBytesPerSecond?: number | undefined;
  /**
   * Sends requests to `store` again that failed with a `retryable` error: by default five tries in all, after 200, 400,
   * 800 and 1600 ms. On top of what the store does by itself: `s3Store` makes five tries of each of these, so lower its
   * `attemptsMax`. Parts of an upload are not sent again: that is for the store, and for `retry`. Default: only the
   * store's own tries.
   */
  readonly requestRetry?: Partial<RequestRetry> | undefined;
  /**
   * How long a request to `store` may take, in milliseconds; of an upload each chunk. Then it is aborted and has failed
   * with a `retryable` error. Default: as long as the store allows.
   */
  readonly timeoutMs?: number | undefined;
  /** Name of this run, unique in the series. Default: 32 random hex digits. */
  readonly runId?: string | undefined;
  /** Fields of your own for the manifest: JSON. */
  readonly custom?: JsonObject | undefined;
  /** What the manifest calls the key. Default: `"_key"`, and `"_vector_id"` of rows without values. */
  readonly keyColumn?: string | undefined;
  /** Folder of the shards below the store's url. @default {"shards"} */
  readonly shardPrefix?: string | undefined;
  /** Folder of a shard below the run's; `{db_id}` stands for its number. @default {"db={db_id:05d}"} */
  readonly dbPathTemplate?: string | undefined;
  /** Folder of the run records, which tell what each run is doing or how it ended. @default {"runs"} */
  readonly runRegistryPrefix?: string | undefined;
  /** Name of the pointer object. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /**
   * Builds a shard again, into `attempt=01…`, when an attempt failed with a `retryable` error: by default three times,
   * after 1, 2 and 4 s. Its rows are kept until it is built, so nothing is read twice. Attempts that were not
   * published are removed after publishing. Default: the first failure ends the write.
   */
  readonly retry?: Partial<ShardRetry> | undefined;
  /**
   * Threads that sort, build and check shards; rows are read and routed, and objects uploaded, in this one. `"auto"`:
   * one for each core. The files are the same (P9). A thread that is lost is replaced with `retry` (rows are then put
   * aside on disk too), and else the write fails with `ShardWriteError`. @default {0}
   */
  readonly workers?: number | "auto" | undefined;
  /** How much may be on its way to workers: beyond, the source waits. */
  readonly workerBudget?: WorkerBudget | undefined;
  /**
   * Since when another writer's publishing counts as a conflict: since all rows were read (`"publish"`), so that a
   * slow source does not lose against everybody, or since the write began (`"run"`), for rows that were made from the
   * snapshot that was current then. @default {"publish"}
   */
  readonly fence?: "publish" | "run" | undefined;
  /**
   * What becomes of a conflict: the write fails with `PublishConflictError`, its shards and manifest staying for a roll
   * back; or it publishes over the other one, which stays in the history and is named by `result.replaced`.
   * @default {"fail"}
   */
  readonly onConflict?: "fail" | "replace" | undefined;
  /**
   * What to do about a store that ignores preconditions, as some servers do that speak S3's protocol: without them
   * two publishers may overwrite each other unnoticed. `"require"` refuses such a store before rows are read; `"warn"`
   * goes on, comparing before and after writes, and says so in `result.warnings` and the event `write.unfenced`;
   * `"assume"` does not find out. Finding out costs six small requests, once for each store object, and nothing for
   * stores that say what they do and with a `manifestStore` of your own. @default {"require"}
   */
  readonly preconditions?: PreconditionPolicy | undefined;
  /**
   * Judges the snapshot when all of it is uploaded and none of it published, by the reader that everybody will read it
   * with: `rowCountDrift(…)`, `sampleRows(…)`, `fullVerify()`, or a function of your own. What it throws is what the
   * write rejects with; nothing is published then, and what was uploaded is removed. The reader closes when it returns.
   */
  readonly validate?: ((candidate: SnapshotReader) => Promise<void>) | undefined;
  /**
   * What becomes of shards whose file would be, byte for byte, the current snapshot's: by its recorded digest, and if
   * sharding, key encoding and backend are the same. They are not uploaded: `"copy"` copies them inside the store,
   * `"reference"` makes the manifest name them where they are, which `cleanUp` heeds, but not the Python package's.
   * Readers of both packages read both. Costs a second pass over the sorted rows of shards that did change.
   * @default {false}
   */
  readonly reuse?: false | "copy" | "reference" | undefined;
  /** Folder for temporary files. Default: `shardyfusion` in the system's folder for temporary files. */
  readonly localRoot?: string | undefined;
  /** Remove attempts that were not published. @default {true} */
  readonly cleanUpLosers?: boolean | undefined;
  /** Where manifests and the pointer are kept. Default: in `store`. */
  readonly manifestStore?: ManifestStore | undefined;
  /** Takes metric events: `write.…`, `rate_limiter.…`, `s3.…`, and `vector.write.…` of rows without values. */
  readonly onEvent?: EventSink | undefined;
  /** Watches the write, each attempt at a shard, and publishing as spans: `otelTracer()` of `./metrics/otel`. */
  readonly tracer?: Tracer | undefined;
  /** Takes progress, at most every 100 ms and at each change of phase. What it throws is ignored. */
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined;
  /** Aborts the write: nothing is published and nothing is left behind. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** Options with defaults filled in. */
export interface CheckedWriteOptions<T> extends WriteSnapshotOptions<T> {
  readonly batch: { readonly rowsMax: number; readonly bytesMax: number };
  readonly memory: { readonly bytesMax: number; readonly rowsMax?: number | undefined };
  readonly retry?: ShardRetry | undefined;
  readonly requestRetry?: RequestRetry | undefined;
  readonly workers: number | "auto";
  readonly workerBudget: CheckedWorkerBudget;
  readonly custom: JsonObject;
  readonly shardPrefix: string;
  readonly dbPathTemplate: string;
  readonly runRegistryPrefix: string;
  readonly pointerKey: string;
  readonly fence: "publish" | "run";
  readonly onConflict: "fail" | "replace";
  readonly preconditions: PreconditionPolicy;
  readonly clock: Clock;
}

const nonEmpty = v.pipe(v.string("a non-empty string"), v.minLength(1, "a non-empty string"));

const memoryLimits = v.strictObject({
  bytesMax: v.optional(positiveInteger, 512 * 1024 * 1024),
  rowsMax: v.optional(positiveInteger),
});

const rateLimit = v.strictObject({
  rowsPerSecond: v.optional(positiveNumber),
  bytesPerSecond: v.optional(positiveNumber),
});

const shardRetry = v.strictObject({
  retriesMax: v.optional(wholeNumber, 3),
  initialBackoffMs: v.optional(wholeNumber, 1000),
  multiplier: v.optional(positiveNumber, 2),
});

const reuseMode = v.union([v.literal(false), v.picklist(["copy", "reference"])], 'false, "copy" or "reference"');

function schema<T>(): v.GenericSchema<WriteSnapshotOptions<T>, CheckedWriteOptions<T>> {
  return v.strictObject({
    store: objectWith<ObjectStore>("a store that can be written, such as fsStore(…)", "url", "get", "put", "upload"),
    sharding: objectWith<Sharding>("hashSharding(…), singleShard(), celSharding(…) or another sharding", "kind"),
    key: functionOf<(row: T) => Key>(),
    value: v.optional(functionOf<(row: T) => string | Uint8Array>()),
    vector: v.optional(functionOf<(row: T) => VectorEntry | null>()),
    columns: v.optional(functionOf<(row: T) => RoutingColumns>()),
    keyEncoding: v.optional(v.picklist(["u64be", "u32be", "utf8", "raw"], '"u64be", "u32be", "utf8" or "raw"')),
    backend: v.optional(objectWith<Backend>("a backend such as sqliteBackend()", "spec", "buildShard")),
    batch: v.optional(batchLimits, {}),
    memory: v.optional(memoryLimits, {}),
    rateLimit: v.optional(rateLimit),
    uploadBytesPerSecond: v.optional(positiveNumber),
    requestRetry: v.optional(requestRetry),
    timeoutMs: v.optional(positiveNumber),
    runId: v.optional(nonEmpty),
    custom: v.optional(v.record(v.string(), v.any(), "a JSON object"), {}),
    keyColumn: v.optional(nonEmpty),
    shardPrefix: v.optional(nonEmpty, "shards"),
    dbPathTemplate: v.optional(nonEmpty, "db={db_id:05d}"),
    runRegistryPrefix: v.optional(nonEmpty, "runs"),
    pointerKey: v.optional(nonEmpty, "_CURRENT"),
    retry: v.optional(shardRetry),
    workers: v.optional(workersOption, 0),
    workerBudget: v.optional(workerBudget, {}),
    fence: v.optional(v.picklist(["publish", "run"], '"publish" or "run"'), "publish"),
    onConflict: v.optional(v.picklist(["fail", "replace"], '"fail" or "replace"'), "fail"),
    preconditions: v.optional(preconditionPolicy, "require"),
    reuse: v.optional(reuseMode, false),
    validate: v.optional(functionOf<(candidate: SnapshotReader) => Promise<void>>()),
    localRoot: v.optional(nonEmpty),
    cleanUpLosers: v.optional(v.boolean("true or false"), true),
    manifestStore: v.optional(objectWith<ManifestStore>("a manifest store", "loadCurrent", "publish")),
    onEvent: v.optional(functionOf<EventSink>()),
    tracer: v.optional(functionOf<Tracer>()),
    onProgress: v.optional(functionOf<(progress: WriteProgress) => void>()),
    signal: v.optional(signalOption),
    clock: v.optional(clockOption, systemClock),
  }) as unknown as v.GenericSchema<WriteSnapshotOptions<T>, CheckedWriteOptions<T>>;
}

/**
 * Checks all options before anything is read or written.
 *
 * @throws {ConfigValidationError} naming the first wrong option.
 */
export function checkWriteOptions<T>(options: WriteSnapshotOptions<T>): CheckedWriteOptions<T> {
  const checked = parseOptions(schema<T>(), options);
  checkSharding(checked);
  checkSegment(checked.shardPrefix, "shardPrefix");
  const names = [checked.shardPrefix, checked.runRegistryPrefix, checked.pointerKey, "manifests"];
  if (new Set(names).size < names.length) {
    throw new ConfigValidationError(
      `Cannot use option "shardPrefix" as it must differ from "manifests", runRegistryPrefix and pointerKey`,
      "shardPrefix",
    );
  }
  checkSegment(checked.runRegistryPrefix, "runRegistryPrefix");
  checkDbPathTemplate(checked.dbPathTemplate);
  if (checked.runId !== undefined) checkRunId(checked.runId);
  if (checked.reuse === "reference" && checked.manifestStore !== undefined) {
    throw new ConfigValidationError(
      'Cannot use option "reuse" as it must not be "reference" with a manifestStore, where nothing pins a snapshot: ' +
        'take "copy"',
      "reuse",
    );
  }
  checkCustom(checked.custom);
  vectorPacker(checked);
  checkWorkers(checked.workers, checked.backend);
  return checked;
}

/** Whether there are columns where an expression looks at some. */
function checkSharding<T>({ sharding, columns, value, backend }: CheckedWriteOptions<T>): void {
  if (sharding.kind === "cel") {
    if (columns !== undefined || sharding.isKeyOnly) return;
    throw new ConfigValidationError(
      'Cannot use option "columns" as it must be a function that gives the columns of a row, which the routing ' +
        "expression looks at: it is missing",
      "columns",
    );
  }
  if (sharding.kind === "vectors") {
    if (value !== undefined) {
      throw new ConfigValidationError(
        `Cannot use option "value" with ${sharding.strategy}Sharding(…) as nobody could look keys up where vectors ` +
          "tell the shard: leave it out, or shard by key",
        "value",
      );
    }
    if (backend?.vectors !== undefined) sharding.check(backend.vectors);
  } else if (sharding.kind !== "fixed" && sharding.kind !== "keysPerShard") {
    const { kind } = sharding as { kind: unknown };
    throw new ConfigValidationError(
      'Cannot use option "sharding" as it must be made by hashSharding(…), singleShard(), celSharding(…) or ' +
        `celShardingByColumns(…): it is of kind ${shown(kind)}`,
      "sharding",
    );
  }
  if (columns === undefined) return;
  throw new ConfigValidationError('Cannot use option "columns" as only celSharding(…) looks at columns', "columns");
}

/** Fields of the manifest that the library itself writes. */
const RESERVED_FIELDS = ["shardyfusion", "sqlite_sidecar", "vector"];

/** Now, as nobody wants to learn it when all shards have been built. */
function checkCustom(custom: JsonObject): void {
  for (const name of RESERVED_FIELDS) {
    if (!(name in custom)) continue;
    const path = `custom.${name}`;
    throw new ConfigValidationError(`Cannot use option "${path}" as the library writes a field of that name`, path);
  }
  dumpJson(custom);
}
