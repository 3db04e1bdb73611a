/**
 * Publishes sharded snapshots of rows to object storage, and looks rows up in them: by key, from any number of
 * processes, without a database.
 *
 * @example Publish, then look up
 * ```ts
 * import { hashSharding, openSnapshot, writeSnapshot } from "./mod.ts";
 * import { memoryStore } from "./src/stores/memory_store.ts";
 *
 * const store = memoryStore();
 * await writeSnapshot([{ id: 42, name: "Ada" }], {
 *   store,
 *   sharding: hashSharding({ shards: 8 }),
 *   key: (row) => row.id,
 *   value: (row) => JSON.stringify(row),
 * });
 * await using reader = await openSnapshot({ store });
 * const value = await reader.get(42);
 * if (value === null) throw new Error("the row is missing");
 * ```
 * @module
 */
export type { JsonObject, JsonValue } from "./src/bytes/python_json.ts";
export type { Clock } from "./src/clock.ts";
export * from "./src/errors.ts";
export type { EventMap, EventSink, ShardyfusionEvent } from "./src/events.ts";
export type { SpanAttributes, SpanName, SpanStart, SpanWork, Tracer } from "./src/spans.ts";
export type { Backend, BackendSpec, SearchHit } from "./src/backends/backend.ts";
export { sqliteBackend, type SqliteBackendOptions } from "./src/backends/sqlite_backend.ts";
export type { Key, KeyEncoding } from "./src/routing/key.ts";
export type { VectorEntry, VectorId, VectorMetric } from "./src/vector/vector_cell.ts";
export {
  type CelSharding,
  celSharding,
  celShardingByColumns,
  type CelShardingOptions,
  type ColumnShardingOptions,
  type ShardingColumn,
} from "./src/routing/cel_sharding.ts";
export { hashSharding, type HashShardingOptions, type Sharding, singleShard } from "./src/routing/sharding.ts";
export {
  clusterSharding,
  type ClusterShardingOptions,
  type ClusterTraining,
  explicitSharding,
  type ExplicitShardingOptions,
  lshSharding,
  type LshShardingOptions,
  type VectorSharding,
  type VectorTable,
} from "./src/routing/vector_sharding.ts";
export type { LazyManifest, Manifest, ManifestRef, ShardDirectory, ShardEntry } from "./src/snapshots/manifest.ts";
export type {
  CurrentPointer,
  ManifestOptions,
  ManifestReader,
  ManifestStore,
  PointerOptions,
} from "./src/snapshots/manifest_store.ts";
export {
  cleanUp,
  type CleanUpOptions,
  type CleanUpProgress,
  type CleanUpResult,
  type KeepReason,
  type KeptRun,
  type KeptSnapshot,
  type RemovedAmount,
  type RemovedAttempt,
  type RemovedRun,
  type RemovedUpload,
} from "./src/snapshots/clean_up.ts";
export { memoryManifestStore, type MemoryManifestStoreOptions } from "./src/snapshots/memory_manifest_store.ts";
export type { PreconditionPolicy } from "./src/snapshots/preconditions.ts";
export {
  history,
  type HistoryOptions,
  type ManifestPlaceOptions,
  rollBack,
  type RollBackOptions,
} from "./src/snapshots/history.ts";
export { type Pin, pin, type PinOptions, unpin, type UnpinOptions } from "./src/snapshots/pins.ts";
export type {
  ByteRange,
  CopyOptions,
  ObjectEntry,
  ObjectStore,
  ObjectUpload,
  ObjectVersion,
  OpenUpload,
  Precondition,
  ReadableStore,
  RequestOptions,
  StoredObject,
  StoredRanges,
  UploadOptions,
  WriteOptions,
} from "./src/stores/store.ts";
export { httpStore, type HttpStoreOptions } from "./src/stores/http_store.ts";
export { memoryStore } from "./src/stores/memory_store.ts";
export type { BorrowedShard } from "./src/read/borrowed_shard.ts";
export type { EncodedRow } from "./src/read/scan_shards.ts";
export { lookUpStream } from "./src/read/look_up_stream.ts";
export { openSnapshot } from "./src/read/open_snapshot.ts";
export type {
  AccessMode,
  HydrateOptions,
  LookUpOptions,
  ManyColumns,
  ManyLookUpOptions,
  OpenSnapshotOptions,
  ReaderOptions,
  SnapshotPin,
} from "./src/read/read_options.ts";
export type { ScanOptions } from "./src/read/scan_range.ts";
export type { SnapshotHealth } from "./src/read/snapshot_health.ts";
export type { ShardInfo } from "./src/read/shard_info.ts";
export type { ReaderStats, SnapshotInfo } from "./src/read/snapshot_info.ts";
export type { Traffic } from "./src/read/requests.ts";
export type { ChosenMode } from "./src/read/shard_access.ts";
export type { ShardStats } from "./src/read/shard_tallies.ts";
export type { KeyReader } from "./src/read/key_reader.ts";
export type { VectorSearchOptions, VectorSearchResult } from "./src/read/search_snapshot.ts";
export type { SnapshotReader, WarmTarget } from "./src/read/snapshot_reader.ts";
export type { RoutingColumns } from "./src/routing/router.ts";
export type { RateLimit } from "./src/token_bucket.ts";
export type { ShardRetry } from "./src/write/build_shards.ts";
export type { RowSource } from "./src/write/gather.ts";
export type { RequestRetry } from "./src/write/limited_store.ts";
export type { BatchLimits } from "./src/write/shard_batch_stream.ts";
export type { WorkerBudget } from "./src/write/worker_options.ts";
export { fullVerify, type FullVerifyOptions } from "./src/write/full_verify.ts";
export { type SnapshotSink, snapshotSink } from "./src/write/snapshot_sink.ts";
export {
  rowCountDrift,
  type RowCountDriftOptions,
  sampleRows,
  type SnapshotValidator,
} from "./src/write/validators.ts";
export { bytesValue, type ColumnRow, jsonValue } from "./src/write/values.ts";
export type { WriteProgress, WriteSnapshotOptions } from "./src/write/write_options.ts";
export { type WriteResult, writeSnapshot, type WriteStats } from "./src/write/write_snapshot.ts";
export type { VerifyOptions, VerifyProgress } from "./src/verify/verify_options.ts";
export type { ProblemKind, SnapshotProblem, SnapshotReport } from "./src/verify/verify_report.ts";
export { verifySnapshot } from "./src/verify/verify_snapshot.ts";
