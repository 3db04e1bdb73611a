// Publishes a small snapshot in each round, at the same instant as other processes: `minio_publisher.ts JOB`, as JSON.
// Takes a round as a line of JSON, says that it has begun, waits for the instant, and tells what became of it.
import process from "node:process";
import { createInterface } from "node:readline";
import { hashSharding, PublishConflictError, writeSnapshot } from "../../mod.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { PublisherJob, Round, RoundOutcome } from "./minio_publishers.ts";

const { url, endpoint, credentials, name, rowCount }: PublisherJob = JSON.parse(process.argv[2]!);
const store = s3Store({ url, endpoint, credentials });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(message: unknown): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Rows that come when all processes have looked at the pointer: each of them has the same one to replace. */
async function* rows(): AsyncGenerator<number> {
  say("begun");
  const { value: startAtMs } = await lines.next();
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, Number(startAtMs) - Date.now())));
  for (let row = 0; row < rowCount; row++) yield row;
}

async function publish({ roundIndex, onConflict }: Round): Promise<RoundOutcome> {
  try {
    const { manifestRef, replaced } = await writeSnapshot(rows(), {
      store,
      sharding: hashSharding({ shards: 2 }),
      key: (row) => row,
      value: (row) => `${name}:${roundIndex}:${row}`,
      fence: "run",
      onConflict,
    });
    return { manifestRef, replaced };
  } catch (error) {
    if (!(error instanceof PublishConflictError)) throw error;
    return { manifestRef: error.manifestRef, conflictWith: error.winnerRef };
  }
}

say("ready");
for (let line = await lines.next(); !line.done; line = await lines.next()) say(await publish(JSON.parse(line.value)));
