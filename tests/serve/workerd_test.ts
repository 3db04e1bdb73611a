// A handler in a Worker: workerd itself runs it.
import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { r2Store } from "../../src/stores/r2_store.ts";
import { bundleWorker, type MiniflareBucket, startMiniflareBucket } from "../servers/miniflare.ts";
import { count, published } from "../read/small_snapshots.ts";
import { base64, posted } from "./served_snapshots.ts";

const script = bundleWorker(fileURLToPath(new URL("./serve_worker.ts", import.meta.url)));
let started: Promise<MiniflareBucket> | undefined;
const start = () => started ??= startMiniflareBucket({ script });
after(async () => await (await started)?.[Symbol.asyncDispose]());

for (const [kind, start_] of [["the whole package", ""], ["./reader", "/edge"]] as const) {
  test(`snapshotHandler() in workerd with ${kind} serves what lies in R2, and P4: takes over newer snapshots`, async () => {
    const { bucket, url } = await start();
    const store = r2Store(bucket, { prefix: "served" });
    await published(count(1000), { store });
    const ask = (path: string, init?: RequestInit) => fetch(url + start_ + path, init);
    const found = await ask("/v1/get/500");
    deepEqual([found.status, await found.text()], [200, "<500>"]);
    const etag = found.headers.get("etag")!;
    const missing = await ask("/v1/get/1000");
    deepEqual([missing.status, (await missing.json()).status], [404, 404]);
    const known = await ask("/v1/get/500", { headers: { "if-none-match": etag } });
    deepEqual([known.status, await known.text()], [304, ""]);
    const many = await ask("/v1/multiget", posted({ keys: [1, 2, 5000] }));
    const rows = (await many.text()).trim().split("\n").map((line) => JSON.parse(line));
    deepEqual(rows.map(({ value }) => value), [base64("<1>"), base64("<2>"), undefined]);
    const together = await Promise.all(count(40).map((key) => ask(`/v1/get/${key}`).then((answer) => answer.text())));
    deepEqual(together, count(40).map((key) => `<${key}>`));
    const scan = await ask("/v1/scan?from=10&to=15");
    if (kind === "./reader") equal((await scan.json()).status, 404);
    else equal((await scan.text()).trim().split("\n").length, 5);
    const health = await ask("/v1/health");
    deepEqual([health.status, (await health.json()).status], [200, "healthy"]);

    await published(count(1001), { store });
    let last = etag;
    for (let attempt = 0; attempt < 50 && last === etag; attempt++) {
      const answer = await ask("/v1/get/500");
      equal(await answer.text(), "<500>");
      last = answer.headers.get("etag")!;
    }
    notEqual(last, etag);
    equal(await (await ask("/v1/get/1000")).text(), "<1000>");
    // A client that leaves takes nothing from others.
    const leaving = new AbortController();
    const left = ask("/v1/get/7", { signal: leaving.signal }).then((answer) => answer.text(), () => null);
    leaving.abort();
    equal(await left, null);
    ok((await (await ask("/v1/get/7")).text()).includes("7"));
  });
}
