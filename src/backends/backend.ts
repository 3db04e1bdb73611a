/**
 * What a shard is made of: the interfaces that every shard engine implements.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { ByteRange, ObjectStore, ReadableStore } from "../stores/store.ts";
import type { SortedRows } from "../rows.ts";
import type { ScratchSpace } from "../bytes/spool.ts";
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import type { VectorId, VectorSpace } from "../vector/vector_cell.ts";

/** An engine by name, with its options as plain data: what the manifest records and workers are told. */
export interface BackendSpec {
  readonly name: string;
  readonly options: JsonObject;
}

/** A module, as `import.meta.url` names it, and the function in it that makes the engine of `spec.options`. */
export interface BackendModule {
  readonly url: string;
  /** Name of the export. */
  readonly factory: string;
  /** What the function is called with. Default: `spec.options`. */
  readonly options?: JsonObject;
}

/** Where one attempt to build a shard goes. */
export interface ShardTarget {
  readonly shardId: number;
  readonly store: ObjectStore;
  /** Folder of the attempt in the store, without trailing slash: `shards/run_id=…/db=00000/attempt=00`. */
  readonly prefix: string;
  /** How the keys of the rows are stored. */
  readonly keyEncoding: KeyEncoding;
  /** Makes room for temporary files; the caller removes it. Null where there is no disk. */
  readonly scratch: (() => Promise<ScratchSpace>) | null;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How to recognise an object's content; recorded as `shardyfusion.objects` in the shard's `writer_info`. */
export interface ObjectDigest {
  /** File name below the shard's folder. */
  readonly name: string;
  /** Length of the object. */
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

/** A shard of an earlier snapshot, as its manifest describes it. */
export interface ShardSource {
  /** Folder in the store, without trailing slash. */
  readonly prefix: string;
  /** Distinct rows. */
  readonly rowCount: number;
  /** The shard's file first. */
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

/** How a shard is searched. */
export interface SearchOptions {
  /** At most so many vectors are wanted. */
  readonly topK: number;
  readonly signal?: AbortSignal | undefined;
}

/** A vector that a search has found. */
export interface SearchHit {
  readonly id: VectorId;
  /** Distance from the query by the metric of the shard: 0 is nearest. */
  readonly score: number;
  /** What was stored with the vector; null for nothing. */
  readonly payload: JsonValue;
}

/**
 * Looks rows up in one shard. Keys are encoded; values are copies that the caller owns.
 *
 * Where the shard stays in the store, disposing only lets go of memory: of very many shards those that were not used
 * lately are disposed of, while lookups may be under way or still come.
 */
export interface ShardReader extends AsyncDisposable {
  /** The value, or null. Gives the value itself where no waiting is needed: await it either way. */
  get(key: Uint8Array, signal?: AbortSignal): Uint8Array | null | Promise<Uint8Array | null>;
  /** One entry per key, in the order of the keys. */
  getMany(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<(Uint8Array | null)[]>;
  /** Rows in ascending order of the keys' bytes, in arrays. */
  scan(range?: ScanRange): AsyncIterable<[key: Uint8Array, value: Uint8Array][]>;
  /**
   * The vectors nearest to `query`, nearest first; of equally near ones those that were stored first. Missing where
   * shards have no vectors.
   *
   * @throws {ConfigValidationError} when the query is of another dimension or not finite.
   * @throws {CorruptFileError} when damage is met on the way.
   */
  search?(query: Float32Array, options: SearchOptions): Promise<SearchHit[]>;
  /** Fetches ahead what lookups of any key need. Missing where there is nothing to fetch. */
  warm?(signal?: AbortSignal): Promise<void>;
}

/** What was read of a shard that stays in the store. */
export interface RemotePart {
  /** What was read. */
  readonly bytes: Uint8Array;
  /** Version of the file that the bytes are from; null where the store tells none. */
  readonly etag: string | null;
}

/** What a shard's reader counts beside requests. */
export interface ShardTally {
  /** Pages that needed no request. */
  cacheHits: number;
  /** Keys that the membership filter knew to be absent. */
  filterHits: number;
}

/** Pages of all shards of a reader, bounded together. Pages of one shard are told apart by its own `slot`. */
export interface SharedPages {
  get(slot: number, pageNumber: number): Uint8Array | undefined;
  set(slot: number, pageNumber: number, page: Uint8Array): void;
  /** A number that no other shard has. */
  newSlot(): number;
  /**
   * Makes room for what a shard holds beside its pages. When room is needed for others, `release` is called and the
   * shard lets go of it.
   *
   * @returns false when it is too large to be held at all.
   */
  hold(slot: number, sizeBytes: number, release: () => void): boolean;
  /** Says that what a shard holds was used, so that others go first. */
  touch(slot: number): void;
  /** Lets go of all that is held for a slot, without calling its `release`. */
  drop(slot: number): void;
}

/**
 * A shard that stays in the store and is read in parts. Whoever makes it counts, limits and repeats requests; whoever
 * reads it checks that all parts that are used together are of one version of the file.
 */
export interface RemoteShard {
  /** The shard's file, for errors. */
  readonly url: string;
  /** Length of the file that the manifest states. */
  readonly sizeBytes: number;
  readonly keyEncoding: KeyEncoding;
  /**
   * What the writer recorded about the objects in the shard's folder, the shard's file first; undefined where it
   * recorded nothing, as the Python package does.
   */
  readonly objects: readonly ObjectDigest[] | undefined;
  /** Length of the file's pages, where the manifest tells. */
  readonly pageSizeHint: number | undefined;
  /** Whether the manifest says that a sidecar was tried, though it may be missing. */
  readonly mayHaveSidecar: boolean;
  readonly pages: SharedPages;
  readonly tally: ShardTally;
  /** What it is read from, and the file's key there: for engines whose shards are more than one file. */
  readonly store: ReadableStore;
  readonly key: string;
  /** Reads a part of the file, with one GET. @throws {CorruptFileError} when the file is of another length. */
  read(range: ByteRange, signal?: AbortSignal): Promise<RemotePart>;
  /**
   * An object beside the file, whole, with one GET; null when there is none.
   *
   * @throws {CorruptFileError} when it is not what was recorded about it.
   */
  load(name: string, signal?: AbortSignal): Promise<Uint8Array | null>;
  /** Bytes that are worth reading in vain to save a request. */
  gapBytesMax(): number;
  /** Tells the user of the reader something, once. */
  readonly warn: (message: string) => void;
}

/** A shard's file as the access mode made it available. */
export type ShardFile =
  | { readonly kind: "memory"; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: "remote"; readonly shard: RemoteShard };

/** What reads the shards of an engine. */
export interface ShardOpener {
  /** Name of the one file that a shard is, or of the one to begin with, below the shard's folder. */
  readonly fileName: string;
  /** The kinds of files that it can open. */
  readonly opens: readonly ShardFile["kind"][];
  /** Opens a shard's file; sends no request yet. @throws {CorruptFileError} when it is not one of this engine. */
  openShard(file: ShardFile): Promise<ShardReader>;
}

/** A shard engine. */
export interface Backend extends ShardOpener {
  readonly spec: BackendSpec;
  /** Where worker threads find the engine. Without it shards are built in the writing thread only. */
  readonly module?: BackendModule;
  /** Fields that the manifest's column `custom` gets, for readers such as those of the Python package. */
  readonly customFields?: JsonObject;
  /**
   * What vectors are like, in engines that store them: such an engine takes rows whose values are cells as in
   * `vector/vector_cell.ts`. Missing: the engine takes no vectors.
   */
  readonly vectors?: VectorSpace;
  /** False where vectors are all that is stored: rows then have no values. @default {true} */
  readonly storesValues?: boolean;
  /**
   * False where the same rows give other bytes each time, so that there is no use in asking whether a shard is still
   * the one that it was. @default {true}
   */
  readonly isReproducible?: boolean;
  /**
   * Writes a shard from its sorted rows and uploads it; nothing is left in the store when it throws.
   *
   * @throws {CorruptFileError} and the store's errors.
   */
  buildShard(rows: SortedRows, target: ShardTarget): Promise<BuiltShard>;
  /**
   * Copies a shard inside the store; nothing is left of the copy when it throws. Engines without it build anew.
   *
   * @throws {CorruptFileError} when the source is not what was recorded; the store's errors.
   */
  copyShard?(source: ShardSource, target: Pick<ShardTarget, "store" | "prefix" | "signal">): Promise<BuiltShard>;
}
