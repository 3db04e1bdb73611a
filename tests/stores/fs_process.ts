// What the tests of the folder store run in processes of their own: `fs_process.ts <work> <folder> <count>`.
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../../src/clock.ts";
import { withLock } from "../../src/stores/fs_lock.ts";
import { claimPathIn, objectPathOf } from "../../src/stores/fs_path.ts";
import { fsStore } from "../../src/stores/fs_store.ts";

const [work = "", folder = "", count = "0"] = process.argv.slice(2);
const encode = (text: string) => new TextEncoder().encode(text);

/** Adds 1 to the object `counter`, `count` times, by compare-and-set. */
async function increment(): Promise<void> {
  const store = fsStore(folder);
  for (let done = 0; done < Number(count);) {
    const object = await store.get("counter");
    const next = encode(String(Number(new TextDecoder().decode(await object.bytes())) + 1));
    try {
      await store.put("counter", next, { precondition: { ifMatch: object.etag! } });
      done++;
    } catch (error) {
      if ((error as { code?: string }).code !== "PRECONDITION_FAILED") throw error;
    }
  }
}

/** Begins an upload, says so, and never ends it. */
async function upload(): Promise<void> {
  const unfinished = await fsStore(folder).upload("runs/object", { headBytes: 4 });
  await unfinished.write(new Uint8Array(1 << 20));
  console.log("ready");
  setInterval(() => {}, 1000);
}

/** Takes the lock of the object `counter` and dies with it. */
async function dieLocked(): Promise<void> {
  const { lockPath } = objectPathOf(folder, "file:///test", "counter");
  await withLock(
    { lockPath, claimPathOf, url: "counter", clock: systemClock() },
    () => process.kill(process.pid, "SIGKILL"),
  );
}

/** Adds 1 to the file `count` under a lock, noting each success in a file of its own; sometimes dies with the lock. */
async function incrementAndDie(): Promise<void> {
  const target = { lockPath: join(folder, "lock"), claimPathOf, url: "count", clock: systemClock() };
  for (let index = 0; index < Number(count); index++) {
    await withLock(target, (requireHeld) => {
      if (Math.random() < 0.03) process.kill(process.pid, "SIGKILL");
      const next = Number(readFileSync(join(folder, "count"), "utf8")) + 1;
      requireHeld();
      writeFileSync(join(folder, "count"), String(next));
      appendFileSync(join(folder, `done-${process.pid}`), "x");
    });
  }
}

function claimPathOf(token: string): string {
  return claimPathIn(folder, token);
}

const works: Record<string, () => Promise<void>> = { increment, upload, dieLocked, incrementAndDie };
await works[work]!();
