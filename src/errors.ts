/**
 * Every error that this library throws on purpose.
 *
 * `code` is what programs branch on: it survives `structuredClone` between workers, the class does not.
 * Messages name what could not be done, where, and what to do; the data is in the fields.
 * @module
 */

/** The class name without `Error`, in capitals. Never renamed once released. */
export type ErrorCode =
  | "CONFIG_VALIDATION"
  | "SHARD_ASSIGNMENT"
  | "SHARD_COVERAGE"
  | "SHARD_WRITE"
  | "DB_ADAPTER"
  | "SNAPSHOT_VALIDATION"
  | "PUBLISH_MANIFEST"
  | "PUBLISH_CURRENT"
  | "PUBLISH_CONFLICT"
  | "MANIFEST_PARSE"
  | "READER_STATE"
  | "UNKNOWN_ROUTING_TOKEN"
  | "CORRUPT_FILE"
  | "STORE"
  | "OBJECT_NOT_FOUND"
  | "PRECONDITION_FAILED"
  | "MISSING_LIBRARY"
  | "CEL_EVALUATION"
  | "ENGINE_JOB";

/** Parent of all errors below: catches what is ours and nothing else. */
export abstract class ShardyfusionError extends Error {
  /** What programs branch on. */
  abstract readonly code: ErrorCode;
  /** True only if the same call, unchanged, can succeed later. */
  readonly retryable: boolean = false;
}

/** An option, a key, a value or a routing rule is wrong. Nothing was published. */
export class ConfigValidationError extends ShardyfusionError {
  override readonly name = "ConfigValidationError";
  override readonly code = "CONFIG_VALIDATION";
  /** What is wrong, dotted: `batch.rowsMax`, `key`, `store`. */
  readonly path: string;
  constructor(message: string, path: string, options?: { cause?: unknown }) {
    super(message, options);
    this.path = path;
  }
}

/** A row or a key cannot be given to a shard, or rows leave shards out. */
export class ShardAssignmentError extends ShardyfusionError {
  override readonly name = "ShardAssignmentError";
  override readonly code = "SHARD_ASSIGNMENT";
}

/** Shards that were given rows have no complete result; no manifest was written. */
export class ShardCoverageError extends ShardyfusionError {
  override readonly name = "ShardCoverageError";
  override readonly code = "SHARD_COVERAGE";
  /** The shards concerned, ascending. */
  readonly shardIds: readonly number[];
  constructor(message: string, shardIds: readonly number[], options?: { cause?: unknown }) {
    super(message, options);
    this.shardIds = shardIds;
  }
}

/** Files of shards could not be built or uploaded. */
export class ShardWriteError extends ShardyfusionError {
  override readonly name = "ShardWriteError";
  override readonly code = "SHARD_WRITE";
  override readonly retryable = true;
  /** The shards that failed: one, or all that a lost thread was to build. */
  readonly shardIds: readonly number[];
  constructor(message: string, shardIds: readonly number[], options?: { cause?: unknown }) {
    super(message, options);
    this.shardIds = shardIds;
  }
  /** The first of `shardIds`. */
  get shardId(): number {
    return this.shardIds[0]!;
  }
}

/** A shard engine is missing, too old, or refused an operation. */
export class DbAdapterError extends ShardyfusionError {
  override readonly name = "DbAdapterError";
  override readonly code = "DB_ADAPTER";
}

/** A validator found the uploaded snapshot unfit; it was removed and not published. */
export class SnapshotValidationError extends ShardyfusionError {
  override readonly name = "SnapshotValidationError";
  override readonly code = "SNAPSHOT_VALIDATION";
  /** Name of the validator, such as `rowCountDrift`. */
  readonly validator: string;
  constructor(message: string, validator: string, options?: { cause?: unknown }) {
    super(message, options);
    this.validator = validator;
  }
}

/** The manifest could not be stored; the snapshot was not published. */
export class PublishManifestError extends ShardyfusionError {
  override readonly name = "PublishManifestError";
  override readonly code = "PUBLISH_MANIFEST";
  override readonly retryable = true;
}

/** The manifest is stored, but the pointer was not moved to it: readers still see the old snapshot. */
export class PublishCurrentError extends ShardyfusionError {
  override readonly name = "PublishCurrentError";
  override readonly code = "PUBLISH_CURRENT";
  override readonly retryable = true;
  /** Where the manifest lies, for an operator who moves the pointer by hand. */
  readonly manifestRef: string;
  constructor(message: string, manifestRef: string, options?: { cause?: unknown }) {
    super(message, options);
    this.manifestRef = manifestRef;
  }
}

/** Another writer moved the pointer first; its snapshot stays the current one. */
export class PublishConflictError extends ShardyfusionError {
  override readonly name = "PublishConflictError";
  override readonly code = "PUBLISH_CONFLICT";
  /** The manifest that was not published. */
  readonly manifestRef: string;
  /** The manifest that the pointer names instead; null when the pointer is gone. */
  readonly winnerRef: string | null;
  constructor(
    message: string,
    refs: { readonly manifestRef: string; readonly winnerRef: string | null },
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.manifestRef = refs.manifestRef;
    this.winnerRef = refs.winnerRef;
  }
}

/** A manifest, the pointer or a run record does not follow its format. */
export class ManifestParseError extends ShardyfusionError {
  override readonly name = "ManifestParseError";
  override readonly code = "MANIFEST_PARSE";
  /** The object that was read. */
  readonly ref: string;
  constructor(message: string, ref: string, options?: { cause?: unknown }) {
    super(message, options);
    this.ref = ref;
  }
}

/** The reader cannot do this now: it is closed, or there is no snapshot to read. */
export class ReaderStateError extends ShardyfusionError {
  override readonly name = "ReaderStateError";
  override readonly code = "READER_STATE";
}

/** A key routes to a token that the snapshot has no shard for. */
export class UnknownRoutingTokenError extends ShardyfusionError {
  override readonly name = "UnknownRoutingTokenError";
  override readonly code = "UNKNOWN_ROUTING_TOKEN";
  /** What the routing expression gave. */
  readonly token: unknown;
  constructor(message: string, token: unknown) {
    super(message);
    this.token = token;
  }
}

/** Bytes do not follow the format that they claim, or do not have the recorded digest. */
export class CorruptFileError extends ShardyfusionError {
  override readonly name = "CorruptFileError";
  override readonly code = "CORRUPT_FILE";
  /** First wrong byte as far as known, from the start of the file; -1 when no single place is. */
  readonly byteOffset: number;
  constructor(message: string, byteOffset: number, options?: { cause?: unknown }) {
    super(message, options);
    this.byteOffset = byteOffset;
  }
}

/** What a failing store request was about. */
export interface StoreErrorDetails {
  /** The object or prefix concerned, as a URL. */
  readonly url: string;
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** True for time-outs, dropped connections, throttling and server errors. */
  readonly retryable?: boolean;
  /** What the store's client threw. */
  readonly cause?: unknown;
}

/** An object store refused or failed. */
export class StoreError extends ShardyfusionError {
  override readonly name: string = "StoreError";
  override readonly code: ErrorCode = "STORE";
  override readonly retryable: boolean;
  /** The object or prefix concerned. */
  readonly url: string;
  /** HTTP status; undefined without an answer. */
  readonly status: number | undefined;
  /** @param details What the request was about. */
  constructor(message: string, details: StoreErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.url = details.url;
    this.status = details.status;
    this.retryable = details.retryable ?? false;
  }
}

/** The object does not exist. */
export class ObjectNotFoundError extends StoreError {
  override readonly name = "ObjectNotFoundError";
  override readonly code = "OBJECT_NOT_FOUND";
}

/** A conditional request found another state than the one it named; nothing was changed. */
export class PreconditionFailedError extends StoreError {
  override readonly name = "PreconditionFailedError";
  override readonly code = "PRECONDITION_FAILED";
}

/** A package that this feature needs is not installed. */
export class MissingLibraryError extends ShardyfusionError {
  override readonly name = "MissingLibraryError";
  override readonly code = "MISSING_LIBRARY";
  /** What to install. */
  readonly packageName: string;
  constructor(message: string, packageName: string, options?: { cause?: unknown }) {
    super(message, options);
    this.packageName = packageName;
  }
}

/** A CEL expression has no answer for a row: a division by zero, an overflow, a column of another type. */
export class CelEvaluationError extends ShardyfusionError {
  override readonly name = "CelEvaluationError";
  override readonly code = "CEL_EVALUATION";
  /** The expression. */
  readonly expr: string;
  constructor(message: string, expr: string, options?: { cause?: unknown }) {
    super(message, options);
    this.expr = expr;
  }
}

/** A job that was submitted to an engine has failed or was stopped, or the engine did not take it. */
export class EngineJobError extends ShardyfusionError {
  override readonly name = "EngineJobError";
  override readonly code = "ENGINE_JOB";
  override readonly retryable: boolean;
  /** The engine's name of the job. */
  readonly submissionId: string;
  /** What the engine says about the job, such as `FAILED` or `STOPPED`; null when it says nothing. */
  readonly status: string | null;
  /** The exit code of the job's command; null when it has not ended by itself. */
  readonly exitCode: number | null;
  /** @param details What is known of the job. */
  constructor(message: string, details: EngineJobErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.submissionId = details.submissionId;
    this.status = details.status ?? null;
    this.exitCode = details.exitCode ?? null;
    this.retryable = details.retryable ?? false;
  }
}

/** What is known of a job that has failed. */
export interface EngineJobErrorDetails {
  readonly submissionId: string;
  readonly status?: string | undefined;
  readonly exitCode?: number | undefined;
  /** True when the same may succeed later. */
  readonly retryable?: boolean | undefined;
  readonly cause?: unknown;
}
