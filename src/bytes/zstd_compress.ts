/**
 * Compresses to zstd frames that state their content's length and carry a checksum.
 * @module
 */
import { xxh64Low } from "./xxh64.ts";
import { frameEnd } from "./zstd.ts";

const LEVEL = 3;
/** Most that a block may hold. */
const BLOCK_BYTES_MAX = 1 << 17;

/** One frame, as of {@linkcode frameCompressor}. @param content Less than 4 GiB. */
export async function compressFrame(content: Uint8Array): Promise<Uint8Array> {
  return (await frameCompressor())(content);
}

/** What makes frames: compressed where the runtime can, else stored, which every decoder reads as well. */
export async function frameCompressor(): Promise<(content: Uint8Array) => Uint8Array> {
  const zlib = await import("node:zlib").catch(() => undefined);
  // Workers may have the module without the function.
  if (typeof zlib?.zstdCompressSync !== "function") return storedFrame;
  const { ZSTD_c_checksumFlag, ZSTD_c_compressionLevel } = zlib.constants;
  return (content) => {
    const compressed = zlib.zstdCompressSync(content, {
      pledgedSrcSize: content.length,
      params: { [ZSTD_c_compressionLevel]: LEVEL, [ZSTD_c_checksumFlag]: 1 },
    });
    // Deno 2.9 appends an empty frame when the first is longer than 16 KiB.
    const { buffer, byteOffset, length } = compressed;
    return new Uint8Array(compressed.subarray(0, frameEnd(new DataView(buffer, byteOffset, length))));
  };
}

/** A frame of raw blocks. */
export function storedFrame(content: Uint8Array): Uint8Array {
  const blockCount = Math.max(1, Math.ceil(content.length / BLOCK_BYTES_MAX));
  const frame = new Uint8Array(9 + 3 * blockCount + content.length + 4);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 0xfd2fb528, true);
  // One segment, with a checksum, and with the content's length in four bytes.
  view.setUint8(4, 0xa4);
  view.setUint32(5, content.length, true);
  let at = 9;
  for (let block = 0; block < blockCount; block++) {
    const piece = content.subarray(block * BLOCK_BYTES_MAX, (block + 1) * BLOCK_BYTES_MAX);
    const head = (piece.length << 3) | (block === blockCount - 1 ? 1 : 0);
    view.setUint16(at, head & 0xffff, true);
    view.setUint8(at + 2, head >>> 16);
    frame.set(piece, at + 3);
    at += 3 + piece.length;
  }
  view.setUint32(at, xxh64Low(content), true);
  return frame;
}
