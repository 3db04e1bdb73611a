// Judge: SQLite for the files, the fixtures' vectors for the page size. What all engines must do is in
// backend_contract_test.ts.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { recommendPageSize } from "../../src/backends/page_size.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { singleShard } from "../../src/routing/sharding.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";

const vectors = JSON.parse(readFileSync(new URL("../fixtures/vectors/misc_vectors.json", import.meta.url), "utf8"));

test("recommendPageSize() agrees with the Python package", () => {
  for (const { p95_value_bytes, max_key_bytes, page_size } of vectors.recommend_page_size) {
    equal(recommendPageSize(p95_value_bytes, max_key_bytes), page_size);
  }
});

test("sqliteBackend refuses wrong options and names them", () => {
  for (
    const options of [{ pageSizeBytes: 512 }, { pageSizeBytes: 5000 }, { pageSizeBytes: "4096" }, { pageSize: 4096 }]
      .concat([{ sidecar: "true" }, { guard: 1 }] as never)
  ) {
    for (const backend of [sqliteBackend, nativeSqliteBackend]) {
      throws(() => backend(options as never), { code: "CONFIG_VALIDATION", name: "ConfigValidationError" });
    }
  }
  deepEqual(sqliteBackend().spec, { name: "sqlite", options: { pageSizeBytes: 4096, sidecar: true, guard: true } });
  deepEqual(nativeSqliteBackend({ pageSizeBytes: "auto", sidecar: false, guard: false }).spec, {
    name: "native-sqlite",
    options: { pageSizeBytes: "auto", sidecar: false, guard: false },
  });
});

test("sqliteBackend and nativeSqliteBackend refuse files that were cut off", async () => {
  for (const backend of [sqliteBackend(), nativeSqliteBackend()]) {
    const store = memoryStore();
    await writeSnapshot([1, 2], { store, backend, sharding: singleShard(), key: (id) => id, value: String });
    const [shard] = (await Array.fromAsync(store.list("shards/"))).flat().filter(({ key }) => key.endsWith("shard.db"));
    const bytes = await (await store.get(shard!.key)).bytes();
    for (const length of [0, 50, 1000]) {
      await rejects(async () => {
        await using reader = await backend.openShard({ kind: "memory", bytes: bytes.slice(0, length) });
        await reader.get(new Uint8Array(8));
      }, ({ code }: { code?: string }) => ok(["CORRUPT_FILE", "DB_ADAPTER"].includes(code ?? "")) ?? true);
    }
  }
});
