/**
 * Room beside memory: interfaces for what is put aside on disk while a snapshot is built.
 * @module
 */

/** Bytes that are put aside in order and gone through in order. */
export interface ByteSpool extends AsyncDisposable {
  /** Appends a piece, given in parts; they may be reused as soon as the promise resolves. One call at a time. */
  append(...parts: readonly Uint8Array[]): Promise<void>;
  /** No piece will follow: lets go of what writing needs, such as an open file. Reading does it too. */
  seal(): Promise<void>;
  /**
   * The pieces as they were appended. Can be called again.
   *
   * @param reuse Whether a piece may be overwritten as soon as the next one is asked for. Default: it is the caller's.
   * @throws {CorruptFileError} at the end at the latest, when what was read is not what was appended.
   */
  read(reuse?: "reuse"): AsyncIterableIterator<Uint8Array<ArrayBuffer>>;
}

/** Makes an empty spool. */
export type SpoolFactory = () => Promise<ByteSpool>;

/** A folder of temporary files; disposing removes it with everything in it. */
export interface ScratchSpace extends AsyncDisposable {
  /** A new spool. */
  openSpool(): Promise<ByteSpool>;
  /** Path of a new, empty folder. */
  makeFolder(): Promise<string>;
}
