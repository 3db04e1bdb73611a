// Handles that nobody gives back. Judge: whether the file of the snapshot is closed, as its folder is removed then.
import { ok } from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { count, published } from "./small_snapshots.ts";

/** What collects garbage now; null where the runtime does not let us. */
function collector(): (() => void) | null {
  const bun = (globalThis as { Bun?: { gc(isSynchronous: boolean): void } }).Bun;
  if (bun !== undefined) return () => bun.gc(true);
  try {
    setFlagsFromString("--expose-gc");
    const gc: unknown = (globalThis as { gc?: unknown }).gc ?? runInNewContext("gc");
    return typeof gc === "function" ? () => gc() : null;
  } catch {
    return null;
  }
}

async function forgetHandles(reader: SnapshotReader): Promise<void> {
  for (const key of count(50)) await reader.borrow(key).get(key);
}

test("BorrowedShard: handles that are forgotten are given back when they are collected", async (t) => {
  const collect = collector();
  if (collect === null) {
    const reason = "forgotten handles: this runtime does not collect garbage on demand";
    console.log(`LEFT OUT: ${reason}`);
    return t.skip(reason);
  }
  const inner = sqliteBackend();
  const folders = new Set<string>();
  const backend = {
    ...inner,
    openShard(file: Parameters<typeof inner.openShard>[0]) {
      if (file.kind === "file") folders.add(dirname(dirname(file.path)));
      return inner.openShard(file);
    },
  };
  const reader = await openSnapshot({ store: await published(count(50)), access: "download", backend });
  await forgetHandles(reader);
  await reader.close();
  const [folder] = folders;
  for (let turn = 0; turn < 200 && existsSync(folder!); turn++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  ok(!existsSync(folder!));
});
