/**
 * For those who make a shard engine of their own: what one is, and what its parts are made with. `backendContract` of
 * `./testing` shows whether it does what it must.
 *
 * @example An engine with another name
 * ```ts
 * import type { Backend } from "./mod.ts";
 * import { sqliteBackend } from "./sqlite_backend.ts";
 *
 * const { module: _, ...engine } = sqliteBackend();
 * const backend: Backend = { ...engine, spec: { name: "mine", options: {} } };
 * if (backend.fileName !== "shard.db") throw new Error("unexpected file");
 * ```
 * @module
 */
export type { ByteSpool, ScratchSpace } from "../bytes/spool.ts";
export type { RowCursor, SortedRows } from "../rows.ts";
export { VectorCell, type VectorSpace } from "../vector/vector_cell.ts";
export type {
  Backend,
  BackendModule,
  BackendSpec,
  BuiltShard,
  ObjectDigest,
  RemotePart,
  RemoteShard,
  ScanRange,
  SearchHit,
  SearchOptions,
  ShardFile,
  ShardOpener,
  ShardReader,
  ShardSource,
  ShardTally,
  ShardTarget,
  SharedPages,
} from "./backend.ts";
export { putObject, removeObjects } from "./upload_folder.ts";
