/** Judge: the series `history`, published and rolled back by the Python package. */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { parseStamp } from "../../src/bytes/timestamps.ts";
import { PreconditionFailedError, StoreError } from "../../src/errors.ts";
import { history, rollBack } from "../../src/snapshots/history.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { fixtureBytes, fixtureJson, fixtureStore } from "./fixture_manifests.ts";
import { watchedStore } from "./watched_store.ts";

const expected = fixtureJson("snapshots/history/expected.json");
const listed: { ref: string; run_id: string; published_at: string }[] = expected.list_manifests_newest_first;

/** The series as it was published, and a copy of it under another URL. */
async function series(): Promise<ObjectStore[]> {
  const path = "snapshots/history/store/shardy-fixtures/history";
  return [watchedStore(await fixtureStore(path), { url: expected.s3_prefix }), await fixtureStore(path)];
}

async function pointer(store: ObjectStore): Promise<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode(await (await store.get("_CURRENT")).bytes()));
}

test("history() lists what the Python package lists, in its order", async () => {
  for (const store of await series()) {
    deepEqual(
      await history(store),
      listed.map(({ ref, run_id: runId, published_at: at }) => ({ ref, runId, publishedAtMicros: parseStamp(at) })),
    );
    equal((await history(store, { limit: 2 })).length, 2);
    const current = await objectManifestStore(store).loadCurrent();
    equal(current!.ref, listed[expected.current_run_index]!.ref);
  }
});

test("history() ignores other folders and keeps folders of the same time ascending", async () => {
  const [store] = await series() as [ObjectStore];
  const manifest = await (await store.get(listed[0]!.ref.slice(store.url.length + 1))).bytes();
  for (const folder of ["2030-01-01T00:00:00.000000Z_run_id=b", "2030-01-01T00:00:00.000000Z_run_id=a", "junk"]) {
    await store.put(`manifests/${folder}/manifest`, manifest);
  }
  deepEqual((await history(store)).slice(0, 3).map(({ runId }) => runId), ["a", "b", listed[0]!.run_id]);
});

test("history() of a store without snapshots is empty", async () => {
  const [store] = await series() as [ObjectStore];
  await store.deletePrefix("manifests");
  deepEqual(await history(store), []);
});

test("rollBack() P4 moves the pointer by ref, run and offset, and raises the generation", async () => {
  for (const store of await series()) {
    const refs = listed.map(({ ref }) => ref);
    const first = await rollBack(store, { offset: 2 });
    equal(first.ref, refs[2]);
    equal(first.runId, listed[2]!.run_id);
    const written = await pointer(store);
    equal(written["manifest_ref"], refs[2]);
    deepEqual(written["previous"], [refs[1]]);
    equal(parseStamp(String(written["updated_at"])), first.publishedAtMicros);
    ok(first.publishedAtMicros > parseStamp(expected.current.updated_at)!);
    const second = await rollBack(store, { runId: listed[0]!.run_id });
    equal(second.ref, refs[0]);
    deepEqual((await pointer(store))["previous"], [refs[2], refs[1]]);
    const third = await rollBack(store, { ref: refs[1]! });
    equal(third.runId, listed[1]!.run_id);
    const last = await pointer(store);
    deepEqual(last["previous"], [refs[0], refs[2]]);
    equal(last["generation"], Number(written["generation"]) + 2);
    equal((await history(store)).length, 3);
  }
});

test("rollBack() to what is current already raises the generation, too", async () => {
  const [store] = await series() as [ObjectStore];
  await rollBack(store, { offset: 0 });
  const { generation } = await pointer(store);
  await rollBack(store, { offset: 0 });
  equal((await pointer(store))["generation"], Number(generation) + 1);
});

test("rollBack() takes the newest manifest of a run that was published twice", async () => {
  const [store] = await series() as [ObjectStore];
  const { ref, run_id: runId } = listed[2]!;
  const again = ref.replace(/manifests\/[^_]+/, "manifests/2030-01-01T00:00:00.000000Z");
  await store.put(again.slice(store.url.length + 1), await (await store.get(ref.slice(store.url.length + 1))).bytes());
  equal((await rollBack(store, { runId })).ref, again);
});

test("rollBack() refuses what it cannot find and leaves the pointer alone", async () => {
  const [store] = await series() as [ObjectStore];
  const before = await pointer(store);
  const missing = listed[0]!.ref.replace(/run_id=.*\//, "run_id=none/");
  await rejects(rollBack(store, { offset: 3 }), { code: "READER_STATE" });
  await rejects(rollBack(store, { runId: "none" }), { code: "READER_STATE" });
  await rejects(rollBack(store, { ref: missing }), { code: "OBJECT_NOT_FOUND" });
  await rejects(rollBack(store, { ref: "s3://other/place/manifest" }), { code: "CONFIG_VALIDATION" });
  await rejects(rollBack(store, {}), { code: "CONFIG_VALIDATION" });
  await rejects(rollBack(store, { offset: 0, runId: "a" }), { code: "CONFIG_VALIDATION" });
  await rejects(rollBack(store, { offset: -1 }), { code: "CONFIG_VALIDATION", path: "offset" });
  await rejects(history(store, { limit: 0 }), { code: "CONFIG_VALIDATION", path: "limit" });
  await store.put(listed[0]!.ref.slice(store.url.length + 1), new TextEncoder().encode("junk"));
  await rejects(rollBack(store, { offset: 0 }), { code: "MANIFEST_PARSE" });
  deepEqual(await pointer(store), before);
});

test("rollBack() repairs a pointer that is malformed or gone", async () => {
  const [store] = await series() as [ObjectStore];
  const bad = "errors/cases/current_bad_json/shardy-fixtures/errors/_CURRENT";
  await store.put("_CURRENT", fixtureBytes(bad));
  equal((await rollBack(store, { offset: 1 })).ref, listed[1]!.ref);
  equal((await pointer(store))["manifest_ref"], listed[1]!.ref);
  await store.delete("_CURRENT");
  await rollBack(store, { offset: 2 });
  equal((await pointer(store))["manifest_ref"], listed[2]!.ref);
});

test("rollBack() P2 does not overwrite a publish that came in between", async () => {
  const [inner] = await series() as [ObjectStore];
  let isFirst = true;
  const store = watchedStore(inner, {
    async onRequest<R>({ method, key }: { method: string; key: string }, send: () => Promise<R>) {
      if (method === "put" && key === "_CURRENT" && isFirst) {
        isFirst = false;
        await rollBack(inner, { offset: 0 });
      }
      return await send();
    },
  });
  await rejects(rollBack(store, { offset: 2 }), (error: Error & Record<string, unknown>) => {
    equal(error["code"], "PUBLISH_CONFLICT");
    equal(error["manifestRef"], listed[2]!.ref);
    equal(error["winnerRef"], listed[0]!.ref);
    return error.cause instanceof PreconditionFailedError;
  });
});

test("rollBack() P3 leaves one of the two snapshots when a request fails, and tells which", async () => {
  for (const takesEffect of [false, true]) {
    for (let failing = 0; failing < 6; failing++) {
      const [inner] = await series() as [ObjectStore];
      const store = watchedStore(inner, {
        async onRequest<R>({ index }: { index: number }, send: () => Promise<R>) {
          if (index !== failing) return await send();
          if (takesEffect) await send();
          throw new StoreError("Cannot answer", { url: "x", status: 403 });
        },
      });
      const outcome = await rollBack(store, { offset: 2 }).then(() => "moved", () => "failed");
      const current = (await pointer(inner))["manifest_ref"];
      equal(current, listed[outcome === "moved" ? 2 : 1]!.ref, `request ${failing}`);
    }
  }
});
