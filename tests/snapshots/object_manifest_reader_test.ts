/** Judge: snapshots that the Python package wrote. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import { ObjectNotFoundError } from "../../src/errors.ts";
import { objectManifestReader, objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { fixtureBytes, fixtureJson, fixtureStore, snapshotNames } from "./fixture_manifests.ts";
import { outage, publishNext } from "./publishing.ts";
import { watchedStore } from "./watched_store.ts";

test("objectManifestReader() P8 sends nothing but GET, and takes stores that only read", async () => {
  const inner = memoryStore();
  const ref = await publishNext(objectManifestStore(inner), inner, "one");
  const gets: string[] = [];
  const reader = objectManifestReader({
    url: inner.url,
    get: (key, options) => (gets.push(key), inner.get(key, options)),
    getRanges: () => Promise.reject(new Error("not needed")),
  });
  const current = await reader.loadCurrent();
  await reader.loadManifest(current!.ref);
  deepEqual(gets, ["_CURRENT", ref.slice(inner.url.length + 1)]);
});

test("objectManifestReader() opens every snapshot of the Python package wherever it was copied to", async () => {
  for (const name of snapshotNames()) {
    const expected = fixtureJson(`snapshots/${name}/expected.json`);
    const store = await fixtureStore(`snapshots/${name}/store/shardy-fixtures/${name}`);
    for (const place of [store, watchedStore(store, { url: `s3://shardy-fixtures/${name}` })]) {
      const reader = objectManifestReader(place);
      const current = await reader.loadCurrent();
      equal(current!.runId, expected.run_id ?? expected.current_run_id ?? expected.current.run_id);
      equal((await reader.loadManifest(current!.ref)).runId, current!.runId);
    }
  }
});

test("objectManifestReader() gives null without a pointer and passes other failures on", async () => {
  const store = memoryStore();
  equal(await objectManifestReader(store).loadCurrent(), null);
  const broken = watchedStore(store, { onRequest: () => Promise.reject(outage("x")) });
  await rejects(objectManifestReader(broken).loadCurrent(), { code: "STORE" });
  await store.put("_CURRENT", new Uint8Array(2 << 20));
  await rejects(objectManifestReader(store).loadCurrent(), { code: "MANIFEST_PARSE", ref: "memory:///store/_CURRENT" });
});

test("objectManifestReader() keeps a missing manifest apart from a malformed one", async () => {
  const base = "errors/base/store/shardy-fixtures/errors";
  const store = await fixtureStore(base);
  const cases = "errors/cases/current_points_to_missing_manifest/shardy-fixtures/errors";
  await store.put("_CURRENT", fixtureBytes(`${cases}/_CURRENT`));
  const reader = objectManifestReader(store);
  const current = await reader.loadCurrent();
  await rejects(reader.loadManifest(current!.ref), ObjectNotFoundError);
});

test("objectManifestReader() refuses refs that lie elsewhere unless it is told where", async () => {
  const name = "hash_u64";
  const store = await fixtureStore(`snapshots/${name}/store/shardy-fixtures/${name}`);
  const { ref } = (await objectManifestReader(store).loadCurrent())!;
  const folder = ref.slice(0, ref.lastIndexOf("/"));
  const key = ref.split("/").slice(-3).join("/");
  const refused = { code: "CONFIG_VALIDATION", path: "resolveStore" };
  // The manifest is there, but it says that it belongs to another place.
  await rejects(objectManifestReader(store).loadManifest(`s3://other/place/${key}`), refused);
  await rejects(objectManifestReader(store).loadManifest("s3://other/place/manifest"), refused);
  await rejects(objectManifestReader(memoryStore()).loadManifest(`${memoryStore().url}/../${key}`), { code: /./ });
  const elsewhere = memoryStore("elsewhere");
  await elsewhere.put("manifest", await (await store.get(key)).bytes());
  const asked: string[] = [];
  const reader = objectManifestReader(memoryStore(), { resolveStore: (url) => (asked.push(url), elsewhere) });
  equal((await reader.loadManifest(ref)).s3Prefix, `s3://shardy-fixtures/${name}`);
  deepEqual(asked, [folder]);
});
