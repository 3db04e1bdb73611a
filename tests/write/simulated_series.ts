/**
 * One series of snapshots that writers, readers, people who roll back or pin, and clean-ups share in a simulation, and
 * what must hold.
 *
 * All rows of a snapshot have one value, its tag, so that a mixture or a missing row shows in the values. The pointer
 * is judged by its JSON, clean-ups by a book (`promise_book.ts`).
 *
 * Everybody comes together once in a round; between two rounds more time passes than leases and grace periods last.
 * @module
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import {
  cleanUp,
  hashSharding,
  history,
  memoryStore,
  type ObjectStore,
  openSnapshot,
  pin,
  rollBack,
  type SnapshotReader,
  unpin,
  writeSnapshot,
} from "../../mod.ts";
import { createDigest } from "../../src/bytes/fast_digest.ts";
import { PublishConflictError, ShardCoverageError, ShardyfusionError } from "../../src/errors.ts";
import type { ManifestStore } from "../../src/snapshots/manifest_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import type { ScenarioActor, ScenarioInvariant } from "../../src/testing/scenario.ts";
import type { SeededRandom } from "../../src/testing/seeded_random.ts";
import type { SimulatedClientStore, SimulatedEvent } from "../../src/testing/simulated_store.ts";
import { PromiseBook } from "./promise_book.ts";
import { suspendedWriter } from "./suspended_writer.ts";

const KEYS = Array.from({ length: 24 }, (_, key) => key);
const sharding = hashSharding({ shards: 2 });
const REUSE_MODES = [false, "copy", "reference"] as const;
const decoder = new TextDecoder();
const START_MS = Date.UTC(2026, 0, 1);
/** Longer than a request can be late, several times. */
const GRACE_MS = 20 * 60_000;
/** Longer than a lease and a grace period. */
const ROUND_MS = 35 * 60_000;
const HOUR_MS = 3_600_000;

/** A pointer as it was once stored. */
interface PointerState {
  readonly client: string;
  readonly ref: string;
  readonly generation: number;
  readonly previous: readonly string[];
}

/** Makes the manifest store of a writer; the tests put broken ones in its place. */
export type ManifestStoreOf = (client: SimulatedClientStore) => ManifestStore | undefined;

/** What a clean-up is told. */
export interface CleaningRules {
  readonly keep: number;
  readonly graceMs: number;
  readonly clock: SimulatedClientStore["clock"];
}

/** Cleans up; the tests put broken ones in its place. @returns How many snapshots and runs went. */
export type CleanUpOf = (client: SimulatedClientStore, rules: CleaningRules) => Promise<number>;

/** The library's own. */
const ownCleanUp: CleanUpOf = async (client, rules) => {
  const { manifests, runs, attempts } = await cleanUp(client, { ...rules, preconditions: "assume" });
  return manifests.length + runs.length + attempts.length;
};

/** The series, and what was seen of it. */
export class SimulatedSeries {
  readonly store: ObjectStore = memoryStore();
  /** How often something happened; `removed` counts snapshots, runs and attempts. */
  readonly counts = {
    published: 0,
    reused: 0,
    lost: 0,
    failed: 0,
    /** Writers that were suspended; those of them that found their shards removed. */
    suspended: 0,
    refused: 0,
    refreshed: 0,
    rolledBack: 0,
    pinned: 0,
    cleaned: 0,
    removed: 0,
    crashed: 0,
  };
  readonly #book = new PromiseBook(this.store, GRACE_MS);
  readonly #pointers: PointerState[] = [];
  readonly #published: string[] = [];
  readonly #lost: { readonly client: string; readonly ref: string }[] = [];
  /** What a program saw that it must not see: an assertion in an actor would count as its own failure. */
  readonly #violations: unknown[] = [];
  #pointerEtag: string | null = null;

  /** Two snapshots of the hours before. */
  async begin(): Promise<void> {
    await warmUp();
    for (const hours of [2, 1]) {
      const clock = new ManualClock((START_MS - hours * HOUR_MS) * 1000);
      await writeSnapshot(KEYS, { store: this.store, sharding, key: (key) => key, value: () => "old", clock });
      await this.#notePointer("nobody", clock.monotonicMs());
      await this.#book.noteManifests();
    }
  }

  /** Publishes a snapshot in each round. */
  writer(rounds: number, manifestStoreOf: ManifestStoreOf = () => undefined): ScenarioActor {
    return (client, { name, random }) =>
      this.#guarded(client, async () => {
        for (let round = 0; round < rounds && !client.isCrashed; round++) {
          await nextRound(client, random, round);
          // Some write what others have written, too, so that there are shards to take over.
          const tag = random.chance(0.4) ? "same" : `${name}.${round}`;
          await this.#write(client, { tag, manifestStore: manifestStoreOf(client), random });
        }
      });
  }

  /** Opens a reader, looks up all keys, refreshes, and so on; opens another one when the store fails. */
  reader(rounds: number): ScenarioActor {
    return (client, { random }) =>
      this.#guarded(client, async () => {
        const access = random.chance(0.5) ? "memory" : "range";
        let reader: SnapshotReader | null = null;
        for (let step = 0; step < 2 * rounds && !client.isCrashed; step++) {
          if (step % 2 === 0) await nextRound(client, random, step / 2);
          else await client.clock.sleep(random.below(1500));
          try {
            reader ??= await openSnapshot({ store: client, access, clock: client.clock });
            const before: number = reader.info.generation!;
            if (step > 0 && (await reader.refresh())) this.counts.refreshed++;
            ok(reader.info.generation! >= before, "P4: a refresh went back");
            await this.#requireOneTag(reader);
            const generation: number = reader.info.generation!;
            const { ref } = this.#pointers.find((pointer) => pointer.generation === generation)!;
            equal(reader.info.manifestRef, ref, "P4: the reader reads what its generation named");
          } catch (error) {
            requireFailure(error, /^OBJECT_NOT_FOUND$/); // The book tells whether it may be missing.
            await reader?.close();
            reader = null;
          }
        }
        await reader?.close();
      });
  }

  /** Goes back to earlier snapshots. */
  rollsBack(rounds: number): ScenarioActor {
    return (client, { random }) =>
      this.#guarded(client, async () => {
        for (let round = 0; round < rounds && !client.isCrashed; round++) {
          await nextRound(client, random, round);
          try {
            const { ref } = await rollBack(client, {
              offset: random.below(4),
              clock: client.clock,
              preconditions: "assume",
            });
            ok(this.#pointers.some((pointer) => pointer.ref === ref), "P2: it was the current one");
            this.counts.rolledBack++;
          } catch (error) {
            // The history may be too short as yet, or a clean-up at work.
            requireFailure(error, /^(READER_STATE|OBJECT_NOT_FOUND)$/);
          }
        }
      });
  }

  /** Pins a snapshot in each round, and lets it go in the next one. */
  pins(rounds: number): ScenarioActor {
    return (client, { random }) =>
      this.#guarded(client, async () => {
        for (let round = 0; round < rounds && !client.isCrashed; round++) {
          await nextRound(client, random, round);
          const end = random.chance(0.5)
            ? Math.floor(client.clock.nowMicros() / 1000) + random.below(2 * ROUND_MS)
            : null;
          try {
            const refs = await history(client, { limit: 4 });
            const { ref } = refs[random.below(refs.length)]!;
            const until = end === null ? null : new Date(end + 60_000);
            const kept = await pin(client, ref, { until, clock: client.clock });
            const held = this.#book.hold({ ref, untilMs: until?.getTime() ?? Infinity });
            this.counts.pinned++;
            if (random.chance(0.3)) continue; // Forgotten.
            await client.clock.sleep(random.chance(0.5) ? random.below(2000) : ROUND_MS);
            const unpinned = random.chance(0.5) ? kept : ref;
            this.#book.release(unpinned === ref ? ref : held);
            await unpin(client, unpinned);
          } catch (error) {
            requireFailure(error, /^READER_STATE$/); // A clean-up was faster.
          }
        }
      });
  }

  /** Cleans up in each round. */
  cleaner(rounds: number, cleanUpOf: CleanUpOf = ownCleanUp): ScenarioActor {
    return (client, { random }) =>
      this.#guarded(client, async () => {
        for (let round = 0; round < rounds && !client.isCrashed; round++) {
          await nextRound(client, random, round);
          try {
            const rules = { keep: 1 + random.below(2), graceMs: GRACE_MS, clock: client.clock };
            this.counts.removed += await cleanUpOf(client, rules);
            this.counts.cleaned++;
          } catch (error) {
            requireFailure(error);
          }
        }
      });
  }

  /** What must hold after each request. */
  invariants(): Record<string, ScenarioInvariant> {
    return {
      "P1 P3 what the pointer names is whole": async ({ event }) => {
        if (event === null || event.key === "_CURRENT" && event.kind === "PUT") await this.#requireWhole();
      },
      "P2 every pointer follows the one before it": async ({ event }) => {
        if (event?.key === "_CURRENT" && event.kind === "PUT") {
          await this.#notePointer(event.client, START_MS + event.timeMs);
        }
      },
      "P2 winners and losers know": ({ event }) => {
        if (event !== null) return;
        for (const ref of this.#published) ok(this.#pointers.some((pointer) => pointer.ref === ref), `${ref} won`);
        for (const { client, ref } of this.#lost) {
          ok(!this.#pointers.some((pointer) => pointer.ref === ref && pointer.client === client), `${ref} lost`);
        }
      },
      "P5 nothing goes that is within reach": async ({ event }) => {
        if (event?.kind === "PUT" && event.key.startsWith("manifests/")) await this.#book.noteManifests();
        else if (event?.kind === "DELETE") await this.#requireReachable(event);
      },
      "P1 P4 what readers see": () => {
        if (this.#violations.length > 0) throw this.#violations[0];
      },
      "P5 P6 the next run works, and the next clean-up removes what nobody needs": async ({ event }) => {
        if (event !== null) return;
        // Long after everybody has gone.
        const clock = new ManualClock((START_MS + 100 * HOUR_MS) * 1000);
        await this.#book.noteManifests();
        await writeSnapshot(KEYS, { store: this.store, sharding, key: (key) => key, value: () => "next", clock });
        equal(await this.#requireWhole(), "next");
        await this.#book.noteManifests();
        const recorded = await this.#book.recordedRuns();
        clock.advance(HOUR_MS);
        await cleanUp(this.store, { keep: 1, graceMs: GRACE_MS, clock });
        equal(await this.#requireWhole(), "next");
        await this.#book.requireNoLeftovers({ nowMs: clock.monotonicMs(), recorded });
      },
    };
  }

  async #write(
    client: SimulatedClientStore,
    { tag, manifestStore, random }: { tag: string; manifestStore: ManifestStore | undefined; random: SeededRandom },
  ): Promise<void> {
    const isSlow = random.chance(0.05);
    const isSuspended = !isSlow && random.chance(0.1);
    const options = {
      store: client,
      sharding,
      key: (key: number) => key,
      value: () => tag,
      clock: client.clock,
      // What becomes of it where they are ignored is for the invariants to find out.
      preconditions: "assume" as const,
      ...(random.chance(0.3) && { retry: { retriesMax: 1 } }),
      ...(random.chance(0.2) && { onConflict: "replace" as const }),
      // Its shards lie there for hours, with nothing but its record that tells that it is alive.
      ...(isSlow && { validate: () => client.clock.sleep(ROUND_MS + random.below(ROUND_MS)) }),
      // As before, and nothing tells that it is alive. It goes on in the midst of the next round, or at any time.
      ...(isSuspended && suspendedWriter(client, {
        point: random.chance(0.7) ? "built" : "manifest",
        delayMs: ROUND_MS + random.below(random.chance(0.7) ? 3000 : ROUND_MS),
      })),
      ...(manifestStore ? { manifestStore } : { reuse: REUSE_MODES[random.below(3)]! }),
    };
    if (isSuspended) this.counts.suspended++;
    try {
      const { manifestRef, stats } = await writeSnapshot(KEYS, options);
      if (stats.shardsReused > 0) this.counts.reused++;
      this.#published.push(manifestRef);
      this.counts.published++;
    } catch (error) {
      if (error instanceof PublishConflictError) {
        this.#lost.push({ client: client.name, ref: error.manifestRef });
        this.counts.lost++;
        return;
      }
      requireFailure(error, isSuspended ? /^SHARD_COVERAGE$/ : undefined);
      if (error instanceof ShardCoverageError) this.counts.refused++;
      else this.counts.failed++;
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

  async #notePointer(client: string, nowMs: number): Promise<void> {
    const object = await this.store.get("_CURRENT");
    if (object.etag === this.#pointerEtag) return;
    this.#pointerEtag = object.etag;
    const fields = JSON.parse(decoder.decode(await object.bytes()));
    const pointer: PointerState = { ...fields, client, ref: fields.manifest_ref };
    const before = this.#pointers.at(-1);
    this.#pointers.push(pointer);
    this.#book.noteCurrent(pointer.ref, nowMs);
    if (before === undefined) return;
    const { ref, generation, previous } = pointer;
    const isCleanUp = client.startsWith("cleaner");
    equal(generation, before.generation + (isCleanUp ? 0 : 1), `generation of "${ref}" after "${before.ref}"`);
    if (isCleanUp) equal(ref, before.ref, "a clean-up is no roll back");
    else if (ref !== before.ref) equal(previous[0], before.ref, "an update was lost");
  }

  async #requireReachable({ timeMs }: SimulatedEvent): Promise<void> {
    await this.#book.requireReachable(START_MS + timeMs);
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

/** Waits until some instant at the beginning of the round; who is late comes at once. */
async function nextRound({ clock }: SimulatedClientStore, random: SeededRandom, round: number): Promise<void> {
  const beginMs = round * ROUND_MS + random.below(2000);
  await clock.sleep(Math.max(random.below(200), beginMs - clock.monotonicMs()));
}

/**
 * Compiling WebAssembly takes real time, in which the simulation might go on without the shard that waits for it; so
 * there are as many hashers as programs can need at once before it begins.
 */
async function warmUp(): Promise<void> {
  for (const digest of await Promise.all(Array.from({ length: 16 }, createDigest))) digest.hex();
}

/** @throws what is no failure of the store's or of publishing, nor `expected`, a pattern of codes. */
function requireFailure(error: unknown, expected?: RegExp): void {
  if (!(error instanceof ShardyfusionError)) throw error;
  const isFailure = /^(STORE|PRECONDITION_FAILED|PUBLISH_\w+|SHARD_WRITE)$/.test(error.code);
  if (!isFailure && !expected?.test(error.code)) throw error;
}
