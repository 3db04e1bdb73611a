/**
 * Temporary files of one write, in a folder of their own that goes away with it.
 * @module
 */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteSpool, ScratchSpace } from "../bytes/spool.ts";
import { Xxh3 } from "../bytes/xxh3.ts";
import { CorruptFileError } from "../errors.ts";

/** Length and digest in front of each piece: what a broken disk returns must not become a value. */
const HEAD_BYTES = 12;

/** @param localRoot Where the folder is made; default: `shardyfusion` in the system's folder for temporary files. */
export async function fileScratch(localRoot: string | undefined, runId: string): Promise<ScratchSpace> {
  const root = localRoot ?? join(tmpdir(), "shardyfusion");
  await fs.mkdir(root, { recursive: true });
  const folder = await fs.mkdtemp(join(root, `run_id=${runId}-`));
  let count = 0;
  return {
    openSpool: () => openFileSpool(join(folder, `spool-${count++}`)),
    async makeFolder() {
      const path = join(folder, `folder-${count++}`);
      await fs.mkdir(path);
      return path;
    },
    [Symbol.asyncDispose]: () => fs.rm(folder, { recursive: true, force: true }),
  };
}

async function openFileSpool(path: string): Promise<ByteSpool> {
  const file = await fs.open(path, "wx+", 0o600);
  let sizeBytes = 0;
  let isClosed = false;
  return {
    async append(piece) {
      const head = new Uint8Array(HEAD_BYTES);
      new DataView(head.buffer).setUint32(0, piece.length);
      head.set(digestOf(piece), 4);
      await writeFully(file, head, sizeBytes);
      await writeFully(file, piece, sizeBytes + HEAD_BYTES);
      sizeBytes += HEAD_BYTES + piece.length;
    },
    async *read() {
      for (let at = 0; at < sizeBytes;) {
        const head = await readFully(file, { at, lengthBytes: HEAD_BYTES, path });
        const length = new DataView(head.buffer).getUint32(0);
        if (at + HEAD_BYTES + length > sizeBytes) throw damaged(path, at);
        const piece = await readFully(file, { at: at + HEAD_BYTES, lengthBytes: length, path });
        if (digestOf(piece).some((byte, i) => byte !== head[4 + i])) throw damaged(path, at);
        yield piece;
        at += HEAD_BYTES + length;
      }
    },
    async [Symbol.asyncDispose]() {
      if (isClosed) return;
      isClosed = true;
      await file.close();
      await fs.rm(path, { force: true });
    },
  };
}

function digestOf(piece: Uint8Array): Uint8Array {
  const hash = new Xxh3();
  hash.update(piece);
  return Uint8Array.from(hash.digestHex().match(/../g)!, (hex) => parseInt(hex, 16));
}

async function writeFully(file: fs.FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

async function readFully(
  file: fs.FileHandle,
  { at, lengthBytes, path }: { at: number; lengthBytes: number; path: string },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(lengthBytes);
  for (let done = 0; done < lengthBytes;) {
    const { bytesRead } = await file.read(bytes, done, lengthBytes - done, at + done);
    if (bytesRead === 0) throw damaged(path, at);
    done += bytesRead;
  }
  return bytes;
}

function damaged(path: string, byteOffset: number): CorruptFileError {
  return new CorruptFileError(`Cannot read the temporary file "${path}" back as it was written`, byteOffset);
}
