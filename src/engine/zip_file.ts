/**
 * ZIP archives of a few small files, stored and not compressed.
 * @module
 */
import { crc32 } from "../bytes/crc32.ts";

/** 1980-01-01, the first day that the format knows: equal files make equal archives. */
const DATE = 33;
/** Bit 11: names are UTF-8. */
const FLAGS = 0x800;

/** An archive of files by name. */
export function zipFile(files: ReadonlyMap<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const [name, content] of files) {
    const nameBytes = new TextEncoder().encode(name);
    const about = [20, FLAGS, 0, 0, DATE];
    const sizes = [crc32(content), content.length, content.length];
    const header = joined([fields([0x04034b50], about, sizes, [nameBytes.length, 0]), nameBytes]);
    const entry = fields([0x02014b50], [20, ...about], sizes, [nameBytes.length, 0, 0, 0, 0], [0, offset]);
    directory.push(entry, nameBytes);
    parts.push(header, new Uint8Array(content));
    offset += header.length + content.length;
  }
  const entries = joined(directory);
  const end = fields([0x06054b50], [0, 0, files.size, files.size], [entries.length, offset], [0]);
  return joined([...parts, entries, end]);
}

/** Little-endian numbers: of 32, 16, 32, 16 and 32 bits by turns. */
function fields(...groups: readonly (readonly number[])[]): Uint8Array<ArrayBuffer> {
  const bytes = groups.flatMap((group, at) =>
    group.flatMap((number) => Array.from({ length: at % 2 === 0 ? 4 : 2 }, (_, byte) => number >>> 8 * byte & 255))
  );
  return new Uint8Array(bytes);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
