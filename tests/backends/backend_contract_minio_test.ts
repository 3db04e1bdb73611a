// The contract of shard engines on a real S3 server.
import { after, test } from "node:test";
import { compositeBackend } from "../../src/backends/composite_backend.ts";
import type { Backend } from "../../src/backends/backend.ts";
import { lancedbBackend } from "../../src/backends/lancedb_backend.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { slatedbBackend } from "../../src/backends/slatedb_backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { backendContract } from "../../src/testing/mod.ts";
import { findMinio, type Minio, startMinio } from "../servers/minio.ts";
import { lanceTest } from "./lance_shards.ts";

const BUCKET = "shardy-contract";
let minio: Promise<Minio> | undefined;
let stores = 0;

after(async () => await (await minio)?.[Symbol.asyncDispose](), { timeout: 60_000 });

async function makeStore(): Promise<ObjectStore> {
  const { endpoint, credentials } = await (minio ??= startMinio(BUCKET));
  return s3Store({ url: `s3://${BUCKET}/series-${stores++}`, endpoint, credentials, region: "us-east-1" });
}

const l2 = { dim: 6, metric: "l2" } as const;
const engines: readonly (readonly [label: string, make: () => Backend])[] = [
  ["slatedbBackend", () => slatedbBackend({ blockSizeBytes: 1024, tableSizeBytes: 1 << 16 })],
  ["sqliteVecBackend", () => sqliteVecBackend(l2)],
  ["lancedbBackend", () => lancedbBackend(l2)],
  ["compositeBackend", () => compositeBackend(nativeSqliteBackend(), lancedbBackend({ dim: 6, metric: "cosine" }))],
];

if (findMinio() === null) {
  const reason = "engines on MinIO: there is no minio (see tests/README.md)";
  console.log(`LEFT OUT: ${reason}`);
  test("backendContract() on MinIO", (context) => context.skip(reason));
} else {
  for (const [label, make] of engines) {
    for (const { name, run } of backendContract(make, { makeStore })) {
      const title = `${label} on MinIO ${name}`;
      if (/lance|composite/.test(label)) lanceTest(title, run);
      else test(title, { timeout: 120_000 }, run);
    }
  }
}
