/**
 * Whole shards on disk, shared by the readers of one machine.
 *
 * `<cacheDir>/shard=00000/` holds `shard.db`, `shard.identity.json` (which version it is) and, while one reader
 * downloads, `.cache.lock`. Files are replaced by renaming, so readers that have the old one open keep it.
 * @module
 */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../backends/backend.ts";
import { dumpJson } from "../bytes/python_json.ts";
import { withFileLock } from "../stores/file_lock.ts";
import type { ShardAccess, ShardIdentity } from "./shard_access.ts";
import { checkContent, type ShardObject } from "./shard_objects.ts";

const CHUNK_BYTES = 1 << 20;

/** @param cacheDir Kept for the next reader; undefined: a temporary folder that goes with the reader. */
export async function downloadAccess(backend: Backend, cacheDir: string | undefined): Promise<ShardAccess> {
  const folder = cacheDir ?? await fs.mkdtemp(join(tmpdir(), "shardyfusion-reader-"));
  return {
    mode: "download",
    async open(shardId, object, identity, signal) {
      const shardFolder = join(folder, `shard=${String(shardId).padStart(5, "0")}`);
      await fs.mkdir(shardFolder, { recursive: true });
      const path = join(shardFolder, backend.fileName);
      await withFileLock(join(shardFolder, ".cache.lock"), async () => {
        if (!(await isCached(path, object, identity))) await download(path, { object, identity, signal });
      }, signal);
      return await backend.openShard({ kind: "file", path, sizeBytes: object.sizeBytes });
    },
    async [Symbol.asyncDispose]() {
      if (cacheDir === undefined) await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

function identityPath(path: string): string {
  return join(path, "..", "shard.identity.json");
}

function identityText(identity: ShardIdentity): string {
  return dumpJson({ checkpoint_id: identity.checkpointId, db_url: identity.dbUrl });
}

/** Whether the file is there, is of this version and still has its bytes. */
async function isCached(path: string, object: ShardObject, identity: ShardIdentity): Promise<boolean> {
  try {
    if (await fs.readFile(identityPath(path), "utf8") !== identityText(identity)) return false;
    await checkFile(path, object);
    return true;
  } catch {
    return false; // Whatever is wrong with it, it is downloaded again.
  }
}

async function checkFile(path: string, object: ShardObject): Promise<void> {
  const check = await checkContent(object);
  await using file = await fs.open(path, "r");
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
    if (bytesRead === 0) break;
    check.update(chunk.subarray(0, bytesRead));
  }
  check.finish();
}

async function download(
  path: string,
  { object, identity, signal }: { object: ShardObject; identity: ShardIdentity; signal: AbortSignal | undefined },
): Promise<void> {
  const temporary = `${path}.tmp.${process.pid}`;
  try {
    const stored = await object.store.get(object.key, signal === undefined ? {} : { signal });
    const check = await checkContent(object);
    {
      await using file = await fs.open(temporary, "w");
      let position = 0;
      for await (const chunk of stored.body) {
        signal?.throwIfAborted();
        check.update(chunk);
        await writeFully(file, chunk, position);
        position += chunk.length;
        if (position > object.sizeBytes) break; // Longer than it must be: the check says so.
      }
      check.finish();
      await file.sync();
    }
    await fs.rename(temporary, path);
    await fs.writeFile(`${identityPath(path)}.tmp`, identityText(identity));
    await fs.rename(`${identityPath(path)}.tmp`, identityPath(path));
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
}

async function writeFully(file: fs.FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
