import { deepEqual, equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { type Fault, faultStore } from "../../src/testing/fault_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { storeContract } from "../contracts/store_contract.ts";

storeContract("faultStore()", () => {
  return Promise.resolve({ store: faultStore(memoryStore("contract")), cleanUp: () => Promise.resolve() });
});

async function work(store: ObjectStore): Promise<void> {
  await store.put("a", new Uint8Array(3));
  await (await store.get("a")).bytes();
  await store.getRanges("a", [{ offset: 0, lengthBytes: 1 }]);
  await using upload = await store.upload("b", { headBytes: 1 });
  await upload.write(new Uint8Array(1));
  await upload.finish(new Uint8Array(1));
  for await (const _page of store.list(""));
  await store.listFolders("");
  await store.copy!("b", "d");
  await store.delete("a");
  await store.deletePrefix("c");
}

const KINDS = ["PUT", "GET", "GET", "UPLOAD", "PART", "FINISH", "LIST", "LIST", "LIST", "COPY", "DELETE", "DELETE"];

test("faultStore() notes every request", async () => {
  const store = faultStore(memoryStore());
  await work(store);
  deepEqual(store.requests.map(({ kind }) => kind), KINDS);
  deepEqual(store.requests[2], { requestNumber: 3, kindNumber: 2, kind: "GET", key: "a" });
  deepEqual([store.count("GET"), store.count("ABORT")], [2, 0]);
});

test("faultStore() fails each request in turn, before and after its effect", async () => {
  for (const moment of ["before", "after"] as const) {
    for (const [index, kind] of KINDS.entries()) {
      const inner = memoryStore();
      const store = faultStore(inner, {
        fault: ({ requestNumber }) => requestNumber === index + 1 ? { moment, retryable: index % 2 === 0 } : null,
      });
      await rejects(() => work(store), { code: "STORE", retryable: index % 2 === 0 });
      deepEqual(
        store.requests.filter(({ kind }) => kind !== "ABORT").map(({ kind }) => kind),
        KINDS.slice(0, index + 1),
      );
      const exists = await inner.get(kind === "FINISH" ? "b" : "a").then(() => true, () => false);
      const isDeletion = kind === "DELETE" && index === 10;
      if (kind === "PUT" || kind === "FINISH") equal(exists, moment === "after");
      if (isDeletion) equal(exists, moment === "before");
    }
  }
});

test("faultStore() throws what it was given", async () => {
  const error = new Error("of the caller's choice");
  const fault: Fault = { moment: "before", error };
  await rejects(() => faultStore(memoryStore(), { fault: () => fault }).get("a"), (thrown) => thrown === error);
});

test("faultStore() delays by the clock that it was given", async () => {
  const clock = new ManualClock();
  await work(faultStore(memoryStore(), { delayMs: 20, clock }));
  deepEqual(clock.sleeps, KINDS.map(() => 20));
});
