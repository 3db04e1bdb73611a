// SlateDB shards at the edge, in workerd. Judges: what SlateDB 0.13.1 read from the fixtures, and a server that logs.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { slatedbBackend } from "../../src/backends/slatedb_backend.ts";
import { slatedbReader } from "../../src/backends/slatedb_shard_reader.ts";
import { openSnapshot } from "../../src/edge/mod.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ReadableStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { bundleWorker, startMiniflareBucket } from "../servers/miniflare.ts";
import { type Entry, runOf, seriesInMemory } from "./fixture_snapshots.ts";
import type { AskedKeys } from "./slatedb_worker.ts";

const script = bundleWorker(fileURLToPath(new URL("./slatedb_worker.ts", import.meta.url)));

/** What a Worker finds in a series, of which only GET requests may be seen. */
async function found(store: ReadableStore, keys: AskedKeys): Promise<(string | null)[]> {
  await using server = await startCountingProxy({ objects: store });
  await using worker = await startMiniflareBucket({ script, texts: { SNAPSHOT_URL: server.url } });
  const response = await fetch(worker.url, { method: "POST", body: JSON.stringify(keys) });
  equal(response.status, 200);
  const values: (string | null)[] = await response.json();
  const log = server.take();
  ok(log.length > 2 && log.every(({ method }) => method === "GET"), JSON.stringify(log.slice(-3)));
  return values;
}

function plainKey({ key: { type, value } }: Entry): number | string {
  return type === "int" ? Number(value) : value as string;
}

for (const name of ["slatedb_remote", "slatedb_local", "slatedb_multi_sst", "slatedb_filtered"]) {
  test(`openSnapshot() of ./reader finds all of ${name} in workerd, by GET alone (P8)`, async () => {
    const entries = runOf(name).entries.filter((entry) =>
      entry.key.type !== "int" || Number.isSafeInteger(Number(entry.key.value))
    );
    const absent = entries.map(plainKey).map((key) => typeof key === "number" ? key + 0.5e9 : `${key} not there`);
    const isNew = (key: number | string): boolean => !entries.some((entry) => plainKey(entry) === key);
    const missing = absent.filter(isNew).slice(0, 50);
    const values = await found(await seriesInMemory(name), [...entries.map(plainKey), ...missing]);
    for (const [i, entry] of entries.entries()) {
      if (entry.value_hex !== undefined) equal(values[i], entry.value_hex);
      else equal(createHash("sha256").update(Buffer.from(values[i]!, "hex")).digest("hex"), entry.value_sha256);
    }
    deepEqual(values.slice(entries.length), missing.map(() => null));
  });
}

test("openSnapshot() of ./reader finds compressed rows of ours in workerd, and says what it needs", async () => {
  for (const compression of ["zstd", "zlib", "lz4", "snappy"] as const) {
    const store = memoryStore();
    const rows = Array.from({ length: 500 }, (_, i) => i);
    await writeSnapshot(rows, {
      store,
      sharding: hashSharding({ shards: 2 }),
      key: (row) => row,
      value: (row) => `value ${row}`.repeat(9),
      backend: slatedbBackend({ compression }),
    });
    const values = await found(store, [...rows, 1000]);
    deepEqual(values, [...rows.map((row) => Buffer.from(`value ${row}`.repeat(9)).toString("hex")), null]);
    await rejects(openSnapshot({ store }), { code: "CONFIG_VALIDATION", message: /backend: slatedbReader\(\)/ });
    await using reader = await openSnapshot({ store, backend: slatedbReader() });
    ok(await reader.get(7) !== null);
  }
});
