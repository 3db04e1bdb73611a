/**
 * Keeps manifests in memory: for tests, and for programs that publish for themselves.
 * @module
 */
import * as v from "valibot";
import { type Clock, systemClock } from "../clock.ts";
import { ObjectNotFoundError, PublishConflictError, ReaderStateError } from "../errors.ts";
import { clockOption, parseOptions } from "../options.ts";
import type { RequestOptions } from "../stores/store.ts";
import { joinUrl, manifestKey } from "./layout.ts";
import type { Manifest, ManifestRef } from "./manifest.ts";
import type { CurrentPointer, ManifestStore, PointerOptions } from "./manifest_store.ts";
import { laterThan, nextPointer } from "./next_pointer.ts";
import { readManifest } from "./read_manifest.ts";
import { fieldsOfTenures, type Tenure } from "./tenures.ts";
import { writeManifest } from "./write_manifest.ts";

/** Options of {@linkcode memoryManifestStore}. */
export interface MemoryManifestStoreOptions {
  /** Gives time stamps. */
  readonly clock?: Clock | undefined;
}

const schema = v.strictObject({
  clock: v.optional(clockOption, systemClock),
}) as unknown as v.GenericSchema<MemoryManifestStoreOptions, { readonly clock: Clock }>;

/**
 * Keeps manifests and the pointer in memory, where they last as long as the object that is returned. Publishes, roll
 * backs and clean-ups through it exclude each other (P2).
 *
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { memoryManifestStore } from "./memory_manifest_store.ts";
 *
 * const manifestStore = memoryManifestStore();
 * if (await manifestStore.loadCurrent() !== null) throw new Error("nothing was published");
 * ```
 */
export function memoryManifestStore(options: MemoryManifestStoreOptions = {}): ManifestStore {
  const { clock } = parseOptions(schema, options);
  return new MemoryManifestStore(clock);
}

interface StoredManifest extends ManifestRef {
  readonly bytes: Uint8Array;
}

class MemoryManifestStore implements ManifestStore {
  readonly #clock: Clock;
  /** By refs, oldest first: each one is stored with a later time than those before it. */
  readonly #stored = new Map<string, StoredManifest>();
  #current: CurrentPointer | null = null;
  /** Of those before the current one, newest first. */
  #tenures: readonly Tenure[] = [];
  #lastMicros = 0;
  #moves = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async loadCurrent({ signal, known }: PointerOptions = {}): Promise<CurrentPointer | null> {
    await turn(signal);
    return known !== undefined && isSame(known, this.#current) ? known : this.#current;
  }

  async loadManifest(ref: string, { signal }: RequestOptions = {}): Promise<Manifest> {
    await turn(signal);
    return await readManifest(this.#find(ref).bytes, ref);
  }

  async publish(
    manifest: Manifest,
    expected: CurrentPointer | null,
    { signal }: RequestOptions = {},
  ): Promise<ManifestRef> {
    await turn(signal);
    const bytes = await writeManifest(manifest);
    signal?.throwIfAborted();
    const { runId } = manifest;
    // Nothing waits from here on: whatever happens to the maps happens at once.
    const publishedAtMicros = Math.max(laterThan(this.#current, this.#clock), this.#lastMicros + 1);
    const ref = joinUrl("memory:///series", manifestKey(publishedAtMicros, runId, "manifest"));
    const published = { ref, runId, publishedAtMicros };
    this.#stored.set(ref, { ...published, bytes });
    this.#lastMicros = publishedAtMicros;
    this.#move(published, expected);
    return published;
  }

  async list(limit: number, { signal }: RequestOptions = {}): Promise<ManifestRef[]> {
    await turn(signal);
    const newest = [...this.#stored.values()].reverse().slice(0, limit);
    return newest.map(({ ref, runId, publishedAtMicros }) => ({ ref, runId, publishedAtMicros }));
  }

  async setCurrent(
    ref: string,
    expected: CurrentPointer | null,
    { signal }: RequestOptions = {},
  ): Promise<CurrentPointer> {
    await turn(signal);
    const { runId } = this.#find(ref);
    return this.#move({ ref, runId, publishedAtMicros: laterThan(this.#current, this.#clock) }, expected);
  }

  async forget(
    refs: readonly string[],
    expected: CurrentPointer | null,
    { signal }: RequestOptions = {},
  ): Promise<void> {
    await turn(signal);
    this.#requireUnmoved("forget manifests", expected, refs[0] ?? "");
    if (this.#current !== null && refs.includes(this.#current.ref)) {
      throw new ReaderStateError(`Cannot forget "${this.#current.ref}" as it is the current manifest`);
    }
    for (const ref of refs) this.#stored.delete(ref);
  }

  #find(ref: string): StoredManifest {
    const found = this.#stored.get(ref);
    if (found !== undefined) return found;
    throw new ObjectNotFoundError(`Cannot find the manifest "${ref}" in memory`, { url: ref, status: 404 });
  }

  #move(target: ManifestRef, expected: CurrentPointer | null): CurrentPointer {
    this.#requireUnmoved(`make "${target.ref}" the current manifest`, expected, target.ref);
    const next = nextPointer(target, this.#current, this.#clock);
    const ended = this.#current === null ? [] : [{ ref: this.#current.ref, untilMicros: next.publishedAtMicros }];
    const others = this.#tenures.filter(({ ref }) => ref !== ended[0]?.ref);
    this.#tenures = [...ended, ...others].filter(({ ref }) => ref !== target.ref);
    this.#current = { ...next, ...fieldsOfTenures(this.#tenures), version: String(++this.#moves) };
    return this.#current;
  }

  #requireUnmoved(what: string, expected: CurrentPointer | null, manifestRef: string): void {
    if (isSame(expected, this.#current)) return;
    const state = this.#current === null ? "names none" : `names "${this.#current.ref}"`;
    throw new PublishConflictError(
      `Cannot ${what} as another writer moved the pointer in between: it ${state}`,
      { manifestRef, winnerRef: this.#current?.ref ?? null },
    );
  }
}

function isSame(one: CurrentPointer | null, other: CurrentPointer | null): boolean {
  return one?.ref === other?.ref && one?.version === other?.version;
}

/** As where it takes a request: no caller may rely on an answer at once. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await Promise.resolve();
  signal?.throwIfAborted();
}
