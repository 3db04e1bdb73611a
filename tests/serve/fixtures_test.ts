// Snapshots of the Python package over HTTP: the values that it read back, and what its searches found.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Buffer } from "node:buffer";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { snapshotHandler } from "../../src/serve/mod.ts";
import { checkValue, runOf, seriesInMemory } from "../read/fixture_snapshots.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";
import { ask, posted, rowsOf } from "./served_snapshots.ts";

for (const name of ["hash_u64", "hash_utf8", "hash_u32"]) {
  test(`snapshotHandler() gives the values that Python read in ${name}`, async () => {
    await using reader = await openSnapshot({ store: await seriesInMemory(name) });
    const handler = snapshotHandler(reader);
    const { entries, absent = [] } = runOf(name);
    for (const entry of entries) {
      const path = `/v1/get/${encodeURIComponent(String(entry.key.value))}`;
      if (/\/\.{0,2}$/.test(path)) continue; // Gone before a request is made.
      const answer = await handler(new Request(`http://localhost${path}`));
      equal(answer.status, 200, path);
      checkValue(new Uint8Array(await answer.arrayBuffer()), entry);
    }
    for (const { key } of absent) {
      const path = `/v1/get/${encodeURIComponent(String(key.value))}`;
      if (!/\/\.{0,2}$/.test(path)) equal((await ask(handler, path)).status, 404, path);
    }
    const rows = rowsOf(await ask(handler, "/v1/multiget", posted({ keys: entries.map(({ key }) => key.value) })));
    equal(rows.length, entries.length);
    rows.forEach(({ value }, index) => checkValue(new Uint8Array(Buffer.from(value, "base64")), entries[index]!));
  });
}

for (const name of ["vec_only_cluster", "vec_only_lsh", "vec_only_explicit", "vec_only_cel", "vec_unified_cel"]) {
  test(`snapshotHandler() searches find what Python finds in ${name}`, async () => {
    await using reader = await openSnapshot({ store: await seriesInMemory(name) });
    const handler = snapshotHandler(reader);
    for (const search of fixtureJson(`snapshots/${name}/expected.json`).searches) {
      const context = Object.entries(search.routing_context ?? {}) as [string, { value: string }][];
      const { status, text } = await ask(
        handler,
        "/v1/search",
        posted({
          vector: search.query.values,
          topK: search.top_k,
          ...(search.shard_ids ? { shards: search.shard_ids } : {}),
          ...(search.num_probes ? { probes: search.num_probes } : {}),
          ...(context.length === 0 ? {} : {
            columns: Object.fromEntries(context.map(([column, { value }]) => [column, value])),
          }),
        }),
      );
      if (search.error) {
        ok(status >= 400 && status < 500, text);
        continue;
      }
      equal(status, 200, text);
      const found = JSON.parse(text);
      equal(found.shardsQueried, search.num_shards_queried);
      const expected = search.results as { id: { value: string }; score: number; payload: unknown }[];
      deepEqual(found.results.map(({ id }: { id: unknown }) => `${id}`), expected.map(({ id }) => id.value));
      expected.forEach(({ score, payload }, i) => {
        ok(Math.abs(found.results[i].score - score) < 1e-5);
        deepEqual(found.results[i].payload, payload);
      });
    }
  });
}
