/**
 * What lies in a folder after a job, to compare with what one process has written.
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** All files, as paths. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort();
}

/** Contents by path below the run; sidecars name the version of the file beside them, so that only they may differ. */
export async function shardFiles(folder: string): Promise<Map<string, Uint8Array | null>> {
  const paths = await filesBelow(join(folder, "shards"));
  return new Map(
    await Promise.all(paths.map(async (path) =>
      [
        path.replace(/.*run_id=[^/]+\/(.*)attempt=\d+/, "$1"),
        path.endsWith(".sidecar") ? null : await readFile(path),
      ] as const
    )),
  );
}
