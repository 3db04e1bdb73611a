/**
 * Opens the runs of a series in turn, all with one cache, and checks every row of every run:
 * `cache_process.ts SERIES CACHE ROUNDS [ACCESS]`. Rows are written by `download_access_test.ts`.
 * @module
 */
import process from "node:process";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { history } from "../../src/snapshots/history.ts";
import { fsStore } from "../../src/stores/fs_store.ts";

const [series = "", cacheDir = "", rounds = "1", mode = "download"] = process.argv.slice(2);
const access = mode as "download" | "hydrate";
const store = fsStore(series);
const runs = await history(store);
let requests = 0;
for (let round = 0; round < Number(rounds); round++) {
  const { ref, runId } = runs[(round + process.pid) % runs.length]!;
  await using reader = await openSnapshot({ store, pin: ref, access, cacheDir, hydrate: { partBytes: 4096 } });
  // In every second round the switch comes while rows are read.
  if (access === "hydrate" && round % 2 === 0) await reader.warm({ shards: [0, 1] });
  let rowCount = 0;
  for await (const [, value] of reader.scan()) {
    if (new TextDecoder().decode(value) !== runId) throw new Error(`a value of another run than ${runId}`);
    rowCount++;
  }
  if (rowCount !== 300) throw new Error(`${rowCount} rows`);
  requests += reader.stats().requests;
}
console.log(`requests ${requests}`);
