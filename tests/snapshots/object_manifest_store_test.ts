/** Judges: requests that fail before or after they took effect; an own reading of what is stored. */
import { deepEqual, equal, notEqual, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../src/clock.ts";
import { ObjectNotFoundError, PreconditionFailedError, StoreError } from "../../src/errors.ts";
import { readManifest } from "../../src/snapshots/read_manifest.ts";
import { objectManifestReader, objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { manifestOf, outage, publishNext, START } from "./publishing.ts";
import { type WatchedRequest, watchedStore } from "./watched_store.ts";

/** A clock that stands still but for sleeping, which it notes. */
function frozenClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    nowMicros: () => START,
    monotonicMs: () => 0,
    sleep(delayMs, signal) {
      slept.push(delayMs);
      return signal?.aborted ? Promise.reject(signal.reason) : Promise.resolve();
    },
  };
}

async function storedPointer(store: ObjectStore): Promise<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode(await (await store.get("_CURRENT")).bytes()));
}

test("objectManifestStore() publishes the manifest, then the pointer", async () => {
  const inner = memoryStore("x");
  const requests: string[] = [];
  const types: (string | undefined)[] = [];
  const store = watchedStore(inner, {
    onRequest: ({ method, key }, send) => (requests.push(`${method} ${key}`), send()),
  });
  const put = store.put;
  const recording = Object.assign(store, {
    put: (...args: Parameters<typeof put>) => (types.push(args[2]?.contentType), put(...args)),
  });
  const manifests = objectManifestStore(recording, { clock: frozenClock() });
  const published = await manifests.publish(manifestOf("one", inner), null);
  const key = "manifests/2026-01-02T03:04:05.000000Z_run_id=one/manifest";
  deepEqual(published, { ref: `memory:///x/${key}`, runId: "one", publishedAtMicros: START });
  deepEqual(requests, [`put ${key}`, "put _CURRENT"]);
  deepEqual(types, ["application/x-sqlite3", "application/json"]);
  deepEqual(await storedPointer(inner), {
    format_version: 1,
    generation: 1,
    manifest_content_type: "application/x-sqlite3",
    manifest_ref: published.ref,
    previous: [],
    run_id: "one",
    updated_at: "2026-01-02T03:04:05Z",
  });
  equal((await manifests.loadManifest(published.ref)).runId, "one");
});

test("objectManifestStore() P4 raises time stamp and generation even when the clock stands still", async () => {
  const store = memoryStore();
  const manifests = objectManifestStore(store, { clock: frozenClock() });
  const refs: string[] = [];
  let lastMicros = 0;
  for (let run = 0; run < 13; run++) {
    refs.unshift(await publishNext(manifests, store, `run${12 - run}`)); // Names descend, so only time can order.
    const current = await manifests.loadCurrent();
    ok(current!.publishedAtMicros > lastMicros);
    equal(current!.generation, run + 1);
    deepEqual(current!.previous, refs.slice(1, 11));
    lastMicros = current!.publishedAtMicros;
  }
  deepEqual((await manifests.list(100)).map(({ ref }) => ref), refs);
  deepEqual((await manifests.list(2)).map(({ ref }) => ref), refs.slice(0, 2));
});

test("objectManifestStore() P4 goes on above any generation after the Python package published", async () => {
  const store = memoryStore();
  const manifests = objectManifestStore(store);
  await publishNext(manifests, store, "a");
  await publishNext(manifests, store, "b");
  const { generation, previous: _, ...python } = await storedPointer(store);
  equal(generation, 2);
  await store.put("_CURRENT", new TextEncoder().encode(JSON.stringify(python)));
  await publishNext(manifests, store, "c");
  const third = await manifests.loadCurrent();
  ok(third!.generation! > 2 && Number.isSafeInteger(third!.generation));
  deepEqual(third!.previous, [python["manifest_ref"]]);
  await publishNext(manifests, store, "d");
  equal((await manifests.loadCurrent())!.generation, third!.generation! + 1);
});

// Each place where a request can fail, and whether it had taken effect.
for (const takesEffect of [false, true]) {
  for (const isRetryable of [false, true]) {
    const how = `${takesEffect ? "after" : "before"} it took effect, ${isRetryable ? "for a while" : "for good"}`;
    test(`objectManifestStore() P1 P3 leaves the old or the new snapshot when a request fails ${how}`, async () => {
      const published: boolean[] = [];
      for (let failing = 0; failing < 2; failing++) {
        const inner = memoryStore();
        const old = await publishNext(objectManifestStore(inner), inner, "old");
        const store = watchedStore(inner, {
          async onRequest<R>({ index, method }: WatchedRequest, send: () => Promise<R>) {
            const fails = method === "put" && (isRetryable ? index === failing : index >= failing);
            if (!fails) return await send();
            if (takesEffect) await send();
            throw new StoreError("Cannot answer", { url: "x", retryable: isRetryable });
          },
        });
        const manifests = objectManifestStore(store, { clock: frozenClock() });
        const expected = await objectManifestStore(inner).loadCurrent();
        const outcome = await manifests.publish(manifestOf("new", inner), expected).then(() => "ok", (e) => e.code);
        const current = (await objectManifestReader(inner).loadCurrent())!;
        const { runId } = await objectManifestReader(inner).loadManifest(current.ref);
        equal(runId, current.runId);
        equal(current.ref === old, runId === "old");
        equal(outcome === "ok", runId === "new", `request ${failing}: ${outcome}, but current is ${runId}`);
        published.push(runId === "new");
        // Whatever happened, the next run gets through.
        await publishNext(objectManifestStore(inner), inner, "later");
      }
      deepEqual(published, [false, isRetryable || takesEffect]);
    });
  }
}

test("objectManifestStore() P2 lets exactly one of several publishers win", async () => {
  for (const hasPointer of [false, true]) {
    const store = memoryStore();
    if (hasPointer) await publishNext(objectManifestStore(store), store, "old");
    const seen = await objectManifestStore(store).loadCurrent();
    const outcomes = await Promise.allSettled(
      ["a", "b", "c"].map((runId) => objectManifestStore(store).publish(manifestOf(runId, store), seen)),
    );
    equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    const current = (await objectManifestStore(store).loadCurrent())!;
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") {
        equal(outcome.value.ref, current.ref);
        continue;
      }
      equal(outcome.reason.code, "PUBLISH_CONFLICT");
      equal(outcome.reason.winnerRef, current.ref);
      notEqual(outcome.reason.manifestRef, current.ref);
      ok(outcome.reason.cause instanceof PreconditionFailedError);
      ok(await objectManifestStore(store).loadManifest(outcome.reason.manifestRef), "the loser's manifest stays");
    }
  }
});

test("objectManifestStore() P2 notices that the pointer is gone", async () => {
  const store = memoryStore();
  const manifests = objectManifestStore(store);
  await publishNext(manifests, store, "old");
  const seen = await manifests.loadCurrent();
  await store.delete("_CURRENT");
  await rejects(manifests.publish(manifestOf("new", store), seen), { code: "PUBLISH_CONFLICT", winnerRef: null });
});

test("objectManifestStore() P2 knows its own publish when another one followed before the answer", async () => {
  const inner = memoryStore();
  let hasFailed = false;
  const store = watchedStore(inner, {
    async onRequest<R>({ method, key }: WatchedRequest, send: () => Promise<R>) {
      const answer = await send();
      if (method !== "put" || key !== "_CURRENT" || hasFailed) return answer;
      hasFailed = true;
      await publishNext(objectManifestStore(inner), inner, "next");
      throw outage("x");
    },
  });
  const { runId } = await objectManifestStore(store, { clock: frozenClock() }).publish(manifestOf("mine", inner), null);
  equal(runId, "mine");
  equal((await objectManifestStore(inner).loadCurrent())!.runId, "next");
});

test("objectManifestStore() tries the pointer four times and waits 1 and 2 seconds", async () => {
  const inner = memoryStore();
  const clock = frozenClock();
  const pointerPuts: number[] = [];
  const store = watchedStore(inner, {
    onRequest({ method, key, index }, send) {
      if (method !== "put" || key !== "_CURRENT") return send();
      pointerPuts.push(index);
      return Promise.reject(outage("memory:///store/_CURRENT"));
    },
  });
  const manifests = objectManifestStore(store, { clock });
  await rejects(manifests.publish(manifestOf("new", inner), null), (error: Error & Record<string, unknown>) => {
    equal(error["code"], "PUBLISH_CURRENT");
    equal(error["retryable"], true);
    equal(error["manifestRef"], "memory:///store/manifests/2026-01-02T03:04:05.000000Z_run_id=new/manifest");
    ok(error.cause instanceof StoreError);
    return true;
  });
  equal(pointerPuts.length, 4);
  deepEqual(clock.slept, [1000, 2000]);
  const short = frozenClock();
  const once = objectManifestStore(store, { clock: short, requestRetry: { attemptsMax: 1 } });
  await rejects(once.publish(manifestOf("other", inner), null), { code: "PUBLISH_CURRENT" });
  deepEqual([pointerPuts.length, short.slept], [5, []]);
});

test("objectManifestStore() counts a manifest as stored when only the reply was lost", async () => {
  const inner = memoryStore();
  const store = watchedStore(inner);
  const put = store.put;
  // As a store that retries by itself does: the first try arrived.
  store.put = async (...args) => {
    if (args[0].startsWith("manifests/")) await put(...args);
    return await put(...args);
  };
  const { ref } = await objectManifestStore(store).publish(manifestOf("new", inner), null);
  equal((await objectManifestStore(inner).loadCurrent())!.ref, ref);
});

test("objectManifestStore() does not overwrite another manifest of the same name", async () => {
  const store = memoryStore();
  const key = "manifests/2026-01-02T03:04:05.000000Z_run_id=new/manifest";
  await store.put(key, Uint8Array.of(1));
  const manifests = objectManifestStore(store, { clock: frozenClock() });
  await rejects(manifests.publish(manifestOf("new", store), null), (error: Error & { code: string }) => {
    equal(error.code, "PUBLISH_MANIFEST");
    ok(error.cause instanceof PreconditionFailedError);
    return true;
  });
  deepEqual(await (await store.get(key)).bytes(), Uint8Array.of(1));
  equal(await manifests.loadCurrent(), null);
});

test("objectManifestStore() on a store without versions still notices another publisher", async () => {
  const inner = memoryStore();
  const store = watchedStore(inner);
  const get = store.get;
  store.get = async (...args) => Object.assign(await get(...args), { etag: null });
  const manifests = objectManifestStore(store);
  await publishNext(manifests, inner, "a");
  const seen = await manifests.loadCurrent();
  equal(seen!.version, null);
  await publishNext(manifests, inner, "b");
  equal((await manifests.loadCurrent())!.runId, "b");
  await rejects(manifests.publish(manifestOf("c", inner), seen), { code: "PUBLISH_CONFLICT" });
});

test("objectManifestStore() heeds an abort before the pointer moves and leaves no manifest behind", async () => {
  for (const abortAt of [0, 1]) {
    const inner = memoryStore();
    const controller = new AbortController();
    const reason = new Error("enough");
    const store = watchedStore(inner, {
      async onRequest<R>({ method }: WatchedRequest, send: () => Promise<R>) {
        if (method !== "put") return await send();
        if (abortAt === 0) controller.abort(reason);
        const answer = await send();
        controller.abort(reason);
        return answer;
      },
    });
    const publishing = objectManifestStore(store).publish(manifestOf("new", inner), null, {
      signal: controller.signal,
    });
    await rejects(publishing, (error) => error === reason);
    equal(await objectManifestStore(inner).loadCurrent(), null);
    deepEqual(await objectManifestStore(inner).list(10), []);
  }
});

test("objectManifestStore() P1 says that the outcome is unknown when aborted while the pointer moves", async () => {
  const inner = memoryStore();
  const controller = new AbortController();
  const reason = new Error("enough");
  const store = watchedStore(inner, {
    async onRequest<R>({ method, key }: WatchedRequest, send: () => Promise<R>) {
      const answer = await send();
      if (method !== "put" || key !== "_CURRENT") return answer;
      controller.abort(reason);
      throw reason;
    },
  });
  const publishing = objectManifestStore(store).publish(manifestOf("new", inner), null, { signal: controller.signal });
  await rejects(publishing, (error: Error & { code: string }) => {
    equal(error.code, "PUBLISH_CURRENT");
    return error.cause === reason;
  });
});

test("objectManifestStore() keeps pointer and manifests under other names", async () => {
  const store = memoryStore();
  const manifests = objectManifestStore(store, { pointerKey: "LIVE", manifestName: "m.sqlite" });
  const ref = await publishNext(manifests, store, "one");
  ok(ref.endsWith("_run_id=one/m.sqlite"));
  deepEqual((await manifests.list(1)).map((found) => found.ref), [ref]);
  ok(await store.get("LIVE"));
  await rejects(store.get("_CURRENT"), ObjectNotFoundError);
  throws(() => objectManifestStore(store, { manifestName: "a/b" }), {
    code: "CONFIG_VALIDATION",
    path: "manifestName",
  });
  throws(() => objectManifestStore(store, { pointerKey: "" }), { code: "CONFIG_VALIDATION", path: "pointerKey" });
});

test("objectManifestStore() refuses a manifest that nobody could read before it stores anything", async () => {
  const requests: string[] = [];
  const store = watchedStore(memoryStore(), { onRequest: ({ method }, send) => (requests.push(method), send()) });
  const manifests = objectManifestStore(store);
  const wrong = { ...manifestOf("one", store), shardCount: 0 };
  await rejects(manifests.publish(wrong, null), { code: "CONFIG_VALIDATION" });
  deepEqual(requests, []);
});

test("readManifest() reads what objectManifestStore() stored", async () => {
  const store = memoryStore();
  const ref = await publishNext(objectManifestStore(store), store, "one");
  const bytes = await (await store.get(ref.slice(store.url.length + 1))).bytes();
  deepEqual(await readManifest(bytes, ref), manifestOf("one", store));
});
