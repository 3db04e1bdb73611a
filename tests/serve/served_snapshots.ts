/**
 * Handlers on small snapshots, and requests to them.
 * @module
 */
import { Buffer } from "node:buffer";
import { celSharding } from "../../src/routing/cel_sharding.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { type SnapshotHandler, snapshotHandler, type SnapshotHandlerOptions } from "../../src/serve/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { count, opened } from "../read/small_snapshots.ts";

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Asks a handler; `path` may be any text that can follow a host. */
export async function ask(handler: SnapshotHandler, path: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await handler(new Request(`http://localhost${path}`, init));
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

/** A body of JSON. */
export function posted(body: unknown, headers: Record<string, string> = {}): RequestInit {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { method: "POST", body: text, headers: { "content-type": "application/json", ...headers } };
}

/** The lines of NDJSON. */
// deno-lint-ignore no-explicit-any -- whatever they hold
export function rowsOf({ text }: Answer): any[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** A handler on the keys 0 to 999, whose values are the keys in angle brackets. */
export async function numbered(options: SnapshotHandlerOptions = {}): Promise<{
  readonly handler: SnapshotHandler;
  readonly reader: SnapshotReader;
}> {
  const reader = await opened(count(1000));
  return { handler: snapshotHandler(reader, options), reader };
}

/** A reader of a snapshot that is sharded by the columns `region` and `tier`. */
export async function regional(): Promise<SnapshotReader> {
  const store = memoryStore();
  const rows = [{ id: 1, region: "us", tier: 1 }, { id: 2, region: "eu", tier: 2 }, { id: 3, region: "us", tier: 2 }];
  await writeSnapshot(rows, {
    store,
    sharding: celSharding({
      expr: 'region + ":" + string(tier)',
      columns: { region: "string", tier: "int" },
      inferRoutingValues: true,
    }),
    key: ({ id }) => id,
    value: ({ id, region }) => `${id} in ${region}`,
    columns: ({ region, tier }) => ({ region, tier }),
  });
  return await openSnapshot({ store });
}
