/**
 * Reading: everything that is needed to look up keys in a published snapshot.
 * @module
 */
export type { BorrowedShard } from "./borrowed_shard.ts";
export { lookUpStream } from "./look_up_stream.ts";
export { openSnapshot } from "./open_snapshot.ts";
export type { AccessMode, LookUpOptions, OpenSnapshotOptions, SnapshotPin } from "./read_options.ts";
export type { ScanOptions } from "./scan_range.ts";
export type { EncodedRow } from "./look_up.ts";
export type { ReaderStats, ShardInfo, SnapshotHealth, SnapshotInfo } from "./snapshot_info.ts";
export type { SnapshotReader, WarmTarget } from "./snapshot_reader.ts";
