// The programs of docs/serving.md, run as printed: each runtime runs its own, workerd the Worker.
import { deepEqual, equal } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hashSharding, jsonValue, memoryStore, writeSnapshot } from "../../mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { bundleWorker, startMiniflareBucket } from "../servers/miniflare.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(`${root}docs/serving.md`, "utf8");
// `ignore`: for Deno's checker, which does not know Bun's types.
const programs = [...page.matchAll(/```ts(?: ignore)?\n(.*?)```/gs)].map(([, text]) => text!);
const [onDeno, onBun, onNode, inWorker, ...others] = programs;
// Inside the checkout, so that the package's name leads to it; `data/` is not part of it.
const folder = `${root}data/serving-${process.pid}`;

async function publish(store: ObjectStore): Promise<void> {
  await writeSnapshot([{ id: 1, name: "Ada" }, { id: 2, name: "Grace" }], {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (row) => row.id,
    value: jsonValue(),
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answerOf(url: string): Promise<Response> {
  for (let attempt = 0;; attempt++) {
    try {
      return await fetch(url, { headers: { connection: "close" } });
    } catch (error) {
      if (attempt === 500) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

test("docs/serving.md: the program for this runtime serves as printed, and ends when it is told to", async () => {
  equal(others.length, 0);
  mkdirSync(folder, { recursive: true });
  try {
    await publish(fsStore(`${folder}/data/people`));
    const isDeno = "Deno" in globalThis;
    const program = isDeno ? onDeno! : "Bun" in globalThis ? onBun! : onNode!;
    const port = await freePort();
    writeFileSync(`${folder}/serve.ts`, program.replace("8080", `${port}`));
    const args = [...(isDeno ? ["run", "-A", "--no-check"] : []), `${folder}/serve.ts`];
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
    const closed = once(child, "close");
    const answer = await answerOf(`http://127.0.0.1:${port}/v1/get/2`);
    deepEqual([answer.status, await answer.text()], [200, '{"id":2,"name":"Grace"}']);
    process.kill(child.pid!, "SIGTERM");
    equal((await closed)[0], 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/serving.md: the Worker serves as printed", async () => {
  const store = memoryStore();
  await publish(store);
  await using server = await startCountingProxy({ objects: store });
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/worker.ts`, inWorker!);
  const script = bundleWorker(`${folder}/worker.ts`);
  rmSync(folder, { recursive: true });
  await using worker = await startMiniflareBucket({ script, texts: { SNAPSHOT_URL: server.url } });
  const bodies: string[] = [];
  for (const [path, status] of [["/v1/get/2", 200], ["/v1/get/3", 404], ["/v1/health", 200]] as const) {
    const answer = await fetch(worker.url + path);
    bodies.push(await answer.text());
    equal(answer.status, status);
  }
  equal(bodies[0], '{"id":2,"name":"Grace"}');
});
