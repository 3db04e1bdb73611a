import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { storeContract } from "../contracts/store_contract.ts";

storeContract("memoryStore()", () => {
  return Promise.resolve({ store: memoryStore("contract"), cleanUp: () => Promise.resolve() });
});

test("memoryStore() shows its name and shares nothing with its namesakes", async () => {
  const [first, second] = [memoryStore("cities"), memoryStore("cities")];
  equal(first.url, "memory:///cities");
  await first.put("a", new Uint8Array(1));
  for await (const page of second.list("")) deepEqual(page, []);
});

test("memoryStore() is the same in every detail in two runs", async () => {
  const runs = await Promise.all([0, 1].map(async () => {
    const store = memoryStore();
    const versions = [];
    for (const key of ["b", "a", "b"]) versions.push(await store.put(key, new TextEncoder().encode(key)));
    const pages = [];
    for await (const page of store.list("")) pages.push(page);
    return { versions, pages };
  }));
  deepEqual(runs[0], runs[1]);
});
