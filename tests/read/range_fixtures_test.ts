// Snapshots of the Python package over ranges, with and without their sidecars. Judge: what the package read back.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { ReadableStore } from "../../src/stores/store.ts";
import { checkRun, hashSnapshots, runOf, seriesPath } from "./fixture_snapshots.ts";
import { fixtureObjects, served } from "./served_series.ts";

/** The same objects under other ETags, or under none. */
function tagged(store: ReadableStore, tagOf: (etag: string | null) => string | null): ReadableStore {
  return {
    url: store.url,
    get: async (key, options) => {
      const stored = await store.get(key, options);
      return { ...stored, etag: tagOf(stored.etag), bytes: () => stored.bytes() };
    },
    getRanges: async (key, ranges, options) => {
      const stored = await store.getRanges(key, ranges, options);
      return { ...stored, etag: tagOf(stored.etag) };
    },
  };
}

/** Of the shards that were published; attempts that lost have some too. */
function sidecarCount(name: string): number {
  const objects = fixtureObjects(name);
  const prefix = `s3://${seriesPath(name).split("/store/")[1]}/`;
  return runOf(name).manifest.shards.filter(({ db_url: url }) => {
    return objects.has(`${url.slice(prefix.length)}/shard.sidecar`);
  }).length;
}

for (const name of [...hashSnapshots, "cel_by_columns_inferred", "cel_direct_string", "sidecar_auto"]) {
  test(`openSnapshot() reads all of ${name} over ranges, using its sidecars`, async () => {
    await using http = await served(fixtureObjects(name));
    await using reader = await openSnapshot({ store: http.store, access: "range" });
    equal(reader.info.access, "range");
    await checkRun(reader, runOf(name));
    deepEqual(reader.info.warnings, []);
    const asked = http.asked();
    equal(asked.filter((kind) => kind === "sidecar").length, sidecarCount(name));
    equal(reader.stats().requests, asked.length);
  });

  const otherTags = [["other ETags", '"other"'], ["no ETags", null]] as const;
  for (const [label, etag] of otherTags) {
    test(`openSnapshot() reads all of ${name} over ranges with ${label}, leaving its sidecars alone`, async () => {
      await using http = await served(fixtureObjects(name));
      const store = tagged(http.store, () => etag);
      await using reader = await openSnapshot({ store, access: "range" });
      await checkRun(reader, runOf(name));
      const { warnings } = reader.info;
      equal(warnings.length, sidecarCount(name));
      ok(warnings.every((warning) => warning.startsWith("the sidecar of ")), warnings.join());
      equal(new Set(warnings).size, warnings.length);
    });
  }

  test(`openSnapshot() reads all of ${name} over ranges when its sidecars are missing`, async () => {
    const objects = fixtureObjects(name);
    const hadSidecars = sidecarCount(name) > 0;
    for (const key of [...objects.keys()]) if (key.endsWith(".sidecar")) objects.delete(key);
    await using http = await served(objects);
    await using reader = await openSnapshot({ store: http.store, access: "range" });
    await checkRun(reader, runOf(name));
    deepEqual(reader.info.warnings, []);
    const asked = http.asked().filter((kind) => kind === "sidecar");
    equal(asked.length, hadSidecars ? runOf(name).manifest.shards.length : 0);
  });
}

test("openSnapshot() reads all of sidecar_overflow_4k over ranges with a cache of one page", async () => {
  await using http = await served(fixtureObjects("sidecar_overflow_4k"));
  await using reader = await openSnapshot({ store: http.store, access: "range", cacheBytesMax: 0 });
  await checkRun(reader, runOf("sidecar_overflow_4k"));
  const { warnings } = reader.info;
  equal(warnings.length, 2);
  ok(warnings.every((warning) => warning.endsWith("raise cacheBytesMax")), warnings.join());
});

test("openSnapshot() reads all of sidecar_deep_4k over ranges when sidecars go and come with the cache", async () => {
  await using http = await served(fixtureObjects("sidecar_deep_4k"));
  // Room for one of the two sidecars, which take turns.
  await using reader = await openSnapshot({ store: http.store, access: "range", cacheBytesMax: 40_000 });
  await checkRun(reader, runOf("sidecar_deep_4k"));
  const sidecars = http.asked().filter((kind) => kind === "sidecar").length;
  ok(sidecars > 2, `${sidecars} sidecars`);
  deepEqual(reader.info.warnings, []);
});
