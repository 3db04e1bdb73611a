// Serves a snapshot: `bun bun_service.ts [folder or https://…] [port]`, then `curl http://localhost:8080/v1/get/2`.
import { httpStore, openSnapshot } from "@shardyfusion/shardyfusion";
import { snapshotHandler } from "@shardyfusion/shardyfusion/serve";
import { fsStore } from "@shardyfusion/shardyfusion/stores/fs";
import process from "node:process";

/** The part of Bun that is used here; with `@types/bun` it is not needed. */
declare const Bun: {
  serve(options: { port: number; fetch(request: Request): Promise<Response> }): {
    readonly url: URL;
    stop(): Promise<void>;
  };
};

const [place = "./data/example", port = "8080"] = process.argv.slice(2);
const store = /^https?:/.test(place) ? httpStore(place) : fsStore(place);
const reader = await openSnapshot({ store, access: "memory" }); // or "hydrate", which serves at once
const handler = snapshotHandler(reader, {
  contentType: "application/json",
  refreshEvery: 10_000,
  onError: (error) => console.error(error),
});
const server = Bun.serve({ port: Number(port), fetch: (request) => handler(request) });
console.log(`listening on ${server.url}`);

async function stop(): Promise<void> {
  await handler.close({ graceMs: 0 }); // longer behind a load balancer: health says 503 meanwhile
  await server.stop();
  await reader.close();
  process.exit(0);
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
