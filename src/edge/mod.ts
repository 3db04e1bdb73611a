/**
 * Reading with a small bundle: opens snapshots over HTTP, R2 or any other store, and looks up keys. What is left out,
 * such as scans and disks, is in the package itself.
 * @module
 */
export { type EdgeReaderOptions, openSnapshot } from "./edge_snapshot.ts";
export type { KeyReader } from "../read/key_reader.ts";
export type {
  AccessMode,
  LookUpOptions,
  ManyColumns,
  ManyLookUpOptions,
  ReaderOptions,
  RouterMaker,
} from "../read/read_options.ts";
export type { ReaderStats, SnapshotInfo } from "../read/snapshot_info.ts";
export type { ShardStats } from "../read/shard_tallies.ts";
export { httpStore, type HttpStoreOptions } from "../stores/http_store.ts";
