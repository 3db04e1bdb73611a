/**
 * A snapshot of 1,000,000 rows on MinIO, behind proxies that add latency: `range_server.ts ROWS DELAY_MS…`. Prints one
 * line of JSON: endpoints by delay, and credentials; ends with its standard input.
 * @module
 */
import { hashSharding, writeSnapshot } from "../mod.ts";
import { s3Store } from "../src/stores/s3_store.ts";
import { startCountingProxy } from "../tests/servers/counting_proxy.ts";
import { startMinio } from "../tests/servers/minio.ts";
import { keyAt, valueAt } from "./rows.ts";

const [rowCount = 1_000_000, ...delaysMs] = process.argv.slice(2).map(Number);

await using minio = await startMinio("bench");
const { endpoint, credentials } = minio;
await writeSnapshot(Array.from({ length: rowCount }, (_, index) => index), {
  store: s3Store({ url: "s3://bench/rows", endpoint, credentials }),
  sharding: hashSharding({ shards: 4 }),
  key: (index) => keyAt(index, "random"),
  value: valueAt,
});
await using proxies = new AsyncDisposableStack();
const endpoints: Record<number, string> = {};
for (const delayMs of delaysMs) {
  endpoints[delayMs] = proxies.use(await startCountingProxy({ upstream: endpoint, delayMs })).url;
}
console.log(JSON.stringify({ endpoints, credentials }));
for await (const _ of process.stdin);
