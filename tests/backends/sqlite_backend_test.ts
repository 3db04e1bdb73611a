// Judge: SQLite for the files, the fixtures' vectors for the page size, and the contract.
import { deepEqual, equal, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { recommendPageSize } from "../../src/backends/page_size.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { backendContract } from "../contracts/backend_contract.ts";

const vectors = JSON.parse(readFileSync(new URL("../fixtures/vectors/misc_vectors.json", import.meta.url), "utf8"));

backendContract("sqliteBackend", () => sqliteBackend());
backendContract("sqliteBackend with automatic page size", () => sqliteBackend({ pageSizeBytes: "auto" }));
backendContract("sqliteBackend with 64 KiB pages", () => sqliteBackend({ pageSizeBytes: 65536 }));
backendContract("nativeSqliteBackend", () => nativeSqliteBackend());

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
