import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { jsonValue } from "../../src/write/values.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { hashSharding } from "../../src/routing/sharding.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { shardy } from "./run_shardy.ts";

async function servedSnapshot() {
  const store = memoryStore();
  const rows = Array.from({ length: 100 }, (_, id) => ({ id, name: `row ${id}` }));
  const sharding = hashSharding({ shards: 2 });
  await writeSnapshot(rows, { store, sharding, key: ({ id }) => id, value: jsonValue() });
  return await startCountingProxy({ objects: store });
}

test("shardy reads a snapshot behind an HTTP server", async () => {
  await using server = await servedSnapshot();
  const url = `${server.url}/_CURRENT?signature=secret`;
  const found = await shardy(["--current-url", url, "get", "42", "--value-encoding", "utf8"]);
  deepEqual([found.exitCode, found.stderr], [0, ""]);
  match(found.stdout, /row 42/);
  deepEqual([...new Set(server.log.map(({ query }) => query))], ["?signature=secret"]);
  const info = await shardy(["--current-url", url, "info"]);
  deepEqual([info.exitCode, info.stderr], [0, ""]);
});

test("shardy says that a place behind an HTTP server can only be read", async () => {
  await using server = await servedSnapshot();
  for (const command of [["history"], ["rollback", "--offset", "1"], ["get", "1", "--offset", "1"]]) {
    const outcome = await shardy(["--current-url", `${server.url}/_CURRENT`, ...command]);
    equal(outcome.exitCode, 1);
    match(outcome.stderr, /can only be read/);
  }
  const outcome = await shardy(["--current-url", `${server.url}/`, "info"]);
  match(outcome.stderr, /https:\/\/host\/path\/_CURRENT/);
});
