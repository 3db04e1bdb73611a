// Judge: the AWS SDK and node:sqlite, which look into the bucket, and a reader.
import { deepEqual, equal, ok } from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { cleanUp } from "../../mod.ts";
import { systemClock } from "../../src/clock.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { BucketJudge } from "../servers/bucket_judge.ts";
import { findMinio, startMinio } from "../servers/minio.ts";
import { build, type BuildJob, generationRead } from "./minio_kills.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const KILLS = isSoak ? 30 : 4;
const ROWS = isSoak ? 1_000_000 : 120_000;
const SEED = Number(process.env["SHARDYFUSION_SEED"] ?? 20_260_116);
const LATER_MS = 3_600_000;

test("P1 P3 P6 writeSnapshot() with workers on MinIO: a thread ends at any moment", {
  timeout: isSoak ? 3_600_000 : 300_000,
}, async (t) => {
  if (findMinio() === null) {
    const leaveOut = "ends of threads that build for MinIO: there is no minio (see tests/README.md)";
    console.log(`LEFT OUT: ${leaveOut}`);
    return t.skip(leaveOut);
  }
  const startedMs = performance.now();
  const random = new SeededRandom(SEED);
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  await using minio = await startMinio("threads");
  const { endpoint, credentials } = minio;
  const url = "s3://threads/series";
  const store = s3Store({ url, endpoint, credentials });
  using judge = new BucketJudge(minio, url);
  const common = { endpoint, credentials, url, rowCount: ROWS, shards: 4, workers: 2, laterMs: LATER_MS };
  const clock = systemClock();
  const later = { ...clock, nowMicros: () => clock.nowMicros() + LATER_MS * 1000 };
  await build({ ...common, generation: 0 });
  const undisturbed = await build({ ...common, generation: 0 });
  // Threads begin with the rows.
  const livesMs = undisturbed.beganMs.get("publish")! - undisturbed.beganMs.get("rows")!;
  const outcomes: Record<string, number> = {};
  let published = 0;
  try {
    for (let index = 0; index < KILLS; index++) {
      const delayMs = 0.7 * livesMs * (index + random.next()) / KILLS;
      const flag = join(folder, String(index));
      const hasRetry = index % 2 === 0;
      const job: BuildJob = { ...common, generation: index + 1, threadDeath: { delayMs, flag }, hasRetry };
      const { hasFailed, output } = await build(job);
      const hasDied = existsSync(flag);
      const outcome = !hasDied ? "too late" : hasFailed ? "failed" : hasRetry ? "built again" : "not needed any more";
      const label = `seed ${SEED}, thread ${index} ended after ${delayMs.toFixed(1)} ms: ${outcome}`;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      if (!hasFailed) published = job.generation;
      else ok(hasDied && !hasRetry, `${label}: ${output}`);
      equal(await generationRead(store, ROWS, random), published, label);
      // The process lives and takes everything back by itself; all that stays is the record.
      deepEqual(await judge.openUploads(), [], label);
      const runs = new Set((await judge.keys()).flatMap((key) => /^shards\/run_id=(\w+)/.exec(key)?.[1] ?? []));
      ok(runs.size <= 2, `${label}: ${[...runs]}`);
      if (hasFailed) await cleanUp(store, { keep: 1, graceMs: 0, clock: later });
      await judge.requireNothingElse();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const figures = Object.entries(outcomes).map(([outcome, count]) => `${outcome} ${count}`).join(", ");
  console.log(`${KILLS} threads ended in builds of ${ROWS} rows, in ${seconds} s: ${figures}`);
  ok((outcomes["too late"] ?? 0) < KILLS, figures);
});
