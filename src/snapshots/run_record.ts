/**
 * What a run says of itself, `run.yaml`: that it is at work, how long it may be trusted to be, and what became of it
 * (WIRE_FORMATS 19). Made for operators and for clean-ups; nothing that publishes or reads snapshots depends on it.
 *
 * ```text
 * db_path_template  where shards lie, with shard_prefix
 * error_message     null unless it failed
 * error_type        null unless it failed: name of the error's class
 * format_version    1
 * lease_expires_at  date-time: a running run that has not renewed it by then is dead
 * manifest_ref      URL of the manifest, once it is stored; else null
 * run_id
 * s3_prefix         URL of the series
 * shard_prefix
 * started_at        date-time
 * status            running, succeeded or failed
 * updated_at        date-time
 * writer_type       "typescript" here
 * ```
 * @module
 */
import { parseYaml, renderYaml, type YamlMapping } from "../bytes/plain_yaml.ts";
import { jsonStamp } from "../bytes/timestamps.ts";
import { type Kind, readerOf, refusing, stamp, text } from "./checked_fields.ts";

/** Content type of run records. */
export const RUN_RECORD_CONTENT_TYPE = "application/x-yaml";

/** Records have 1 KB and an error message; what is much larger is none and is not parsed. */
const RECORD_BYTES_MAX = 1 << 20;

/** What became of a run. */
export type RunStatus = "running" | "succeeded" | "failed";

/** The record of a run. Times are microseconds since 1970. */
export interface RunRecord {
  readonly runId: string;
  /** What wrote it: informational. */
  readonly writerType: string;
  readonly status: RunStatus;
  readonly startedAtMicros: number;
  readonly updatedAtMicros: number;
  /** Until when a running run counts as alive. */
  readonly leaseExpiresAtMicros: number;
  readonly s3Prefix: string;
  readonly shardPrefix: string;
  readonly dbPathTemplate: string;
  /** URL of the manifest, once it is stored, also when the run failed afterwards. */
  readonly manifestRef: string | null;
  /** Name of the error's class. */
  readonly errorType: string | null;
  readonly errorMessage: string | null;
}

const status: Kind<RunStatus> = [
  '"running", "succeeded" or "failed"',
  (value) => ["running", "succeeded", "failed"].includes(value as string) ? value as RunStatus : undefined,
];
const textOrNull: Kind<string | null> = [
  "a text or null",
  (value) => typeof value === "string" || value === null ? value : undefined,
];
const formatVersion: Kind<true> = ["1", (value) => value === 1 || undefined];

/**
 * Renders a record as the Python package does.
 *
 * @throws {RangeError} when a time is outside of what dates can hold.
 *
 * @example
 * ```ts
 * import { parseRunRecord, renderRunRecord, type RunRecord } from "./run_record.ts";
 *
 * const record: RunRecord = {
 *   runId: "12345",
 *   writerType: "typescript",
 *   status: "failed",
 *   startedAtMicros: 0,
 *   updatedAtMicros: 1,
 *   leaseExpiresAtMicros: 1,
 *   s3Prefix: "s3://bucket/prefix",
 *   shardPrefix: "shards",
 *   dbPathTemplate: "db={db_id:05d}",
 *   manifestRef: null,
 *   errorType: "StoreError",
 *   errorMessage: "Cannot reach the store",
 * };
 * const read = parseRunRecord(renderRunRecord(record), "s3://bucket/prefix/runs/x/run.yaml");
 * if (read.runId !== "12345" || read.status !== "failed") throw new Error("unexpected record");
 * ```
 */
export function renderRunRecord(record: RunRecord): Uint8Array<ArrayBuffer> {
  const fields: YamlMapping = {
    "db_path_template": record.dbPathTemplate,
    "error_message": record.errorMessage,
    "error_type": record.errorType,
    "format_version": 1,
    "lease_expires_at": jsonStamp(record.leaseExpiresAtMicros),
    "manifest_ref": record.manifestRef,
    "run_id": record.runId,
    "s3_prefix": record.s3Prefix,
    "shard_prefix": record.shardPrefix,
    "started_at": jsonStamp(record.startedAtMicros),
    "status": record.status,
    "updated_at": jsonStamp(record.updatedAtMicros),
    "writer_type": record.writerType,
  };
  return new TextEncoder().encode(renderYaml(fields));
}

/**
 * Reads a record. Fields that are not known are ignored.
 *
 * @param ref URL of the record, for errors.
 * @throws {ManifestParseError} when it is no mapping, or lacks a field that every record has.
 */
export function parseRunRecord(bytes: Uint8Array, ref: string): RunRecord {
  const refuse = refusing("run record", ref);
  const fields = bytes.length > RECORD_BYTES_MAX ? null : parseYaml(new TextDecoder().decode(bytes));
  if (fields === null) return refuse("it must be a flat mapping in YAML", "");
  const field = readerOf(fields, refuse, "");
  field("format_version", formatVersion);
  return {
    runId: field("run_id", text),
    writerType: field("writer_type", text),
    status: field("status", status),
    startedAtMicros: field("started_at", stamp),
    updatedAtMicros: field("updated_at", stamp),
    leaseExpiresAtMicros: field("lease_expires_at", stamp),
    s3Prefix: field("s3_prefix", text),
    shardPrefix: field("shard_prefix", text),
    dbPathTemplate: field("db_path_template", text),
    manifestRef: field("manifest_ref", textOrNull),
    errorType: field("error_type", textOrNull),
    errorMessage: field("error_message", textOrNull),
  };
}
