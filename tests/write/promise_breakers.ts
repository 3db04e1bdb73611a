/**
 * Programs that are wrong on purpose, as one might write them: the tests of the promises must find out.
 * @module
 */
import { cleanUp } from "../../src/snapshots/clean_up.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { RunRegistry } from "../../src/write/run_registry.ts";
import type { SimulatedClientStore } from "../../src/testing/simulated_store.ts";
import type { BrokenPrograms } from "./promise_scenarios.ts";
import type { CleaningRules } from "./simulated_series.ts";
import { delegated } from "./suspended_writer.ts";

/** A broken program, and the names of the invariants that may notice it first. */
export interface Breaker extends BrokenPrograms {
  readonly invariant: RegExp;
  /** Breaks a part of the library, until it is disposed of. */
  readonly breaks?: () => Disposable;
  /** @default {30} */
  readonly seeds?: number;
}

/** By what they do. */
export const BREAKERS: Readonly<Record<string, Breaker>> = {
  "the last writer wins": {
    manifestStoreOf: (client) =>
      objectManifestStore({
        ...delegated(client),
        put: (key, bytes, options = {}) => {
          const { precondition: _, ...others } = options;
          return client.put(key, bytes, key === "_CURRENT" ? others : options);
        },
      }, { clock: client.clock }),
    invariant: /^P2 /,
  },
  "the pointer is moved before the manifest is stored": {
    manifestStoreOf: (client) => {
      let manifest: (() => Promise<unknown>) | null = null;
      return objectManifestStore({
        ...delegated(client),
        put: async (key, bytes, options) => {
          if (key.startsWith("manifests/")) {
            manifest = () => client.put(key, bytes, options);
            return { etag: null, sizeBytes: bytes.byteLength };
          }
          const version = await client.put(key, bytes, options);
          await manifest?.();
          return version;
        },
      }, { clock: client.clock });
    },
    invariant: /^P1 P3 /,
  },
  "a clean-up removes all runs that a listing shows and the kept manifests do not name": {
    cleanUpOf: async (client, { keep, clock }) => {
      const manifests = objectManifestStore(client, { clock });
      const listed = await manifests.list(keep);
      const current = await manifests.loadCurrent();
      const kept = new Set([...listed.map(({ runId }) => runId), current?.runId]);
      const runs = await client.listFolders("shards/");
      const stale = runs.filter((folder) => !kept.has(folder.replace("run_id=", "")));
      for (const folder of stale) await client.deletePrefix(`shards/${folder}`);
      return stale.length;
    },
    invariant: /^P1 P3 |^P5 /,
  },
  "a clean-up heeds pins and the grace period, but removes what it has planned, whatever happened since": {
    cleanUpOf: async (client, rules) => {
      const { manifests, runs } = await cleanUp(client, { ...rules, dryRun: true });
      for (const { ref } of manifests) await client.delete(ref.slice(client.url.length + 1));
      for (const { prefixes } of runs) for (const prefix of prefixes) await client.deletePrefix(prefix);
      return manifests.length;
    },
    invariant: /^P1 P3 |^P5 /,
  },
  "a clean-up lets the grace period end at once": {
    cleanUpOf: async (client, rules) => (await cleanUp(client, { ...rules, graceMs: 0 })).manifests.length,
    invariant: /^P1 P3 |^P5 /,
  },
  "a clean-up lets the grace period begin with publishing": {
    cleanUpOf: (client, rules) => cleanUpSeeing(client, rules, { previous: [] }),
    invariant: /^P5 nothing /,
  },
  "a clean-up takes a snapshot as replaced when its successor was published, although that was rolled back to": {
    cleanUpOf: (client, rules) => cleanUpSeeing(client, rules, { previous: null }),
    invariant: /^P5 nothing /,
  },
  "a writer that was suspended does not look whether its shards are still there": {
    breaks: () => replaced(RunRegistry.prototype, "hasLapsed", () => Promise.resolve(false)),
    invariant: /^P1 P3 |^P5 /,
    seeds: 100,
  },
};

function replaced<T extends object, K extends keyof T>(owner: T, name: K, value: T[K]): Disposable {
  const original = owner[name];
  owner[name] = value;
  return { [Symbol.dispose]: () => void (owner[name] = original) };
}

/** Cleans up as if the pointer had other fields. */
async function cleanUpSeeing(client: SimulatedClientStore, rules: CleaningRules, fields: object): Promise<number> {
  const { manifests } = await cleanUp({
    ...delegated(client),
    get: async (key, options) => {
      const object = await client.get(key, options);
      if (key !== "_CURRENT") return object;
      const pointer = { ...JSON.parse(new TextDecoder().decode(await object.bytes())), ...fields };
      const bytes = new TextEncoder().encode(JSON.stringify(pointer));
      return {
        etag: object.etag,
        sizeBytes: bytes.length,
        body: new Response(bytes).body!,
        bytes: () => Promise.resolve(bytes),
      };
    },
  }, { ...rules, preconditions: "assume" });
  return manifests.length;
}
