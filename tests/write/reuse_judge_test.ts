// Judges: SQLite itself; an independent checker of snapshot series in Python, named by SHARDYFUSION_JUDGE (a path to its
// script); the requests that a real S3 server is sent.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { sqliteBackend } from "../../mod.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import { withFolder } from "../cli/run_shardy.ts";
import { type CountedRequest, startCountingProxy } from "../servers/counting_proxy.ts";
import { findMinio, startMinio } from "../servers/minio.ts";
import { keysOf, MODES, requireRight, write } from "./reused_series.ts";

const SHAPE = { rows: 6000, shards: 6 };
const judge = process.env["SHARDYFUSION_JUDGE"];

for (const reuse of MODES) {
  test(`SQLite finds no fault with what reuse "${reuse}" took over`, async () => {
    await withFolder(async (folder) => {
      const store = fsStore(folder);
      await write(store, SHAPE);
      const { winners } = await write(store, SHAPE, { reuse, changed: { 77: "new" } });
      let rows = 0;
      for (const { dbUrl } of winners) {
        const path = join(folder, dbUrl!.slice(store.url.length + 1), "shard.db");
        const database = new DatabaseSync(path, { readOnly: true });
        equal(database.prepare("PRAGMA integrity_check").get()!["integrity_check"], "ok");
        rows += Number(database.prepare("SELECT count(*) AS n FROM kv").get()!["n"]);
        database.close();
      }
      equal(rows, SHAPE.rows);
    });
  });

  test(`snapshots with reuse "${reuse}" pass the independent checker`, { timeout: 300_000 }, async (t) => {
    if (judge === undefined) {
      const reason = "the independent checker of snapshots (SHARDYFUSION_JUDGE is not set)";
      console.log(`LEFT OUT: ${reason}`);
      return t.skip(reason);
    }
    for (const backend of [sqliteBackend(), sqliteBackend({ pageSizeBytes: "auto" }), nativeSqliteBackend()]) {
      await withFolder(async (folder) => {
        const store = fsStore(folder, { url: "s3://bucket/reused" });
        await write(store, SHAPE, { backend });
        for (const changed of [{ 1: "a" }, { 1: "a", 2: "b" }]) {
          const { stats } = await write(store, SHAPE, { backend, reuse, changed });
          equal(stats.shardsReused, SHAPE.shards - 1);
        }
        const { stdout, stderr, status } = spawnSync("python3", [judge, folder, "--all"], { encoding: "utf8" });
        equal(status, 0, stdout + stderr);
        match(stdout, /\d+ passed, 0 failed/);
      });
    }
  });
}

function sentBytes({ headers }: CountedRequest): number {
  return Number(headers["x-amz-decoded-content-length"] ?? headers["content-length"] ?? 0);
}

test("writeSnapshot() with reuse sends a real S3 server one shard of 64, and copies the others there", {
  timeout: 240_000,
}, async (t) => {
  if (findMinio() === null) {
    const reason = "S3 against MinIO: there is no minio (see tests/README.md)";
    console.log(`LEFT OUT: ${reason}`);
    return t.skip(reason);
  }
  const shape = { rows: 64_000, shards: 64 };
  const bucket = "reused";
  await using minio = await startMinio(bucket);
  await using proxy = await startCountingProxy({ upstream: minio.endpoint });
  const { credentials } = minio;
  for (const reuse of MODES) {
    const store = s3Store({ url: `s3://${bucket}/${reuse}`, endpoint: proxy.url, credentials });
    await write(store, shape);
    const all = proxy.take().filter(isOfShard).reduce((sum, request) => sum + sentBytes(request), 0);
    const { stats } = await write(store, shape, { reuse, changed: { 777: "new" } });
    equal(stats.shardsReused, 63);
    const requests = proxy.take().filter(isOfShard);
    const isCopy = ({ headers }: CountedRequest) => "x-amz-copy-source" in headers;
    const uploaded = requests.filter((request) =>
      request.method === "PUT" && request.path.endsWith("/shard.db") && !isCopy(request)
    );
    equal(uploaded.length, 1);
    // The file and its guard.
    equal(requests.filter(isCopy).length, reuse === "copy" ? 2 * 63 : 0);
    const sent = requests.reduce((sum, request) => sum + sentBytes(request), 0);
    ok(sent < all / (reuse === "copy" ? 8 : 40), `${sent} of ${all} bytes`);
    console.log(`${reuse}: ${requests.length} requests and ${sent} bytes instead of ${all}`);
    await requireRight(store, shape, { 777: "new" });
    deepEqual((await keysOf(store)).filter((key) => key.startsWith("pins/")), []);
  }
});

function isOfShard({ method, path }: CountedRequest): boolean {
  return (method === "PUT" || method === "POST") && path.includes("/db=");
}
