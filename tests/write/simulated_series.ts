/**
 * One series of snapshots that writers, readers and people who roll back share in a simulation, and what must hold.
 *
 * All rows of a snapshot have one value, its tag, so that a mixture or a missing row shows in the values. The pointer
 * is judged by its JSON.
 * @module
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import {
  hashSharding,
  memoryStore,
  type ObjectStore,
  openSnapshot,
  rollBack,
  type SnapshotReader,
  writeSnapshot,
} from "../../mod.ts";
import { createDigest } from "../../src/bytes/fast_digest.ts";
import { PublishConflictError, ReaderStateError, ShardyfusionError } from "../../src/errors.ts";
import type { ManifestStore } from "../../src/snapshots/manifest_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import type { ScenarioActor, ScenarioInvariant } from "../../src/testing/scenario.ts";
import type { SimulatedClientStore } from "../../src/testing/simulated_store.ts";

const KEYS = Array.from({ length: 24 }, (_, key) => key);
const sharding = hashSharding({ shards: 2 });
const decoder = new TextDecoder();

/** A pointer as it was once stored. */
interface PointerState {
  readonly client: string;
  readonly ref: string;
  readonly generation: number;
  readonly previous: readonly string[];
}

/** Makes the manifest store of a writer; the tests put broken ones in its place. */
export type ManifestStoreOf = (client: SimulatedClientStore) => ManifestStore | undefined;

/** The series, and what was seen of it. */
export class SimulatedSeries {
  readonly store: ObjectStore = memoryStore();
  /** How many snapshots were published, lost against others, refreshed to, rolled back to. */
  readonly counts = { published: 0, lost: 0, failed: 0, refreshed: 0, rolledBack: 0, crashed: 0 };
  readonly #pointers: PointerState[] = [];
  readonly #published: string[] = [];
  readonly #lost: { readonly client: string; readonly ref: string }[] = [];
  /** What a program saw that it must not see: an assertion in an actor would count as its own failure. */
  readonly #violations: unknown[] = [];
  #pointerEtag: string | null = null;

  /** The first snapshot. */
  async begin(): Promise<void> {
    await warmUp();
    await writeSnapshot(KEYS, { store: this.store, sharding, key: (key) => key, value: () => "old", clock: clock() });
    await this.#notePointer("nobody");
  }

  /** Publishes `rounds` snapshots, one after the other. */
  writer(rounds: number, manifestStoreOf: ManifestStoreOf = () => undefined): ScenarioActor {
    return (client, { name, random }) =>
      this.#guarded(client, async () => {
        for (let round = 0; round < rounds; round++) {
          await client.clock.sleep(random.below(2000));
          await this.#write(client, { tag: `${name}.${round}`, manifestStore: manifestStoreOf(client) });
        }
      });
  }

  /** Opens a reader, looks up all keys, refreshes, and so on; opens another one when the store fails. */
  reader(rounds: number): ScenarioActor {
    return (client, { random }) =>
      this.#guarded(client, async () => {
        const access = random.chance(0.5) ? "memory" : "range";
        let reader: SnapshotReader | null = null;
        for (let round = 0; round < rounds && !client.isCrashed; round++) {
          try {
            reader ??= await openSnapshot({ store: client, access, clock: client.clock });
            const before: number = reader.info.generation!;
            if (round > 0 && (await reader.refresh())) this.counts.refreshed++;
            ok(reader.info.generation! >= before, "P4: a refresh went back");
            await this.#requireOneTag(reader);
            const generation: number = reader.info.generation!;
            const { ref } = this.#pointers.find((pointer) => pointer.generation === generation)!;
            equal(reader.info.manifestRef, ref, "P4: the reader reads what its generation named");
          } catch (error) {
            requireStoreFailure(error);
            await reader?.close();
            reader = null;
          }
          await client.clock.sleep(random.below(1500));
        }
        await reader?.close();
      });
  }

  /** Goes back to earlier snapshots. */
  rollsBack(rounds: number): ScenarioActor {
    return (client, { random }) =>
      this.#guarded(client, async () => {
        for (let round = 0; round < rounds; round++) {
          await client.clock.sleep(random.below(4000));
          try {
            const { ref } = await rollBack(client, { offset: random.below(3), clock: client.clock });
            ok(this.#pointers.some((pointer) => pointer.ref === ref), "P2: it was the current one");
            this.counts.rolledBack++;
          } catch (error) {
            // The history may be too short as yet.
            if (!(error instanceof ReaderStateError)) requireStoreFailure(error);
          }
        }
      });
  }

  /** What must hold after each request. */
  invariants(): Record<string, ScenarioInvariant> {
    return {
      "P1 P3 what the pointer names is whole": async ({ event }) => {
        if (event === null || event.kind === "DELETE" || event.key === "_CURRENT" && event.kind === "PUT") {
          await this.#requireWhole();
        }
      },
      "P2 every pointer follows the one before it": async ({ event }) => {
        if (event?.key === "_CURRENT" && event.kind === "PUT") await this.#notePointer(event.client);
      },
      "P2 winners and losers know": ({ event }) => {
        if (event !== null) return;
        for (const ref of this.#published) ok(this.#pointers.some((pointer) => pointer.ref === ref), `${ref} won`);
        for (const { client, ref } of this.#lost) {
          ok(!this.#pointers.some((pointer) => pointer.ref === ref && pointer.client === client), `${ref} lost`);
        }
      },
      "P1 P4 what readers see": () => {
        if (this.#violations.length > 0) throw this.#violations[0];
      },
      "P6 the next run works": async ({ event }) => {
        if (event !== null) return;
        await writeSnapshot(KEYS, {
          store: this.store,
          sharding,
          key: (key) => key,
          value: () => "next",
          clock: clock(),
        });
        equal(await this.#requireWhole(), "next");
      },
    };
  }

  async #write(
    client: SimulatedClientStore,
    { tag, manifestStore }: { tag: string; manifestStore: ManifestStore | undefined },
  ): Promise<void> {
    const options = { store: client, sharding, key: (key: number) => key, value: () => tag, clock: client.clock };
    try {
      const { manifestRef } = await writeSnapshot(KEYS, manifestStore ? { ...options, manifestStore } : options);
      this.#published.push(manifestRef);
      this.counts.published++;
    } catch (error) {
      if (error instanceof PublishConflictError) {
        this.#lost.push({ client: client.name, ref: error.manifestRef });
        this.counts.lost++;
        return;
      }
      requireStoreFailure(error);
      this.counts.failed++;
    }
  }

  /** Keeps what an actor must not see; what happens to a crashed one does not matter. */
  async #guarded(client: SimulatedClientStore, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!client.isCrashed || !(error instanceof ShardyfusionError)) this.#violations.push(error);
    }
    if (client.isCrashed) this.counts.crashed++;
  }

  async #notePointer(client: string): Promise<void> {
    const object = await this.store.get("_CURRENT");
    if (object.etag === this.#pointerEtag) return;
    this.#pointerEtag = object.etag;
    const fields = JSON.parse(decoder.decode(await object.bytes()));
    const pointer: PointerState = { ...fields, client, ref: fields.manifest_ref };
    const before = this.#pointers.at(-1);
    this.#pointers.push(pointer);
    if (before === undefined) return;
    const { ref, generation, previous } = pointer;
    equal(generation, before.generation + 1, `generation of "${ref}" after "${before.ref}"`);
    if (ref !== before.ref) equal(previous[0], before.ref, "an update was lost");
  }

  async #requireWhole(): Promise<string> {
    await using reader = await openSnapshot({ store: this.store, access: "memory" });
    return await this.#requireOneTag(reader);
  }

  async #requireOneTag(reader: SnapshotReader): Promise<string> {
    const values = await reader.getMany(KEYS);
    const tags = new Set(KEYS.map((key) => decoder.decode(values.get(key) ?? new Uint8Array())));
    deepEqual([tags.size, tags.has("")], [1, false], "P1: all rows of one snapshot");
    return [...tags][0]!;
  }
}

/**
 * Compiling WebAssembly takes real time, in which the simulation might go on without the shard that waits for it; so
 * there are as many hashers as programs can need at once before it begins.
 */
async function warmUp(): Promise<void> {
  for (const digest of await Promise.all(Array.from({ length: 16 }, createDigest))) digest.hex();
}

function clock(): ManualClock {
  return new ManualClock(Date.UTC(2026, 0, 1) * 1000);
}

/** @throws what is no failure of the store's or of publishing. */
function requireStoreFailure(error: unknown): void {
  const isAllowed = error instanceof ShardyfusionError && /^(STORE|PRECONDITION_FAILED|PUBLISH_\w+)$/.test(error.code);
  if (!isAllowed) throw error;
}
