/**
 * What a shard is made of: the interfaces that every shard engine implements.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { SortedRows } from "../rows.ts";
import type { ScratchSpace } from "../bytes/spool.ts";
import type { JsonObject } from "../bytes/python_json.ts";

/** An engine by name, with its options as plain data: what the manifest records and workers are told. */
export interface BackendSpec {
  readonly name: string;
  readonly options: JsonObject;
}

/** Where one attempt to build a shard goes. */
export interface ShardTarget {
  readonly shardId: number;
  readonly store: ObjectStore;
  /** Folder of the attempt in the store, without trailing slash: `shards/run_id=…/db=00000/attempt=00`. */
  readonly prefix: string;
  /** Makes room for temporary files; the caller removes it. Null where there is no disk. */
  readonly scratch: (() => Promise<ScratchSpace>) | null;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How to recognise an object's content; recorded as `shardyfusion.objects` in the shard's `writer_info`. */
export interface ObjectDigest {
  /** File name below the shard's folder. */
  readonly name: string;
  readonly sizeBytes: number;
  /** XXH3-64 in 16 hex digits, of the bytes from `rotatedBytes` to the end followed by the first `rotatedBytes`. */
  readonly xxh3: string;
  /** Length of the head that was hashed last because it was written last; 0 for objects hashed front to back. */
  readonly rotatedBytes: number;
}

/** A shard that lies in the store, whole. */
export interface BuiltShard {
  /** Recorded as `db_bytes`. */
  readonly dbBytes: number;
  /** Distinct rows in the shard. */
  readonly rowCount: number;
  readonly objects: readonly ObjectDigest[];
}

/** What rows a scan gives; bounds are encoded keys. */
export interface ScanRange {
  /** First key, included. */
  readonly from?: Uint8Array;
  /** Where to stop, excluded. */
  readonly to?: Uint8Array;
  readonly signal?: AbortSignal;
}

/** Looks rows up in one shard. Keys are encoded; values are copies that the caller owns. */
export interface ShardReader extends AsyncDisposable {
  /** The value, or null. Gives the value itself where no waiting is needed: await it either way. */
  get(key: Uint8Array, signal?: AbortSignal): Uint8Array | null | Promise<Uint8Array | null>;
  /** One entry per key, in the order of the keys. */
  getMany(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<(Uint8Array | null)[]>;
  /** Rows in ascending order of the keys' bytes, in arrays. */
  scan(range?: ScanRange): AsyncIterable<[key: Uint8Array, value: Uint8Array][]>;
}

/** A shard's file as the access mode made it available. */
export type ShardFile =
  | { readonly kind: "memory"; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly path: string; readonly sizeBytes: number };

/** A shard engine. */
export interface Backend {
  readonly spec: BackendSpec;
  /** Name of the one file that a shard is, below the shard's folder. */
  readonly fileName: string;
  /**
   * Writes a shard from its sorted rows and uploads it; nothing is left in the store when it throws.
   *
   * @throws {CorruptFileError} and the store's errors.
   */
  buildShard(rows: SortedRows, target: ShardTarget): Promise<BuiltShard>;
  /** Opens a shard's file. @throws {CorruptFileError} when it is not one of this engine. */
  openShard(file: ShardFile): Promise<ShardReader>;
}
