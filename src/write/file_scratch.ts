/**
 * Temporary files of one write, in a folder of their own that goes away with it.
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { createDigest } from "../bytes/digest.ts";
import type { ByteSpool, ScratchSpace } from "../bytes/spool.ts";
import { CorruptFileError } from "../errors.ts";

// Not static imports: bundlers would lift them to the top of what must load on edge workers too.
const fs = await import("node:fs/promises");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");

/**
 * Length in front of each piece. A digest over everything is compared when a spool has been read to its end: what a
 * broken disk returns fails the write before anything is published.
 */
const HEAD_BYTES = 4;

/** @param localRoot Where the folder is made; default: `shardyfusion` in the system's folder for temporary files. */
export async function fileScratch(localRoot: string | undefined, runId: string): Promise<ScratchSpace> {
  const root = localRoot ?? join(tmpdir(), "shardyfusion");
  await fs.mkdir(root, { recursive: true });
  const folder = await fs.mkdtemp(join(root, `run_id=${runId}-`));
  const spools: ByteSpool[] = [];
  let count = 0;
  return {
    async openSpool() {
      const spool = await openFileSpool(join(folder, `spool-${count++}`));
      spools.push(spool);
      return spool;
    },
    async makeFolder() {
      const path = join(folder, `folder-${count++}`);
      await fs.mkdir(path);
      return path;
    },
    async [Symbol.asyncDispose]() {
      for (const spool of spools.splice(0)) await spool[Symbol.asyncDispose]();
      await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

async function openFileSpool(path: string): Promise<ByteSpool> {
  const file = await fs.open(path, "wx+", 0o600);
  const written = await createDigest();
  let sizeBytes = 0;
  let expected: string | undefined;
  let isClosed = false;
  return {
    async append(...parts) {
      const head = new Uint8Array(HEAD_BYTES);
      new DataView(head.buffer).setUint32(0, parts.reduce((sum, { length }) => sum + length, 0));
      for (const part of [head, ...parts]) {
        written.update(part);
        await writeFully(file, part, sizeBytes);
        sizeBytes += part.length;
      }
    },
    async *read() {
      const seen = await createDigest();
      for (let at = 0; at < sizeBytes;) {
        const head = await readFully(file, { at, lengthBytes: HEAD_BYTES, path });
        const length = new DataView(head.buffer).getUint32(0);
        if (at + HEAD_BYTES + length > sizeBytes) throw damaged(path, at);
        const piece = await readFully(file, { at: at + HEAD_BYTES, lengthBytes: length, path });
        seen.update(head);
        seen.update(piece);
        yield piece;
        at += HEAD_BYTES + length;
      }
      expected ??= written.hex();
      if (seen.hex() !== expected) throw damaged(path, -1);
    },
    async [Symbol.asyncDispose]() {
      if (isClosed) return;
      isClosed = true;
      await file.close();
      await fs.rm(path, { force: true });
    },
  };
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

async function readFully(
  file: FileHandle,
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
