// SlateDB snapshots of the Python package. Judge: what SlateDB 0.13.1 read from them.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { slatedbBackend } from "../../src/backends/slatedb_backend.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { ObjectStore, ReadableStore } from "../../src/stores/store.ts";
import { verifySnapshot } from "../../src/verify/verify_snapshot.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { findMinio, type Minio, startMinio } from "../servers/minio.ts";
import { checkRun, checkValue, copySeries, keyOf, runOf, seriesInMemory, seriesPath } from "./fixture_snapshots.ts";

const BUCKET = "shardy-fixtures";
const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));
const names = ["slatedb_remote", "slatedb_local", "slatedb_multi_sst", "slatedb_filtered"];
const leaveOut = findMinio() === null ? "SlateDB fixtures from MinIO: there is no minio (see tests/README.md)" : null;
let minio: Promise<Minio> | undefined;

after(async () => await (await minio)?.[Symbol.asyncDispose]());

/** Each file of a folder with its digest. */
function contentOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => join(parentPath, name)).sort()
      .map((path) => [path, createHash("sha256").update(readFileSync(path)).digest("hex")]),
  );
}

/** All objects with their ETags. */
async function versionsOf(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(store.list(""))).flat().map(({ key, etag }) => `${key} ${etag}`).sort();
}

/** The same store, of which only GET is left. */
function getOnly({ url, get, getRanges }: ReadableStore, store: ReadableStore): ReadableStore {
  return { url, get: get.bind(store), getRanges: getRanges.bind(store) };
}

for (const name of names) {
  test(`openSnapshot() reads all of ${name} from a folder by GET alone, and changes nothing (P8)`, async () => {
    const folder = `${fixtures}${seriesPath(name)}`;
    const before = contentOf(folder);
    const store = fsStore(folder);
    await using reader = await openSnapshot({ store: getOnly(store, store) });
    equal(reader.info.access, "range");
    await checkRun(reader, runOf(name));
    deepEqual(reader.info.warnings, []);
    deepEqual(contentOf(folder), before);
  });

  test(
    `openSnapshot() reads all of ${name} from MinIO by GET alone, and changes nothing (P8)`,
    { timeout: 60_000 },
    async (t) => {
      if (leaveOut !== null) {
        console.log(`LEFT OUT: ${leaveOut}`);
        return t.skip(leaveOut);
      }
      const { endpoint, credentials } = await (minio ??= startMinio(BUCKET));
      await using proxy = await startCountingProxy({ upstream: endpoint });
      const url = `s3://${BUCKET}/${name}`;
      const store = s3Store({ url, endpoint: proxy.url, credentials, region: "us-east-1" });
      await copySeries(name, store);
      const before = await versionsOf(store);
      proxy.take();
      await using reader = await openSnapshot({ store });
      await checkRun(reader, runOf(name));
      const log = proxy.take();
      t.diagnostic(`${log.length} requests`);
      deepEqual([...new Set(log.map(({ method, query }) => method + (query.includes("list-type") ? " list" : "")))], [
        "GET",
      ]);
      deepEqual(await versionsOf(store), before);
    },
  );

  test(`verifySnapshot() finds ${name} sound`, async () => {
    const report = await verifySnapshot(await seriesInMemory(name));
    deepEqual(report.problems, []);
    equal(report.rowCount, runOf(name).entries.length);
  });
}

test("openSnapshot() refuses to read SlateDB shards as whole files", async () => {
  const store = await seriesInMemory("slatedb_local");
  for (const access of ["memory", "download", "hydrate"] as const) {
    await rejects(openSnapshot({ store, access }), { code: "CONFIG_VALIDATION", path: "access", message: /"range"/ });
  }
  await using reader = await openSnapshot({ store, access: "range", backend: slatedbBackend() });
  await checkRun(reader, runOf("slatedb_local"));
});

test("openSnapshot() tells SlateDB from SQLite by one GET at most where lengths do not tell", async () => {
  for (const [name, looks] of [["slatedb_remote", 1], ["slatedb_local", 1]] as const) {
    await using reader = await openSnapshot({ store: await seriesInMemory(name) });
    equal(reader.stats().requests, 2 + looks);
  }
});

for (const kind of ["digest", "missing"] as const) {
  test(`SnapshotReader.get() of a SlateDB shard whose table is ${kind === "digest" ? "damaged" : "gone"} (P7)`, async () => {
    const store = await seriesInMemory("slatedb_filtered");
    const tables: string[] = [];
    for await (const entries of store.list("shards/")) {
      tables.push(...entries.map(({ key }) => key).filter((key) => key.includes("/compacted/")));
    }
    for (const key of tables) {
      const bytes = await (await store.get(key)).bytes();
      bytes[30_000]! ^= 1;
      await (kind === "missing" ? store.delete(key) : store.put(key, bytes));
    }
    await using reader = await openSnapshot({ store });
    const failures = new Map<string, number>();
    for (const entry of runOf("slatedb_filtered").entries) {
      const code = await Promise.resolve(reader.get(keyOf(entry.key))).then((value) => {
        checkValue(value, entry);
        return "value";
      }, (error) => error.code);
      failures.set(code, (failures.get(code) ?? 0) + 1);
    }
    if (kind === "missing") return deepEqual([...failures.keys()], ["OBJECT_NOT_FOUND"]);
    ok(failures.get("CORRUPT_FILE")! > 0);
    deepEqual([...failures.keys()].filter((code) => code !== "value"), ["CORRUPT_FILE"]);
    const { problems } = await verifySnapshot(store);
    deepEqual([...new Set(problems.map(({ kind }) => kind))], ["structure"]);
  });
}
