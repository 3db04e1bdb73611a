// Handlers behind the server of this runtime, and behind node:http on each.
import { deepEqual, equal, ok } from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { startHttpServer } from "../../src/cli/http_server.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { nodeListener, type SnapshotHandler, snapshotHandler } from "../../src/serve/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { count } from "../read/small_snapshots.ts";
import { posted } from "./served_snapshots.ts";

const ROWS = 20_000;

interface Serving extends AsyncDisposable {
  readonly url: string;
}

async function onThisRuntime(handler: SnapshotHandler): Promise<Serving> {
  const { url, close } = await startHttpServer((request) => handler(request), { host: "127.0.0.1", port: 0 });
  return { url, [Symbol.asyncDispose]: () => close(2000) };
}

async function onNodeHttp(handler: SnapshotHandler): Promise<Serving> {
  const server = createServer(nodeListener((request) => handler(request))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function handlerOn(access: "memory" | "range"): Promise<SnapshotHandler> {
  const store = memoryStore();
  await writeSnapshot(count(ROWS), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (key) => key,
    value: (key) => `${key}`.padEnd(2000, "."),
  });
  return snapshotHandler(await openSnapshot({ store, access }));
}

for (const [name, serve] of [["the runtime's own server", onThisRuntime], ["node:http", onNodeHttp]] as const) {
  test(`snapshotHandler() behind ${name}: values, heads, conditions, bodies`, async () => {
    const handler = await handlerOn("range");
    await using server = await serve(handler);
    const found = await fetch(`${server.url}/v1/get/7`);
    deepEqual([found.status, await found.text()], [200, "7".padEnd(2000, ".")]);
    const etag = found.headers.get("etag")!;
    const known = await fetch(`${server.url}/v1/get/7`, { headers: { "if-none-match": etag } });
    deepEqual([known.status, await known.text(), known.headers.get("etag")], [304, "", etag]);
    const head = await fetch(`${server.url}/v1/get/7`, { method: "HEAD" });
    deepEqual([head.status, head.headers.get("content-length"), await head.text()], [200, "2000", ""]);
    const keys = count(500);
    const many = await fetch(`${server.url}/v1/multiget`, posted({ keys }));
    deepEqual((await many.text()).trim().split("\n").map((line) => JSON.parse(line).key), keys);
    const answers = await Promise.all(keys.map((key) => fetch(`${server.url}/v1/get/${key}`).then((a) => a.text())));
    deepEqual(answers.map((text) => Number.parseInt(text)), keys);
    for (const [path, status] of [["/v1/get/x", 400], ["/v1/get/99999999", 404], ["/x", 404]] as const) {
      const answer = await fetch(server.url + path);
      deepEqual([answer.status, (await answer.json()).status], [status, status]);
    }
  });

  test(`snapshotHandler() behind ${name}: scans stream, and end when the client leaves`, async () => {
    const handler = await handlerOn("memory");
    await using server = await serve(handler);
    const whole = await fetch(`${server.url}/v1/scan`);
    equal((await whole.text()).trim().split("\n").length, ROWS);
    const leaving = new AbortController();
    const partial = await fetch(`${server.url}/v1/scan`, { signal: leaving.signal });
    ok((await partial.body!.getReader().read()).value!.byteLength > 0);
    equal(handler.underWay, 1, "50 MB do not fit into the buffers in between");
    leaving.abort();
    for (let i = 0; i < 200 && handler.underWay > 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    equal(handler.underWay, 0);
    equal((await (await fetch(`${server.url}/v1/get/1`)).text()).slice(0, 2), "1.");
  });
}
