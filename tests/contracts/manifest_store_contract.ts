// What every manifest store must do: publish, fence, go back, forget; judged by a model and by other clients.
import { deepEqual, equal, notEqual, ok, rejects } from "node:assert/strict";
import { after, test } from "node:test";
import type { JsonObject } from "../../src/bytes/python_json.ts";
import type { Clock } from "../../src/clock.ts";
import type { Manifest, ManifestRef } from "../../src/snapshots/manifest.ts";
import type { CurrentPointer, ManifestStore } from "../../src/snapshots/manifest_store.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { manifestOf, START } from "../snapshots/publishing.ts";

/** Where the manifests of one test lie. */
export interface ManifestPlace {
  /** A client of its own. */
  open(clock?: Clock): ManifestStore;
  /** A client whose next move of the pointer meets a failure, before or after it took effect. */
  readonly failing?: { readonly client: ManifestStore; failNext(when: "before" | "after"): void };
}

/** What differs between stores. */
export interface ManifestContractOptions {
  /** Why the tests cannot run here; they say so. */
  readonly leaveOut?: string | null;
  /** After the last test. */
  readonly end?: () => Promise<void>;
}

const SEEDS = globalThis.process?.env["SHARDYFUSION_SOAK"] === "1" ? 200 : 6;
const STEPS = 40;
const URL = "memory:///series";
const MISSING = `${URL}/manifests/2026-01-02T03:04:05.000000Z_run_id=none/manifest`;

/** A manifest with all that manifests can have, which tells runs apart. */
export function fullManifest(runId: string, number: number): Manifest {
  return {
    ...manifestOf(runId, { url: URL }),
    createdAtMicros: START + number * 1_000_001,
    shardCount: 3,
    keyEncoding: "utf8",
    routing: {
      strategy: "cel",
      expr: 'region + ""',
      columns: { region: "string" },
      routingValues: ["é\u{1f600}", "us", ""],
    },
    custom: { "mine": [1, 0.1, -2.5e-7, true, null, "\u2028"], "shardyfusion": { "format_version": 1 } },
    shards: [0, 2].map((shardId) => ({
      shardId,
      dbUrl: `${URL}/shards/run_id=${runId}/db=${shardId}/attempt=00`,
      attempt: shardId,
      rowCount: 2_000_000_000 + number,
      dbBytes: 2 ** 45 + number,
      minKey: shardId === 0 ? 9_007_199_254_740_993n : null,
      maxKey: shardId === 0 ? 9_223_372_036_854_775_807n : 'k"é\u{1f600}\\',
      checkpointId: shardId === 0 ? null : "0123456789abcdef0123456789abcdef",
      writerInfo: { "attempt": shardId, "duration_ms": 12, "shardyfusion": { "xxh3_64": "00ff" } },
    })),
  };
}

/** Registers the tests; `label` is the symbol tested. */
export function manifestStoreContract(
  label: string,
  makePlace: () => Promise<ManifestPlace>,
  { leaveOut = null, end }: ManifestContractOptions = {},
): void {
  function testAt(name: string, body: (place: ManifestPlace) => Promise<void>): void {
    test(`${label} ${name}`, async (t) => {
      if (leaveOut !== null) {
        console.log(`LEFT OUT: ${label}, as ${leaveOut}`);
        return t.skip(leaveOut);
      }
      await body(await makePlace());
    });
  }
  publishTests(testAt);
  fenceTests(testAt);
  modelTests(testAt);
  if (end !== undefined) after(end);
}

type TestAt = (name: string, body: (place: ManifestPlace) => Promise<void>) => void;

function publishTests(testAt: TestAt): void {
  testAt("has nothing at first", async ({ open }) => {
    equal(await open().loadCurrent(), null);
    deepEqual(await open().list(10), []);
    await rejects(open().loadManifest(MISSING), { code: "OBJECT_NOT_FOUND" });
    await rejects(open().setCurrent(MISSING, null), { code: "OBJECT_NOT_FOUND" });
    equal(await open().loadCurrent(), null);
  });

  testAt("gives back to every client what was published", async ({ open }) => {
    const manifest = fullManifest("one", 1);
    const { ref, runId, publishedAtMicros } = await open().publish(manifest, null);
    equal(runId, "one");
    const current = await open().loadCurrent();
    deepEqual([current!.ref, current!.runId], [ref, "one"]);
    ok(current!.publishedAtMicros >= publishedAtMicros);
    deepEqual(current!.previous, []);
    deepEqual(await loaded(open(), ref), manifest);
    const empty = { ...manifestOf("empty", { url: URL }), createdAtMicros: START + 5_000_000 };
    const next = await open().publish(empty, current);
    deepEqual(await loaded(open(), next.ref), empty);
    deepEqual((await open().list(10)).map(({ ref }) => ref), [next.ref, ref]);
    deepEqual((await open().list(1)).map(({ runId }) => runId), ["empty"]);
  });

  testAt("P4 raises the pointer's time even when the clock stands still", async ({ open }) => {
    const clock = { nowMicros: () => START, monotonicMs: () => 0, sleep: () => Promise.resolve() };
    const manifests = open(clock);
    const refs: string[] = [];
    let seen: CurrentPointer | null = null;
    for (let number = 0; number < 13; number++) {
      const { ref } = await manifests.publish(fullManifest(`run${number}`, number), seen);
      const current: CurrentPointer = (await manifests.loadCurrent())!;
      ok(seen === null || current.publishedAtMicros > seen.publishedAtMicros);
      deepEqual(current.previous, refs.slice(0, 10));
      refs.unshift(ref);
      seen = current;
    }
    deepEqual((await manifests.list(100)).map(({ ref }) => ref), refs);
    const back = await manifests.setCurrent(refs[5]!, seen);
    ok(back.publishedAtMicros > seen!.publishedAtMicros);
    equal((await open().loadCurrent())!.ref, refs[5]);
  });

  testAt("gives the known pointer back while it has not changed", async ({ open }) => {
    const manifests = open();
    await manifests.publish(fullManifest("one", 1), null);
    const known = (await manifests.loadCurrent())!;
    equal(await manifests.loadCurrent({ known }), known);
    await manifests.publish(fullManifest("two", 2), known);
    equal((await manifests.loadCurrent({ known }))!.runId, "two");
  });

  testAt("refuses a manifest that nobody could read before it stores anything", async ({ open }) => {
    await rejects(open().publish({ ...fullManifest("one", 1), shardCount: 0 }, null), { code: "CONFIG_VALIDATION" });
    await rejects(open().publish(fullManifest("a/b", 1), null), { code: "CONFIG_VALIDATION" });
    deepEqual(await open().list(10), []);
  });

  testAt("heeds an abort and leaves nothing behind", async ({ open }) => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    const isReason = (error: unknown): boolean => error === reason;
    await rejects(open().publish(fullManifest("one", 1), null, { signal }), isReason);
    await rejects(open().loadCurrent({ signal }), isReason);
    await rejects(open().list(1, { signal }), isReason);
    await rejects(open().setCurrent(MISSING, null, { signal }), isReason);
    deepEqual(await open().list(10), []);
    equal(await open().loadCurrent(), null);
  });
}

function fenceTests(testAt: TestAt): void {
  testAt("P2 lets exactly one of several publishers win", async ({ open }) => {
    let seen: CurrentPointer | null = null;
    for (let round = 0; round < 3; round++) {
      const expected: CurrentPointer | null = seen;
      const outcomes: PromiseSettledResult<ManifestRef>[] = await Promise.allSettled(
        [0, 1, 2, 3].map((one) => open().publish(fullManifest(`run${round}${one}`, 10 * round + one), expected)),
      );
      equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
      seen = (await open().loadCurrent())!;
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") {
          equal(outcome.value.ref, seen.ref);
          continue;
        }
        equal(outcome.reason.code, "PUBLISH_CONFLICT");
        equal(outcome.reason.winnerRef, seen.ref);
        notEqual(outcome.reason.manifestRef, seen.ref);
        ok(await open().loadManifest(outcome.reason.manifestRef), "the loser's manifest stays");
      }
    }
    equal((await open().list(100)).length, 12);
  });

  testAt("P2 refuses roll backs over a pointer that has moved", async ({ open }) => {
    const first = await open().publish(fullManifest("one", 1), null);
    const seen = await open().loadCurrent();
    const second = await open().publish(fullManifest("two", 2), seen);
    const conflict = { code: "PUBLISH_CONFLICT", manifestRef: first.ref, winnerRef: second.ref };
    await rejects(open().setCurrent(first.ref, seen), conflict);
    await rejects(open().setCurrent(first.ref, null), conflict);
    const back = await open().setCurrent(first.ref, await open().loadCurrent());
    deepEqual([back.ref, back.previous], [first.ref, [second.ref]]);
    equal((await open().loadCurrent())!.ref, first.ref);
    // It names what it named before, but it has been moved.
    await rejects(open().publish(fullManifest("three", 3), seen), { code: "PUBLISH_CONFLICT", winnerRef: first.ref });
    equal((await open().loadCurrent())!.ref, first.ref);
  });

  testAt("forgets manifests unless they, or the pointer, began to count", async ({ open }) => {
    const manifests = open();
    if (manifests.forget === undefined) return;
    const refs: string[] = [];
    for (const number of [1, 2, 3, 4]) {
      refs.push((await manifests.publish(fullManifest(`run${number}`, number), await manifests.loadCurrent())).ref);
    }
    const seen = await manifests.loadCurrent();
    await rejects(manifests.forget([refs[0]!, refs[3]!], seen), { code: "READER_STATE" });
    await open().setCurrent(refs[1]!, seen);
    await rejects(manifests.forget([refs[0]!], seen), { code: "PUBLISH_CONFLICT" });
    equal((await open().list(10)).length, 4, "all or none");
    await manifests.forget([refs[0]!, refs[2]!, MISSING], await manifests.loadCurrent());
    deepEqual((await open().list(10)).map(({ ref }) => ref), [refs[3], refs[1]]);
    await rejects(open().loadManifest(refs[0]!), { code: "OBJECT_NOT_FOUND" });
    await rejects(open().setCurrent(refs[2]!, await open().loadCurrent()), { code: "OBJECT_NOT_FOUND" });
    deepEqual(await loaded(open(), refs[1]!), fullManifest("run2", 2));
  });
}

/** Clients with views of different ages, and what must come of what they do. */
function modelTests(testAt: TestAt): void {
  for (let seed = 1; seed <= SEEDS; seed++) {
    testAt(`P1 P2 does what a model says, whatever replies are lost (seed ${seed})`, async (place) => {
      const random = new SeededRandom(seed);
      const stored = new Map<string, Manifest>();
      const before: string[] = [];
      let current: { ref: string; move: number } | null = null;
      let moves = 0;
      const views: { pointer: CurrentPointer | null; move: number }[] = [0, 1, 2].map(() => ({
        pointer: null,
        move: 0,
      }));
      function move(ref: string): void {
        for (const gone of [current?.ref, ref]) if (before.includes(gone!)) before.splice(before.indexOf(gone!), 1);
        if (current !== null && current.ref !== ref) before.unshift(current.ref);
        current = { ref, move: ++moves };
      }
      for (let step = 0; step < STEPS; step++) {
        const view = views[random.below(views.length)]!;
        if (random.chance(0.6)) Object.assign(view, { pointer: await place.open().loadCurrent(), move: moves });
        const fails = place.failing !== undefined && random.chance(0.4);
        const client: ManifestStore = fails ? place.failing!.client : place.open();
        if (fails) place.failing!.failNext(random.chance(0.5) ? "before" : "after");
        const isFresh = view.move === moves;
        const refs = [...stored.keys()];
        const target = refs[random.below(refs.length + 1)];
        const action = random.below(4);
        if (action === 3 && client.forget !== undefined && target !== undefined && target !== view.pointer?.ref) {
          const outcome = await client.forget([target], view.pointer).then(() => "ok", (error) => error.code);
          equal(outcome, isFresh ? "ok" : "PUBLISH_CONFLICT");
          if (isFresh) stored.delete(target);
        } else if (action === 2 && target !== undefined) {
          const outcome = await client.setCurrent(target, view.pointer).then(() => "ok", (error) => error.code);
          // Who finds that another one went back there already may be content.
          const isThere = outcome === "ok" && target === (current as { ref: string } | null)?.ref;
          if (isFresh || !isThere) equal(outcome, isFresh ? "ok" : "PUBLISH_CONFLICT");
          if (isFresh) move(target);
        } else {
          const manifest = fullManifest(`run${step}`, step);
          const outcome = await client.publish(manifest, view.pointer).then(({ ref }) => ({ ref, code: "ok" }), (e) => {
            return { ref: e.manifestRef as string, code: e.code as string };
          });
          equal(outcome.code, isFresh ? "ok" : "PUBLISH_CONFLICT");
          stored.set(outcome.ref, manifest);
          if (isFresh) move(outcome.ref);
        }
        const now = await place.open().loadCurrent();
        equal(now?.ref, (current as { ref: string } | null)?.ref, `step ${step}`);
        if (now !== null) deepEqual(now.previous, before.slice(0, 10), `step ${step}`);
      }
      const listed = await place.open().list(1000);
      deepEqual(listed.map(({ ref }) => ref).sort(), [...stored.keys()].sort());
      for (const [ref, manifest] of stored) deepEqual(await loaded(place.open(), ref), manifest);
    });
  }
}

/** A manifest without what the store adds: the pointer that it was published over. */
async function loaded(manifests: ManifestStore, ref: string): Promise<Manifest> {
  const manifest = await manifests.loadManifest(ref);
  const own = manifest.custom["shardyfusion"];
  if (own === undefined) return manifest;
  const { replaces: _, ...others } = own as JsonObject;
  return { ...manifest, custom: { ...manifest.custom, "shardyfusion": others } };
}
