/**
 * Decompresses zstd frames on every runtime: in TypeScript, as Workers can neither compile WebAssembly nor be sure of
 * `node:zlib`.
 *
 * Source: RFC 8878, section 3.1.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { xxh64Low } from "./xxh64.ts";
import { decodeBlocks } from "./zstd_blocks.ts";

/**
 * The content of one frame, which must state its length and carry a checksum.
 *
 * @param frame The frame and nothing else.
 * @param sizeBytes Length of the content, from 1 up. As much is allocated for it, whatever the frame says.
 * @throws {CorruptFileError} when the frame is damaged, or its content is of another length.
 */
export function decompressFrame(frame: Uint8Array, sizeBytes: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  try {
    if (sizeBytes > 0 && contentBytes(view) === sizeBytes && frameEnd(view) === frame.length) {
      const content = new Uint8Array(sizeBytes);
      decodeBlocks(frame, blocksStart(view), content);
      if (xxh64Low(content) === view.getUint32(frame.length - 4, true)) return content;
    }
  } catch (cause) {
    throw corrupt(cause);
  }
  throw corrupt();
}

/** Length of the content as the header states it; -1 when it does not, or has anything else that we do not take. */
function contentBytes(view: DataView): number {
  // Four kinds of frames: the content's length in 1, 2, 4 bytes; a checksum; no dictionary.
  const flags = view.getUint8(4);
  if (view.getUint32(0, true) !== 0xfd2fb528 || (flags & 0x0f) !== 4) return -1;
  const at = flags & 0x20 ? 5 : 6;
  if (flags >> 6 === 1) return view.getUint16(at, true) + 256;
  if (flags >> 6 === 2) return view.getUint32(at, true);
  return (flags & 0xe0) === 0x20 ? view.getUint8(at) : -1;
}

/** Where a frame with a checksum ends, going by its header and those of its blocks. */
export function frameEnd(view: DataView): number {
  for (let at = blocksStart(view);;) {
    const head = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    at += 3 + ((head & 6) === 2 ? 1 : head >>> 3);
    if (head & 1) return at + 4;
  }
}

/** Where the header ends, which has the content's length in 1, 2, 4 or 8 bytes. */
function blocksStart(view: DataView): number {
  const flags = view.getUint8(4);
  return (flags & 0x20 ? 5 : 6) + (1 << (flags >> 6));
}

function corrupt(cause?: unknown): CorruptFileError {
  return new CorruptFileError("Cannot decompress a zstd frame: it is damaged, or of an unknown kind", -1, { cause });
}
