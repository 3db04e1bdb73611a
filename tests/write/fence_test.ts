// Judge: two writers whose steps are told apart by hand, and the pointer as it lies in the store.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { hashSharding, history, memoryStore, type ObjectStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { type FaultPlan, faultStore } from "../../src/testing/fault_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";

const rows = Array.from({ length: 300 }, (_, index) => index);

function options(store: ObjectStore, value: string) {
  return { store, sharding: hashSharding({ shards: 3 }), key: (row: number) => row, value: () => value };
}

function publish(store: ObjectStore, value: string) {
  return writeSnapshot(rows, options(store, value));
}

/** Rows of a source that publishes something else before it gives the last one. */
async function* interrupted(between: () => Promise<unknown>): AsyncGenerator<number> {
  yield* rows.slice(1);
  await between();
  yield 0;
}

async function pointerOf(store: ObjectStore): Promise<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode(await (await store.get("_CURRENT")).bytes()));
}

/** The one value that all rows of the current snapshot have. */
async function visible(store: ObjectStore): Promise<string> {
  await using reader = await openSnapshot({ store });
  const values = await reader.getMany(rows);
  const texts = new Set([...values.values()].map((value) => new TextDecoder().decode(value!)));
  equal(texts.size, 1);
  return [...texts][0]!;
}

test('P2 writeSnapshot(): with fence "publish" what is published while rows are read is no conflict', async () => {
  const store = memoryStore();
  await publish(store, "first");
  const source = interrupted(() => publish(store, "other"));
  const { replaced } = await writeSnapshot(source, { ...options(store, "ours"), fence: "publish" });
  deepEqual(replaced, []);
  equal(await visible(store), "ours");
});

for (const isFirst of [true, false]) {
  const place = isFirst ? "an empty place" : "a series";
  test(`P2 writeSnapshot(): with fence "run" what is published while rows are read is a conflict, in ${place}`, async () => {
    const store = memoryStore();
    if (!isFirst) await publish(store, "first");
    let winnerRef = "";
    const source = interrupted(async () => winnerRef = (await publish(store, "other")).manifestRef);
    let error: { code?: string; winnerRef?: string; manifestRef?: string } = {};
    await writeSnapshot(source, { ...options(store, "ours"), fence: "run" }).catch((caught) => error = caught);
    equal(error.code, "PUBLISH_CONFLICT");
    equal(error.winnerRef, winnerRef);
    equal(await visible(store), "other");
    ok((await history(store)).some(({ ref }) => ref === error.manifestRef), "it stays for a roll back");
  });

  test(`P2 writeSnapshot(): onConflict "replace" publishes over the others and names them, in ${place}`, async () => {
    const store = memoryStore();
    const before = isFirst ? [] : [(await publish(store, "first")).manifestRef];
    const others: string[] = [];
    const source = interrupted(async () => {
      for (const value of ["other", "another"]) others.push((await publish(store, value)).manifestRef);
    });
    const written = await writeSnapshot(source, { ...options(store, "ours"), fence: "run", onConflict: "replace" });
    equal(await visible(store), "ours");
    deepEqual(written.replaced, others);
    const pointer = await pointerOf(store);
    equal(pointer["manifest_ref"], written.manifestRef);
    equal(pointer["run_id"], written.runId);
    equal(pointer["generation"], before.length + 3);
    deepEqual(pointer["previous"], [...others].reverse().concat(before));
  });
}

test("P2 writeSnapshot(): a reader goes along with what replaced another one", async () => {
  const store = memoryStore();
  await publish(store, "first");
  await using reader = await openSnapshot({ store });
  const source = interrupted(async () => {
    await publish(store, "other");
    equal(await reader.refresh(), true);
  });
  await writeSnapshot(source, { ...options(store, "ours"), fence: "run", onConflict: "replace" });
  equal(await reader.refresh(), true);
  equal(new TextDecoder().decode((await reader.get(5))!), "ours");
});

test('P2 writeSnapshot(): onConflict "replace" gives up when others are always faster', async () => {
  const inner = memoryStore();
  let interruptions = 0;
  const store = memoryStoreWith(inner, async () => {
    interruptions++;
    await publish(inner, `other ${interruptions}`);
  });
  let error: { code?: string; manifestRef?: string } = {};
  await writeSnapshot(rows, { ...options(store, "ours"), onConflict: "replace" }).catch((caught) => error = caught);
  equal(error.code, "PUBLISH_CONFLICT");
  equal(interruptions, 11);
  equal(await visible(inner), "other 11");
  ok((await history(inner, { limit: 20 })).some(({ ref }) => ref === error.manifestRef), "it stays for a roll back");
});

/** A store where something happens before each attempt to move the pointer. */
function memoryStoreWith(inner: ObjectStore, beforeMove: () => Promise<void>): ObjectStore {
  const store = faultStore(inner);
  const put = store.put.bind(store);
  store.put = async (key, bytes, write) => {
    if (key === "_CURRENT") await beforeMove();
    return await put(key, bytes, write);
  };
  return store;
}

test('P2 P3 writeSnapshot(): whichever request of onConflict "replace" fails, somebody\'s whole snapshot is current', async () => {
  let replacements = 0;
  for (const moment of ["before", "after"] as const) {
    for (let failing = 1;; failing++) {
      const inner = memoryStore();
      await publish(inner, "first");
      const fault: FaultPlan["fault"] = ({ requestNumber }) => requestNumber === failing ? { moment } : null;
      const store = faultStore(inner, { fault });
      const source = interrupted(() => publish(inner, "other"));
      let error: { code?: string } | undefined;
      const clock = new ManualClock(Date.UTC(2027, 0, 1) * 1000);
      const written = await writeSnapshot(source, {
        ...options(store, "ours"),
        fence: "run",
        onConflict: "replace",
        clock,
      }).catch((caught) => void (error = caught));
      const seen = await visible(inner);
      const label = `request ${failing} failed ${moment}: ${error}`;
      if (written !== undefined) {
        equal(seen, "ours", label);
        equal(written.replaced.length, 1, label);
        replacements++;
      } else {
        ok(["other", "ours", "first"].includes(seen), label);
        ok(seen !== "ours" || error!.code === "PUBLISH_CURRENT", label);
      }
      await publish(inner, "next");
      equal(await visible(inner), "next", label);
      if (store.requests.length < failing) break;
    }
  }
  ok(replacements > 5, `${replacements} writes replaced the other one`);
});

test("P3 writeSnapshot(): an abort while replacing leaves the shards of what is stored", async () => {
  const inner = memoryStore();
  const abort = new AbortController();
  let moves = 0;
  const store = memoryStoreWith(inner, async () => {
    moves++;
    await publish(inner, "other");
    abort.abort(new Error("enough"));
  });
  let error: { code?: string; manifestRef?: string } = {};
  await writeSnapshot(rows, { ...options(store, "ours"), onConflict: "replace", signal: abort.signal })
    .catch((caught) => error = caught);
  equal(moves, 1);
  equal(error.code, "PUBLISH_CURRENT");
  await using reader = await openSnapshot({ store: inner, pin: error.manifestRef! });
  equal(new TextDecoder().decode((await reader.get(5))!), "ours");
  equal(await visible(inner), "other");
});
