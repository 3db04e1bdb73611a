/**
 * Temporary files of one write, in a folder of their own that goes away with it.
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { createDigest } from "../bytes/fast_digest.ts";
import type { ByteSpool, ScratchSpace } from "../bytes/spool.ts";
import { CorruptFileError, StoreError } from "../errors.ts";

// Not static imports: bundlers would lift them to the top of what must load on edge workers too.
const fs = await import("node:fs/promises");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");

/**
 * Length in front of each piece. A digest over everything is compared when a spool has been read to its end: what a
 * broken disk returns fails the write before anything is published.
 */
const HEAD_BYTES = 4;

/**
 * @param localRoot Where the folder is made; default: `shardyfusion` in the system's folder for temporary files.
 * @throws {StoreError} when there is no such place, or it is full.
 */
export async function fileScratch(localRoot: string | undefined, runId: string): Promise<ScratchSpace> {
  const root = localRoot ?? join(tmpdir(), "shardyfusion");
  const folder = await guarded(root, async () => {
    await fs.mkdir(root, { recursive: true });
    return await fs.mkdtemp(join(root, `run_id=${runId}-`));
  });
  const spools = new Set<ByteSpool>();
  let count = 0;
  return {
    async openSpool() {
      const spool = await openFileSpool(join(folder, `spool-${count++}`), () => spools.delete(spool));
      spools.add(spool);
      return spool;
    },
    async makeFolder() {
      const path = join(folder, `folder-${count++}`);
      await guarded(path, () => fs.mkdir(path));
      return path;
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(Array.from(spools, (spool) => spool[Symbol.asyncDispose]()));
      await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

/** Only what is being written or read has an open file: a large job has thousands of spools. */
async function openFileSpool(path: string, onDispose: () => void): Promise<ByteSpool> {
  let file: FileHandle | undefined = await guarded(path, () => fs.open(path, "wx", 0o600));
  const written = await createDigest();
  let sizeBytes = 0;
  let expected: string | undefined;
  async function seal(): Promise<void> {
    const open = file;
    file = undefined;
    expected ??= written.hex();
    await open?.close();
  }
  return {
    async append(...parts) {
      const head = new Uint8Array(HEAD_BYTES);
      new DataView(head.buffer).setUint32(0, parts.reduce((sum, { length }) => sum + length, 0));
      const pieces = [head, ...parts];
      for (const piece of pieces) written.update(piece);
      sizeBytes += await guarded(path, () => writeFully(file!, pieces, sizeBytes));
    },
    seal,
    async *read(reuse) {
      let room = new Uint8Array(0);
      await seal();
      const seen = await createDigest();
      await using source = await guarded(path, () => fs.open(path, "r"));
      let head = await readFully(source, new Uint8Array(Math.min(HEAD_BYTES, sizeBytes)), { at: 0, path });
      for (let at = 0; at < sizeBytes;) {
        const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
        const end = at + HEAD_BYTES + length;
        if (end > sizeBytes) throw damaged(path, at);
        // The head of the next piece comes along: one request for each piece.
        const readBytes = length + (end < sizeBytes ? HEAD_BYTES : 0);
        if (reuse === undefined || room.length < readBytes) room = new Uint8Array(readBytes);
        const read = await readFully(source, room.subarray(0, readBytes), { at: at + HEAD_BYTES, path });
        const piece = read.subarray(0, length);
        seen.update(head);
        seen.update(piece);
        head = read.slice(length);
        yield piece;
        at = end;
      }
      if (seen.hex() !== expected) throw damaged(path, -1);
    },
    async [Symbol.asyncDispose]() {
      await seal();
      await fs.rm(path, { force: true });
      onDispose();
    },
  };
}

/** What the file system throws, as one of our errors that says which place it was. */
async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoreError(`Cannot use "${path}" for temporary files: ${reason}`, { url: path, cause });
  }
}

/** Writes all parts, in one request unless the system takes fewer bytes; gives their length. */
async function writeFully(file: FileHandle, parts: readonly Uint8Array[], position: number): Promise<number> {
  const { bytesWritten } = await file.writev([...parts], position);
  let start = 0;
  for (const part of parts) {
    for (let at = Math.max(0, bytesWritten - start); at < part.length;) {
      at += (await file.write(part, at, part.length - at, position + start + at)).bytesWritten;
    }
    start += part.length;
  }
  return start;
}

async function readFully(
  file: FileHandle,
  bytes: Uint8Array<ArrayBuffer>,
  { at, path }: { at: number; path: string },
): Promise<Uint8Array<ArrayBuffer>> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, at + done);
    if (bytesRead === 0) throw damaged(path, at);
    done += bytesRead;
  }
  return bytes;
}

function damaged(path: string, byteOffset: number): CorruptFileError {
  return new CorruptFileError(`Cannot read the temporary file "${path}" back as it was written`, byteOffset);
}
