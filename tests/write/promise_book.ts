/**
 * A book of what must be there while clean-ups work: the judge of P5. It asks no part of a clean-up for its opinion.
 *
 * When a manifest has arrived, the book notes the objects that its snapshot is made of; from then on they must stay, as
 * long as the pointer names the snapshot, somebody holds a pin on it, or the grace period lasts, which begins when it is
 * published, and anew whenever another one takes its place.
 * @module
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import type { ObjectStore } from "../../mod.ts";
import { objectManifestReader } from "../../src/snapshots/object_manifest_reader.ts";

/** How wrong the clocks of programs may be. */
export const SKEW_MS_MAX = 10_000;
/** Pins and grace periods end by the clock of the one, and are looked at by the clock of the other. */
const MARGIN_MS = 3 * SKEW_MS_MAX;
/** The time of a replacement is taken before its request is sent, which may come late, several times. */
const LATE_MS_MAX = 5 * 60_000;
const MANIFEST_KEY = /^manifests\/(.+?Z)_run_id=(.+)\/manifest$/;

interface Noted {
  readonly publishedAtMs: number;
  readonly keys: readonly string[];
}

/** A pin that somebody relies on. */
export interface HeldPin {
  readonly ref: string;
  /** Milliseconds since 1970. */
  readonly untilMs: number;
}

/** What snapshots are made of, and who needs them. */
export class PromiseBook {
  readonly #store: ObjectStore;
  readonly #graceMs: number;
  readonly #snapshots = new Map<string, Noted>();
  readonly #held = new Set<HeldPin>();
  /** When snapshots were replaced, by their refs. */
  readonly #replacedAtMs = new Map<string, number>();
  #current: string | null = null;

  constructor(store: ObjectStore, graceMs: number) {
    this.#store = store;
    this.#graceMs = graceMs;
  }

  /** From now on the pin is relied on. */
  hold(pin: HeldPin): HeldPin {
    this.#held.add(pin);
    return pin;
  }

  /** Nobody relies any more on this pin, or on any pin of this snapshot. */
  release(released: HeldPin | string): void {
    for (const pin of this.#held) if (pin === released || pin.ref === released) this.#held.delete(pin);
  }

  /** From now on the pointer names this. */
  noteCurrent(ref: string, nowMs: number): void {
    if (this.#current !== null && this.#current !== ref) this.#replacedAtMs.set(this.#current, nowMs);
    this.#current = ref;
  }

  /** Notes manifests that were not there before. */
  async noteManifests(): Promise<void> {
    const { url } = this.#store;
    for (const key of await this.keys("manifests/")) {
      const ref = `${url}/${key}`;
      if (this.#snapshots.has(ref)) continue;
      const publishedAtMs = Date.parse(MANIFEST_KEY.exec(key)![1]!);
      const manifest = await objectManifestReader(this.#store).loadManifest(ref);
      const keys = [key];
      for (const { dbUrl } of manifest.shards) {
        const folder = dbUrl!.slice(url.length + 1);
        // What lies beside the shard was there first.
        keys.push(...new Set([`${folder}/shard.db`, ...await this.keys(`${folder}/`)]));
      }
      this.#snapshots.set(ref, { publishedAtMs, keys });
    }
  }

  /** @throws when something is missing that is still within reach. */
  async requireReachable(nowMs: number): Promise<void> {
    const present = new Set(await this.keys(""));
    const requireWhole = (ref: string, why: string): void => {
      const missing = this.#snapshots.get(ref)!.keys.filter((key) => !present.has(key));
      deepEqual(missing, [], `P5: removed of ${ref}, ${why}`);
    };
    requireWhole(this.#current!, "which is current");
    for (const { ref, untilMs } of this.#held) if (untilMs - MARGIN_MS > nowMs) requireWhole(ref, "which is pinned");
    for (const [ref, { publishedAtMs }] of this.#snapshots) {
      if (publishedAtMs + this.#graceMs - MARGIN_MS > nowMs) requireWhole(ref, "whose grace period lasts");
    }
    for (const [ref, replacedAtMs] of this.#replacedAtMs) {
      const endMs = replacedAtMs + this.#graceMs - MARGIN_MS - LATE_MS_MAX;
      if (endMs > nowMs) requireWhole(ref, `which was current ${Math.round((nowMs - replacedAtMs) / 1000)} s ago`);
    }
  }

  /**
   * After clean-ups that kept one snapshot, long after everybody has gone, nothing is left that nobody needs: the
   * pointer, pins, and what they name. Runs whose records never arrived may stay, too, as nothing tells their age.
   *
   * @param recorded Runs of which a record was there before.
   */
  async requireNoLeftovers({ nowMs, recorded }: { nowMs: number; recorded: ReadonlySet<string> }): Promise<void> {
    const pointer = await this.#json("_CURRENT");
    const refs = [pointer["manifest_ref"] as string];
    const needed = new Set(["_CURRENT"]);
    for (const key of await this.keys("pins/")) {
      const { ref, until } = await this.#json(key);
      const untilMs = until === null ? Infinity : Date.parse(until as string);
      // One that has just ended may stay until the next clean-up.
      ok(untilMs + this.#graceMs + MARGIN_MS > nowMs, `P5: "${key}" ended long ago`);
      needed.add(key);
      refs.push(ref as string);
    }
    const runs = new Set<string>();
    for (const ref of refs) {
      // A pin that was refused may be left by a program that crashed.
      for (const key of this.#snapshots.get(ref)?.keys ?? []) {
        needed.add(key);
        runs.add(runOf(key)!);
      }
      runs.add(runOf(ref.slice(this.#store.url.length + 1))!);
    }
    const left = (await this.keys("")).filter((key) => {
      const run = runOf(key);
      const isRecord = key.startsWith("runs/") && runs.has(run!);
      return !needed.has(key) && !isRecord && (run === null || recorded.has(run));
    });
    equal(left.join("\n"), "", "P5: nobody needs this");
  }

  /** Runs that have a record. */
  async recordedRuns(): Promise<Set<string>> {
    return new Set((await this.keys("runs/")).map((key) => runOf(key)!));
  }

  async keys(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const page of this.#store.list(prefix)) for (const { key } of page) keys.push(key);
    return keys;
  }

  async #json(key: string): Promise<Record<string, unknown>> {
    return JSON.parse(new TextDecoder().decode(await (await this.#store.get(key)).bytes()));
  }
}

function runOf(key: string): string | null {
  const name = /run_id=([^/]+)/.exec(key)?.[1] ?? null;
  return key.startsWith("runs/") ? name!.replace(/_[0-9a-f]{32}$/, "") : name;
}
