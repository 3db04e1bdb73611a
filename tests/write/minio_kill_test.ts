// Judge: the AWS SDK and node:sqlite, which look into the bucket, and a reader.
import { equal, ok } from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { cleanUp } from "../../mod.ts";
import { sleep, systemClock } from "../../src/clock.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { BucketJudge } from "../servers/bucket_judge.ts";
import { findMinio, startMinio } from "../servers/minio.ts";
import { build, type BuildJob, generationRead, type Moment, moments } from "./minio_kills.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const KILLS = isSoak ? 31 : 5;
const ROWS = isSoak ? 1_000_000 : 120_000;
const SHARDS = isSoak ? 4 : 1;
const SEED = Number(process.env["SHARDYFUSION_SEED"] ?? 20_260_115);
/** Longer than the lease of a run. */
const LATER_MS = 3_600_000;

test("P1 P3 P5 P6 writeSnapshot() and cleanUp() on MinIO: kill -9 at any moment", {
  timeout: isSoak ? 3_600_000 : 300_000,
}, async (t) => {
  if (findMinio() === null) {
    const leaveOut = "kills of builds on MinIO: there is no minio (see tests/README.md)";
    console.log(`LEFT OUT: ${leaveOut}`);
    return t.skip(leaveOut);
  }
  const startedMs = performance.now();
  const random = new SeededRandom(SEED);
  await using minio = await startMinio("kills");
  const { endpoint, credentials } = minio;
  const url = "s3://kills/series";
  const store = s3Store({ url, endpoint, credentials });
  using judge = new BucketJudge(minio, url);
  const job: BuildJob = {
    endpoint,
    credentials,
    url,
    rowCount: ROWS,
    shards: SHARDS,
    generation: 0,
    workers: 0,
    laterMs: LATER_MS,
  };
  const clock = systemClock();
  const later = { ...clock, nowMicros: () => clock.nowMicros() + LATER_MS * 1000 };
  await build(job);
  const undisturbed = await build(job);
  await judge.requireNothingElse();
  const hits = new Map<string, number>();
  let published = 0;
  let leftOpen = 0;
  /** The first kill comes when an upload is open for certain; the others when they happen to. */
  async function strikeAtUpload(child: ChildProcess): Promise<void> {
    while (child.exitCode === null && (await judge.openUploads()).length === 0) await sleep(2);
    child.kill("SIGKILL");
  }
  const plan: Moment[] = [{ phase: "shards", delayMs: 0 }, ...moments(undisturbed, KILLS - 1, random)];
  for (const [index, moment] of plan.entries()) {
    const killed = { ...job, generation: 2 * index + 1, workers: index % 2 * 2 };
    const label = `seed ${SEED}, kill ${index}, ${moment.delayMs.toFixed(1)} ms into ${moment.phase}`;
    const { reached, isKilled, hasFailed, output } = await build(
      killed,
      moment,
      index === 0 ? strikeAtUpload : undefined,
    );
    ok(!hasFailed, `${label}: ${output}`);
    const phase = isKilled ? reached : "too late";
    hits.set(phase, (hits.get(phase) ?? 0) + 1);
    const seen = await generationRead(store, ROWS, random);
    const outcomes = ["rows", "shards"].includes(reached)
      ? [published]
      : reached === "publish"
      ? [published, killed.generation]
      : [killed.generation];
    ok(outcomes.includes(seen), `${label}: it was ${reached}, ${seen} is read, ${published} was published before`);
    published = seen;
    leftOpen += (await judge.openUploads()).length;
    ok(leftOpen > 0, "the first kill left an upload open");
    // In every other round the killed one's leavings are removed first, else the next build meets them.
    if (index % 2 === 1) await cleanUp(store, { keep: 1, graceMs: 0, clock: later });
    if (index % 2 === 1) await judge.requireNothingElse();
    const next = { ...job, generation: 2 * index + 2 };
    equal((await build(next)).reached, "done", label);
    published = next.generation;
    equal(await generationRead(store, ROWS, random), published, label);
    const manifests = await judge.requireNothingElse();
    ok(manifests.length <= 2, `${label}: ${manifests}`);
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const buildMs = Math.round(undisturbed.beganMs.get("done")!);
  const figures = [...hits].map(([phase, count]) => `${phase} ${count}`).join(", ");
  console.log(
    `${KILLS} kills of builds of ${ROWS} rows, ${buildMs} ms each, in ${seconds} s: ${figures}; ` +
      `uploads left open: ${leftOpen}`,
  );
  ok(KILLS - (hits.get("too late") ?? 0) >= KILLS / 2, figures);
});
