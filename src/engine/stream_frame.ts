/**
 * The messages of an Arrow stream, as far as it takes to tell whether it is whole.
 *
 * The format lets writers leave out the mark at the end; but then a stream whose writer was killed between two batches
 * looks whole, and readers stop at the mark, whatever follows it. Of each message only its head is looked at.
 * @module
 */

/** What is expected next. */
type Part = "head" | "metadata" | "body" | "end";

const CONTINUATION = 0xffff_ffff;
const WORD_BYTES = 4;
/** In vtables of `Message`: after their two sizes and the version. */
const HEADER_TYPE_SLOT = 6;
const BODY_LENGTH_SLOT = 10;
const HEADER_SCHEMA = 1;

/** Follows a stream from chunk to chunk. */
export class StreamFrame {
  #part: Part = "head";
  #schemas = 0;
  /** Bytes of a head or of metadata that have come so far. */
  #gathered: Uint8Array = new Uint8Array(0);
  #wanted = WORD_BYTES;
  #skip = 0;
  #trailing = 0;

  /** Takes the next bytes. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#part === "end") {
        this.#trailing += chunk.byteLength - at;
        return;
      }
      if (this.#part === "body") {
        const skipped = Math.min(this.#skip, chunk.byteLength - at);
        at += skipped;
        this.#skip -= skipped;
        if (this.#skip === 0) this.#begin("head", WORD_BYTES);
        continue;
      }
      const taken = Math.min(this.#wanted - this.#gathered.byteLength, chunk.byteLength - at);
      this.#gathered = joined(this.#gathered, chunk.subarray(at, at + taken));
      at += taken;
      if (this.#gathered.byteLength === this.#wanted) this.#step();
    }
  }

  /** Whether rows follow that the first schema does not describe. */
  get hasOtherSchema(): boolean {
    return this.#schemas > 1;
  }

  /** What keeps the stream from being whole, when no byte follows; null when it is. */
  get problem(): string | null {
    if (this.hasOtherSchema) return "it has a second schema: give one stream to each process";
    if (this.#schemas === 0) return "it has no schema, as every stream of Arrow begins with";
    if (this.#part !== "end") return "the stream is cut short, or its writer was not closed";
    if (this.#trailing === 0) return null;
    return `${this.#trailing} bytes follow the end of the stream: give one stream to each process`;
  }

  #begin(part: Part, wanted: number): void {
    this.#part = part;
    this.#wanted = wanted;
    this.#gathered = new Uint8Array(0);
  }

  #step(): void {
    const view = new DataView(this.#gathered.buffer, this.#gathered.byteOffset, this.#gathered.byteLength);
    if (this.#part === "metadata") {
      const { headerType, bodyBytes } = messageOf(view);
      if (headerType === HEADER_SCHEMA) this.#schemas++;
      this.#skip = bodyBytes;
      this.#begin(bodyBytes === 0 ? "head" : "body", WORD_BYTES);
      return;
    }
    const word = view.getUint32(this.#gathered.byteLength - WORD_BYTES, true);
    // Streams from before version 0.15 have no continuation.
    if (word === CONTINUATION && this.#wanted === WORD_BYTES) this.#wanted = 2 * WORD_BYTES;
    else this.#begin(word === 0 ? "end" : "metadata", word);
  }
}

/** Two fields of a flatbuffer. */
function messageOf(view: DataView): { headerType: number; bodyBytes: number } {
  try {
    const table = view.getUint32(0, true);
    const vtable = table - view.getInt32(table, true);
    const vtableBytes = view.getUint16(vtable, true);
    const fieldAt = (slot: number): number => {
      const offset = slot < vtableBytes ? view.getUint16(vtable + slot, true) : 0;
      return offset === 0 ? 0 : table + offset;
    };
    const headerAt = fieldAt(HEADER_TYPE_SLOT);
    const bodyAt = fieldAt(BODY_LENGTH_SLOT);
    return {
      headerType: headerAt === 0 ? 0 : view.getUint8(headerAt),
      bodyBytes: bodyAt === 0 ? 0 : Math.max(0, Number(view.getBigInt64(bodyAt, true))),
    };
  } catch {
    // The library says what is wrong with it.
    return { headerType: 0, bodyBytes: 0 };
  }
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  if (one.byteLength === 0) return other.slice();
  const both = new Uint8Array(one.byteLength + other.byteLength);
  both.set(one);
  both.set(other, one.byteLength);
  return both;
}
