/**
 * Decompresses blocks in any of the ways in which SlateDB compresses them.
 * @module
 */
import { decompressFrame } from "../bytes/zstd.ts";
import { CorruptFileError } from "../errors.ts";
import { expandLz4, expandSnappy } from "./copy_codecs.ts";
import type { Compression } from "./table_info.ts";

/** Nothing that is compressed is longer than this: a wrong length must not cost memory. */
export const EXPANDED_BYTES_MAX: number = 1 << 30;

/**
 * The content of a compressed part; waits for what the runtime does by itself.
 *
 * @throws {CorruptFileError} when it is damaged.
 */
export function decompress(compression: Compression, bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  if (compression === "none") return bytes;
  if (compression === "zlib") return inflate(bytes);
  try {
    if (compression === "lz4") return expandLz4(bytes, EXPANDED_BYTES_MAX);
    return compression === "snappy" ? expandSnappy(bytes, EXPANDED_BYTES_MAX) : expandZstd(bytes);
  } catch (cause) {
    throw damaged(compression, cause);
  }
}

/** SlateDB's frames carry no checksum, as the blocks around them do. */
function expandZstd(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const flags = view.getUint8(4);
  const hasChecksum = (flags & 4) !== 0;
  const sizeBytes = zstdSize(view, flags);
  if (sizeBytes === 0) return new Uint8Array(0);
  if (sizeBytes > EXPANDED_BYTES_MAX) throw new RangeError(`the content has ${sizeBytes} bytes`);
  if (hasChecksum) return decompressFrame(frame, sizeBytes);
  // With room for a checksum, and the bit that says so.
  const roomy = new Uint8Array(frame.length + 4);
  roomy.set(frame);
  roomy[4] = flags | 4;
  return decompressFrame(roomy, sizeBytes, false);
}

/** Length of the content by a frame's header. */
function zstdSize(view: DataView, flags: number): number {
  const isSingleSegment = (flags & 0x20) !== 0;
  const at = isSingleSegment ? 5 : 6;
  const form = flags >>> 6;
  if (form === 1) return view.getUint16(at, true) + 256;
  if (form === 2) return view.getUint32(at, true);
  if (form === 0 && isSingleSegment) return view.getUint8(at);
  throw new RangeError("the frame does not state the length of its content");
}

async function inflate(bytes: Uint8Array): Promise<Uint8Array> {
  const inflating = new DecompressionStream("deflate");
  const source = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  try {
    return new Uint8Array(await new Response(source.pipeThrough(inflating)).arrayBuffer());
  } catch (cause) {
    throw damaged("zlib", cause);
  }
}

function damaged(compression: Compression, cause: unknown): CorruptFileError {
  return new CorruptFileError(`Cannot decompress ${compression} data as it is damaged`, -1, { cause });
}
