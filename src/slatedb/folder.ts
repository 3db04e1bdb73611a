/**
 * What reading a database takes: its objects by name, a place for what is kept, and errors that name what is wrong.
 * @module
 */
import { CorruptFileError, DbAdapterError } from "../errors.ts";

/** Bounded memory that databases share; what one keeps is told apart by the numbers of its slots. */
export interface KeptBlocks {
  get(slot: number, blockNumber: number): Uint8Array | undefined;
  set(slot: number, blockNumber: number, block: Uint8Array): void;
  newSlot(): number;
  /** Makes room for what a slot holds beside its blocks; false when that is too large. */
  hold(slot: number, sizeBytes: number, release: () => void): boolean;
  touch(slot: number): void;
  drop(slot: number): void;
}

/** The folder of a database. Nothing here writes. */
export interface DatabaseFolder {
  /** For errors, without trailing slash. */
  readonly url: string;
  /**
   * All objects that belong to the database, where its writer recorded them: what else lies there came later. Undefined
   * where nobody did.
   */
  readonly names: readonly string[] | undefined;
  readonly blocks: KeptBlocks;
  readonly tally: { cacheHits: number; filterHits: number };
  /** A whole object; null when there is none. */
  load(name: string, signal?: AbortSignal): Promise<Uint8Array | null>;
  /** Part of an object, with one request. */
  read(name: string, range: { offset: number; lengthBytes: number }, signal?: AbortSignal): Promise<Uint8Array>;
  /** Bytes that are worth reading in vain to save a request. */
  gapBytesMax(): number;
  /** Tells the user of the reader something, once. */
  warn(message: string): void;
}

/** What decoding an object may throw becomes an error that names it. */
export function decoded<T>(url: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    throw new CorruptFileError(`Cannot read "${url}" as a part of it must not point outside`, -1, { cause: error });
  }
}

/** The error for what a newer or otherwise configured SlateDB wrote. */
export function unsupported(url: string, what: string): DbAdapterError {
  return new DbAdapterError(
    `Cannot read "${url}" safely as it has ${what}: update shardyfusion, or read it with the SlateDB that wrote it`,
  );
}
