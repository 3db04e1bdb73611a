/**
 * A program that the system stops for hours, at some point of a write: it sends nothing meanwhile, not even signs of
 * life, and knows nothing of it when it goes on.
 * @module
 */
import type { Clock, ObjectStore } from "../../mod.ts";
import type { SimulatedClientStore } from "../../src/testing/simulated_store.ts";

/** Where a write is stopped: when its shards are there, or when its manifest is. */
export type SuspensionPoint = "built" | "manifest";

/** What the writer is given. */
export interface SuspendedWriter {
  readonly store: ObjectStore;
  readonly clock: Clock;
  /** Given where the shards are there. */
  readonly validate?: () => Promise<void>;
}

/** A store and a clock for a writer that is stopped once. */
export function suspendedWriter(
  client: SimulatedClientStore,
  { point, delayMs }: { point: SuspensionPoint; delayMs: number },
): SuspendedWriter {
  let isStopped = false;
  const stop = async (): Promise<void> => {
    isStopped = true;
    await client.clock.sleep(delayMs);
    isStopped = false;
  };
  const clock: Clock = {
    ...client.clock,
    every: (intervalMs, action) => client.clock.every(intervalMs, () => isStopped || action()),
  };
  if (point === "built") return { store: client, clock, validate: stop };
  return {
    clock,
    store: {
      ...delegated(client),
      put: async (key, bytes, options) => {
        const version = await client.put(key, bytes, options);
        if (key.startsWith("manifests/")) await stop();
        return version;
      },
    },
  };
}

/** The client as an object of which single methods can be replaced. */
export function delegated(client: SimulatedClientStore): Omit<SimulatedClientStore, "name" | "isCrashed" | "crash"> {
  return {
    url: client.url,
    clock: client.clock,
    get: client.get.bind(client),
    getRanges: client.getRanges.bind(client),
    put: client.put.bind(client),
    upload: client.upload.bind(client),
    list: client.list.bind(client),
    listFolders: client.listFolders.bind(client),
    delete: client.delete.bind(client),
    deletePrefix: client.deletePrefix.bind(client),
  };
}
