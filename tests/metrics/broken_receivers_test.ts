// Judge: what the same work does without a receiver.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { hashSharding, memoryStore, openSnapshot, type Tracer, writeSnapshot } from "../../mod.ts";
import { openSnapshot as openAtTheEdge } from "../../src/edge/mod.ts";
import { traced } from "../../src/spans.ts";
import { watchedStore } from "../snapshots/watched_store.ts";
import { scenarios } from "./event_scenarios.ts";

const rows = Array.from({ length: 100 }, (_, id) => ({ id }));
const options = {
  sharding: hashSharding({ shards: 2 }),
  key: (row: { id: number }) => row.id,
  value: (row: { id: number }) => `value ${row.id}`,
};

test("EventSink: receivers that throw disturb nobody", async () => {
  for (const { title, run } of scenarios) {
    let count = 0;
    await run(() => {
      count++;
      throw new Error("a receiver's own");
    });
    ok(count > 0, title);
  }
});

test("EventSink: receivers whose promises reject disturb nobody, and leave no unhandled rejection", async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    for (const { title, run } of scenarios) {
      let count = 0;
      await run(async () => {
        count++;
        await Promise.resolve();
        throw new Error("a receiver's own");
      });
      ok(count > 0, title);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  } finally {
    process.off("unhandledRejection", note);
  }
  deepEqual(unhandled, []);
});

test("EventSink: the reader at the edge tells that it is opened, refreshed and closed, whatever a receiver does", async () => {
  const store = memoryStore();
  await writeSnapshot(rows, { store, ...options });
  const names: string[] = [];
  const onEvent = ({ name }: { readonly name: string }): void => {
    names.push(name);
    throw new Error("a receiver's own");
  };
  const reader = await openAtTheEdge({ store, onEvent });
  ok(await reader.get(1));
  equal(await reader.refresh(), false);
  await reader.close();
  deepEqual(names, ["reader.initialized", "reader.refreshed", "reader.closed"]);
});

/** Ways to be a bad tracer; none of them may change what is done, or how often. */
const brokenTracers: Readonly<Record<string, Tracer>> = {
  "throws at once": () => {
    throw new Error("a tracer's own");
  },
  "rejects without doing the work": () => Promise.reject(new Error("a tracer's own")),
  "gives something else without doing the work": <T>() => Promise.resolve("else" as T),
  "throws after the work has begun": (_span, work) => {
    work(() => {});
    throw new Error("a tracer's own");
  },
  "rejects after the work": async (_span, work) => {
    await work(() => {});
    throw new Error("a tracer's own");
  },
  "gives something else": async <T>(_span: unknown, work: (note: () => void) => Promise<T>) => {
    await work(() => {}).catch(() => {});
    return "else" as T;
  },
  "does the work twice": async (_span, work) => {
    await work(() => {}).catch(() => {});
    return await work(() => {});
  },
  "throws at attributes": (_span, work) =>
    work(() => {
      throw new Error("a tracer's own");
    }),
};

for (const [title, tracer] of Object.entries(brokenTracers)) {
  test(`Tracer: one that ${title} disturbs neither writes nor reads`, async () => {
    const requests = async (given: Tracer | undefined): Promise<string[]> => {
      const log: string[] = [];
      const store = watchedStore(memoryStore("traced"), {
        onRequest({ method, key }, send) {
          log.push(`${method} ${key.replace(/\d{4}-\d\d-[^_]*Z/, "…").replace(/_[0-9a-f]{32}/, "")}`);
          return send();
        },
      });
      const traced = given && { tracer: given };
      const { stats } = await writeSnapshot(rows, { store, ...options, ...traced, runId: "run" });
      equal(stats.rowsWritten, 100);
      await using reader = await openSnapshot({ store, access: "range", ...traced });
      equal(new TextDecoder().decode((await reader.get(7))!), "value 7");
      equal((await reader.getMany([1, 2, 1000])).get(1000), null);
      await rejects(reader.get("seven"), { code: "CONFIG_VALIDATION" });
      return log;
    };
    deepEqual((await requests(tracer)).sort(), (await requests(undefined)).sort());
  });

  test(`traced(): work fails as it does, once, before a tracer that ${title}`, async () => {
    let count = 0;
    const own = new Error("the work's own");
    const failing = traced(tracer, { name: "shardyfusion.get", attributes: {} }, (note) => {
      count++;
      note({ found: false });
      return Promise.reject(own);
    });
    await rejects(failing, (error) => error === own);
    equal(count, 1);
  });
}
