// Builds a snapshot on an S3 server and cleans up, to be killed meanwhile: `minio_build.ts JOB`, as JSON. Tells on
// standard output what it is doing, a word a line: the phases of the write, then `cleanup`, then `done`.
import process from "node:process";
import { cleanUp, hashSharding, writeSnapshot } from "../../mod.ts";
import { systemClock } from "../../src/clock.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { BuildJob } from "./minio_kills.ts";
import { mortalBackend } from "./mortal_backend.ts";

const job: BuildJob = JSON.parse(process.argv[2]!);
const { endpoint, credentials, url, rowCount, shards, generation, workers, threadDeath, hasRetry, laterMs } = job;
const store = s3Store({ url, endpoint, credentials, partBytes: 5 << 20 });
const filler = "x".repeat(80);
let phase = "";

function* rows(): Generator<number> {
  for (let row = 0; row < rowCount; row++) yield row;
}

/** Waits until the line is written, as the next moment may be the last. */
function say(word: string): void {
  if (word === phase) return;
  phase = word;
  process.stdout.write(`${word}\n`);
}

await writeSnapshot(rows(), {
  store,
  sharding: hashSharding({ shards }),
  key: (row) => row,
  value: (row) => `${generation}:${row}:${filler}`,
  onProgress: (progress) => say(progress.phase),
  workers,
  ...(threadDeath && { backend: mortalBackend(threadDeath) }),
  ...(hasRetry && { retry: { initialBackoffMs: 10 } }),
});
say("cleanup");
const clock = systemClock();
await cleanUp(store, {
  keep: 1,
  graceMs: 0,
  clock: { ...clock, nowMicros: () => clock.nowMicros() + laterMs * 1000 },
});
say("done");
