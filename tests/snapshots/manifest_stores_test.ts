// Each manifest store against the contract. Failures are those of the layer below: a store, a connection.
import { manifestStoreContract } from "../contracts/manifest_store_contract.ts";
import { memoryManifestStore } from "../../src/snapshots/memory_manifest_store.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { outage } from "./publishing.ts";
import { watchedStore } from "./watched_store.ts";

manifestStoreContract("memoryManifestStore()", () => {
  // One object is the place; with another clock it is another one.
  const manifests = memoryManifestStore();
  const clocked: ReturnType<typeof memoryManifestStore>[] = [];
  return Promise.resolve({
    open(clock) {
      if (clock !== undefined) clocked.push(memoryManifestStore({ clock }));
      return clocked.at(-1) ?? manifests;
    },
  });
});

manifestStoreContract("objectManifestStore()", () => {
  const store = memoryStore("series");
  let failNext: "before" | "after" | null = null;
  const failing = watchedStore(store, {
    async onRequest<R>({ method, key }: { method: string; key: string }, send: () => Promise<R>): Promise<R> {
      if (method !== "put" || key !== "_CURRENT" || failNext === null) return await send();
      const when = failNext;
      failNext = null;
      if (when === "after") await send();
      throw outage(store.url);
    },
  });
  return Promise.resolve({
    open: (clock) => objectManifestStore(store, { clock }),
    failing: {
      client: objectManifestStore(failing),
      failNext: (when) => {
        failNext = when;
      },
    },
  });
});
