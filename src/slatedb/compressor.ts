/**
 * Compresses blocks in any of the ways in which SlateDB compresses them.
 * @module
 */
import { frameCompressor } from "../bytes/zstd_compress.ts";
import { ConfigValidationError } from "../errors.ts";
import { shrinkLz4, shrinkSnappy } from "./copy_encoder.ts";
import type { Compression } from "./table_info.ts";

/** What makes compressed parts, which may be views of memory that is used again; null where parts stay as they are. */
export type Compressor = ((content: Uint8Array) => Uint8Array) | null;

/** Gets ready to compress. @throws {ConfigValidationError} where the runtime cannot do it. */
export async function compressorOf(compression: Compression): Promise<Compressor> {
  if (compression === "none") return null;
  if (compression === "lz4") return shrinkLz4;
  if (compression === "snappy") return shrinkSnappy;
  if (compression === "zstd") return await frameCompressor();
  const zlib = await import("node:zlib").catch((cause: unknown) => {
    const message = "Cannot compress with zlib as this runtime has no node:zlib: choose lz4 or snappy";
    throw new ConfigValidationError(message, "compression", { cause });
  });
  return (content) => zlib.deflateSync(content);
}
