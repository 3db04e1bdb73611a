// The programs of examples/, each on the runtime that it is for.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hashSharding, openSnapshot, writeSnapshot } from "../mod.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { r2Store } from "../src/stores/r2_store.ts";
import { bundleWorker, startMiniflareBucket } from "./servers/miniflare.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const isDeno = "Deno" in globalThis;
const isBun = "Bun" in globalThis;

function withFolder<T>(name: string, run: (folder: string) => T): T {
  const folder = `${root}data/example-${name}-${process.pid}`;
  mkdirSync(folder, { recursive: true });
  const remove = (): void => rmSync(folder, { recursive: true });
  try {
    const result = run(folder);
    if (result instanceof Promise) return result.finally(remove) as T;
    remove();
    return result;
  } catch (error) {
    remove();
    throw error;
  }
}

/** Runs an example on this runtime. */
function run(example: string, args: string[], input = ""): string {
  const command = isDeno ? ["run", "-A", "--no-check"] : [];
  const options = { input, encoding: "utf8", cwd: root, timeout: 60_000 } as const;
  return execFileSync(process.execPath, [...command, `examples/${example}`, ...args], options);
}

test("examples/README.md names every example", () => {
  const index = readFileSync(`${root}examples/README.md`, "utf8");
  const programs = readdirSync(`${root}examples`).filter((name) => name.endsWith(".ts"));
  deepEqual(programs.filter((name) => !index.includes(`](${name})`)), []);
});

// Those that belong to one runtime are run where the tests run on it.
if (isDeno) {
  test("examples/deno_script.ts publishes, reads, publishes again and cleans up", { timeout: 120_000 }, () => {
    withFolder("deno", (folder) => {
      for (let time = 0; time < 2; time++) {
        const [published, value, removed] = run("deno_script.ts", [folder]).split("\n");
        match(published!, /^published 3 rows: file:.*\/manifest$/);
        deepEqual([value, removed], ['{"id":2,"name":"Grace"}', "removed 0 old snapshots"]);
      }
    });
  });
}

test("examples/pipe_ingestion.ts makes a snapshot of lines", { timeout: 120_000 }, async () => {
  await withFolder("pipe", async (folder) => {
    const lines = Array.from({ length: 5_000 }, (_, id) => JSON.stringify({ id, name: `person ${id}` }));
    equal(run("pipe_ingestion.ts", [folder], lines.join("\n")), "5000 rows in 1 shards\n");
    await using reader = await openSnapshot({ store: fsStore(folder) });
    equal(new TextDecoder().decode((await reader.get(4_999))!), lines[4_999]);
  });
});

if (isBun) {
  test("examples/bun_service.ts answers, and ends when it is told to", { timeout: 120_000 }, async () => {
    await withFolder("bun", async (folder) => {
      await publish(fsStore(folder));
      const service = spawn(process.execPath, ["examples/bun_service.ts", folder, "0"], { cwd: root });
      try {
        const [, url] = /listening on (\S+)/.exec(await firstLine(service))!;
        const answer = await fetch(`${url}v1/get/2`);
        deepEqual([answer.status, await answer.text()], [200, '{"name":"Grace"}']);
        const ended = new Promise((resolve) => service.once("exit", resolve));
        service.kill("SIGTERM");
        equal(await ended, 0);
      } finally {
        service.kill("SIGKILL");
      }
    });
  });
}

test("examples/worker.ts serves a bucket of R2", { timeout: 120_000 }, async () => {
  // Inside the checkout, so that the package's name leads to it.
  const script = withFolder("worker", (folder) => {
    writeFileSync(`${folder}/worker.ts`, readFileSync(`${root}examples/worker.ts`, "utf8"));
    return bundleWorker(`${folder}/worker.ts`);
  });
  await using worker = await startMiniflareBucket({ script });
  const early = await fetch(`${worker.url}/v1/get/2`);
  await early.text();
  equal(early.status, 500);
  await publish(r2Store(worker.bucket, { prefix: "people" }));
  const answer = await fetch(`${worker.url}/v1/get/2`);
  deepEqual([answer.status, await answer.text()], [200, '{"name":"Grace"}']);
  const missing = await fetch(`${worker.url}/v1/get/9`);
  await missing.text();
  equal(missing.status, 404);
  ok(answer.headers.get("etag"));
});

async function publish(store: Parameters<typeof writeSnapshot>[1]["store"]): Promise<void> {
  await writeSnapshot([[1, "Ada"], [2, "Grace"]] as [number, string][], {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: ([id]) => id,
    value: ([, name]) => JSON.stringify({ name }),
  });
}

async function firstLine(service: ChildProcess): Promise<string> {
  let text = "";
  for await (const chunk of service.stdout!) {
    text += chunk;
    if (text.includes("\n")) break;
  }
  return text;
}
