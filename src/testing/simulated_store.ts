/**
 * A store whose requests take turns as a seed decides, and go wrong as it decides: the same seed, the same history.
 * @module
 */
import { StoreError } from "../errors.ts";
import type { ObjectStore, StoredObject, WriteOptions } from "../stores/store.ts";
import type { RequestKind } from "./fault_store.ts";
import { SeededRandom } from "./seeded_random.ts";
import { type SentRequest, SimulatedClient, type SimulatedRequests } from "./simulated_client.ts";
import { type RepeatingClock, SimulatedTime, type Turn } from "./simulated_time.ts";

/** How often requests go wrong; rates are from 0 (never, the default) to 1 (always). */
export interface SimulatedFaults {
  /** Fails before it did anything. */
  readonly failed?: number;
  /** Does everything, and then the reply gets lost. */
  readonly lost?: number;
  /** Is held up for up to a minute of the simulation, while others overtake it. */
  readonly delayed?: number;
  /**
   * Of `put`, `copy` and `delete`: arrives twice, as when a client tries again. The second time comes at once, and the
   * reply is its reply, or it comes some time after the first reply.
   */
  readonly duplicated?: number;
  /** A write's precondition is not heeded, as by stores that do not know the header. */
  readonly ignoresPreconditions?: number;
  /** `get` answers with an earlier content of an object that was `put`, as a cache in between does. */
  readonly stale?: number;
  /** Whether the rates hold for requests of this key or prefix. Default: for all. */
  readonly only?: (key: string) => boolean;
  /** The client that sends the request of this number (from 1) crashes, before or after it has had its effect. */
  readonly crashAtRequest?: number;
}

/** Options of {@linkcode simulatedStore}. */
export interface SimulationOptions {
  /** Decides everything that chance does. Any integer. */
  readonly seed: number;
  /** What goes wrong. Default: nothing. */
  readonly faults?: SimulatedFaults;
  /** Microseconds since 1970 when the simulation begins. Default: the year 2026. */
  readonly startMicros?: number;
}

/** One request, or what became of it later on. */
export interface SimulatedEvent {
  /** Of the simulation, in milliseconds. */
  readonly timeMs: number;
  readonly client: string;
  /** From 1 up over all requests, in the order of their turns. */
  readonly requestNumber: number;
  readonly kind: RequestKind;
  /** The key or prefix. Random ids in it are replaced by `id1`, `id2`, …, so that two runs can be compared. */
  readonly key: string;
  /** Whether the request was carried out; false also where that was refused. */
  readonly isApplied: boolean;
  /** What happened, in words: `ok`, `failed before its effect`, `reply lost`, … */
  readonly outcome: string;
}

/** What a client takes. */
export interface SimulatedClientOptions {
  /** What goes wrong for this client. Default: what goes wrong for all. */
  readonly faults?: SimulatedFaults;
  /** By how much its clock is wrong, in milliseconds. @default {0} */
  readonly skewMs?: number;
}

/** The store as one program sees it, which may crash on its own. */
export interface SimulatedClientStore extends ObjectStore {
  readonly name: string;
  /** The virtual clock, as this program sees it. Give it to everything that takes a clock. */
  readonly clock: RepeatingClock;
  readonly isCrashed: boolean;
  /** From now on all its requests fail; what it has sent may arrive or not. */
  crash(): void;
}

/** A store for simulations. What is asked of the store itself comes from a client named `main`. */
export interface SimulatedStore extends SimulatedClientStore {
  /** Everything so far, in order. */
  readonly history: readonly SimulatedEvent[];
  /** The view of another program; one of the same name is made only once. */
  client(name: string, options?: SimulatedClientOptions): SimulatedClientStore;
  /** The history as lines of text, for the report of a failing seed. */
  describe(): string;
}

/**
 * Simulates a store that several programs use at the same time over an unreliable network.
 *
 * Every request waits for its turn. When no program can go on, the seed chooses who comes next, and what goes wrong;
 * virtual time passes from turn to turn, and jumps when everyone waits. So a seed gives one history, on every
 * runtime, if programs take their time and their chance from the simulation, too, and wait for nothing else for longer
 * than an instant. Costs some ten microseconds a request.
 *
 * @param inner Keeps the objects; carries out each request in one go. Looking into it costs no turn.
 *
 * @example Two writers, one of them with an unreliable connection
 * ```ts
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { simulatedStore } from "./simulated_store.ts";
 *
 * const store = simulatedStore(memoryStore(), { seed: 7 });
 * const [one, other] = [store.client("one"), store.client("other", { faults: { lost: 1 } })];
 * const writes = [one, other].map((client) => client.put("who", new TextEncoder().encode(client.name)));
 * const outcomes = await Promise.allSettled(writes);
 * if (outcomes.map(({ status }) => status).join() !== "fulfilled,rejected") throw new Error(store.describe());
 * if (store.history.some(({ isApplied }) => !isApplied)) throw new Error("only the reply was lost");
 * ```
 */
export function simulatedStore(inner: ObjectStore, options: SimulationOptions): SimulatedStore {
  return new Simulation(inner, options).main;
}

/** Called after each request that was carried out, before anybody learns of it. What it throws ends the simulation. */
export type RequestWatcher = (event: SimulatedEvent) => void | Promise<void>;

/** A request that waits for its turn. */
export interface PendingRequest extends Turn {
  readonly sender: SimulatedClient;
  readonly kind: RequestKind;
  readonly key: string;
  readonly mayBeStale: boolean;
  readonly effect: (conditions: { readonly isHeeded: boolean }) => Promise<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  requestNumber: number;
  /** Nobody waits for it any more: its sender has crashed, or it is the second one of a pair. */
  isOrphan: boolean;
}

const LATENESS_MS_MAX = 60_000;
/** Earlier contents of an object that a stale answer may have. */
const OLDER_MAX = 4;

interface OlderContent {
  readonly etag: string | null;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What all clients of one simulation share. */
export class Simulation implements SimulatedRequests {
  readonly inner: ObjectStore;
  readonly time: SimulatedTime<PendingRequest>;
  readonly main: SimulatedStore;
  readonly history: SimulatedEvent[] = [];
  /** As {@linkcode RequestWatcher}. */
  watcher: RequestWatcher = () => {};
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #clients = new Map<string, SimulatedClient>();
  readonly #ids = new Map<string, string>();
  readonly #older = new Map<string, OlderContent[]>();
  #requestCount = 0;

  constructor(inner: ObjectStore, options: SimulationOptions) {
    this.inner = inner;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const startMicros = options.startMicros ?? Date.UTC(2026, 0, 1) * 1000;
    this.time = new SimulatedTime({ random: this.#random, startMicros, take: (request) => this.#take(request) });
    this.main = Object.assign(this.client("main"), {
      history: this.history,
      client: this.client.bind(this),
      describe: this.describe.bind(this),
    });
  }

  client(
    name: string,
    { faults = this.#options.faults ?? {}, skewMs = 0 }: SimulatedClientOptions = {},
  ): SimulatedClient {
    let client = this.#clients.get(name);
    if (client === undefined) {
      client = new SimulatedClient(this, { name, faults, clock: this.time.clock(name, skewMs) });
      this.#clients.set(name, client);
    }
    return client;
  }

  /** Ends all programs. */
  crashAll(): void {
    for (const client of this.#clients.values()) client.crash();
  }

  describe(): string {
    const { seed, faults = {} } = this.#options;
    const lines = this.history.map(({ timeMs, client, requestNumber, kind, key, outcome }) =>
      `${timeMs.toFixed(1).padStart(9)} ms  #${requestNumber} ${client}: ${kind} ${key}: ${outcome}`
    );
    return [`seed ${seed}, faults ${JSON.stringify(faults)}`, ...lines].join("\n");
  }

  /** As {@linkcode SimulatedRequests.send}. */
  send<R>(
    sender: SimulatedClient,
    { kind, key, signal, mayBeStale = false }: SentRequest,
    effect: (conditions: { readonly isHeeded: boolean }) => Promise<R>,
  ): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      signal?.throwIfAborted();
      if (sender.isCrashed) throw crashError(sender, key);
      const giveUp = (): void => {
        if (this.time.withdraw(request)) reject(signal!.reason);
      };
      const settled = (): void => signal?.removeEventListener("abort", giveUp);
      const request: PendingRequest = {
        client: sender.name,
        sender,
        order: `${sender.name} ${kind} ${this.#shown(key, "id")}`,
        kind,
        key,
        mayBeStale,
        effect,
        readyMs: 0,
        requestNumber: 0,
        isOrphan: false,
        resolve: (result) => (settled(), resolve(result as R)),
        reject: (error) => (settled(), reject(error)),
      };
      signal?.addEventListener("abort", giveUp);
      this.time.enqueue(request);
    });
  }

  /** What a client has sent may arrive or not; it learns of nothing. */
  crashed(client: SimulatedClient): void {
    for (const request of this.time.waiting()) {
      if (request.sender !== client || request.isOrphan) continue;
      request.isOrphan = true;
      request.reject(crashError(client, request.key));
      if (!WRITES.has(request.kind)) this.time.withdraw(request);
    }
  }

  async #take(request: PendingRequest): Promise<void> {
    const { sender, kind } = request;
    const random = this.#random;
    const { failed = 0, lost = 0, delayed = 0, duplicated = 0 } = ratesFor(request);
    const { crashAtRequest } = sender.faults;
    if (request.isOrphan) {
      if (request.requestNumber === 0) request.requestNumber = ++this.#requestCount;
      if (random.chance(0.5)) await this.#apply(request, " (late)").catch(ignored);
      else this.#note(request, false, "never arrived");
      return;
    }
    const isNew = request.requestNumber === 0;
    if (isNew) request.requestNumber = ++this.#requestCount;
    if (isNew && request.requestNumber === crashAtRequest) {
      const arrives = random.chance(0.5);
      if (arrives) await this.#apply(request, ", its client crashed").catch(ignored);
      else this.#note(request, false, "its client crashed before");
      request.reject(crashError(sender, request.key));
      return sender.crash();
    }
    if (kind === "ABORT") return await this.#carryOut(request);
    if (isNew && random.chance(delayed)) {
      const delayMs = lateness(random);
      request.readyMs = this.time.nowMs + delayMs;
      this.#note(request, false, `delayed by ${delayMs} ms`);
      return this.time.enqueue(request);
    }
    if (random.chance(failed)) {
      this.#note(request, false, "failed before its effect");
      return request.reject(this.#lostError(request, "the request was lost"));
    }
    if ((kind === "PUT" || kind === "COPY" || kind === "DELETE") && random.chance(duplicated)) {
      if (random.chance(0.5)) await this.#apply(request, " (its first time)").catch(ignored);
      else {this.time.enqueue({
          ...request,
          isOrphan: true,
          readyMs: this.time.nowMs + lateness(random),
        });}
    }
    if (!random.chance(lost)) return await this.#carryOut(request);
    await this.#apply(request, ", reply lost").catch(ignored);
    request.reject(this.#lostError(request, "the reply was lost"));
  }

  async #carryOut(request: PendingRequest): Promise<void> {
    const outcome = await this.#apply(request, "").then((result) => ({ result }), (error) => ({ error }));
    if ("result" in outcome) request.resolve(outcome.result);
    else if (outcome.error instanceof WatcherFailure) throw outcome.error.cause;
    else request.reject(outcome.error);
  }

  async #apply(request: PendingRequest, remark: string): Promise<unknown> {
    const { ignoresPreconditions = 0, stale = 0 } = ratesFor(request);
    const random = this.#random;
    const isHeeded = ignoresPreconditions === 0 || !random.chance(ignoresPreconditions);
    if (request.mayBeStale && stale > 0 && random.chance(stale)) {
      const older = this.#older.get(request.key) ?? [];
      const chosen = older[random.below(older.length)];
      if (chosen !== undefined) {
        this.#note(request, true, `stale answer, version ${chosen.etag}`);
        return asStored(chosen);
      }
    }
    let result: unknown;
    try {
      if (request.kind === "PUT") await this.#keepOlder(request.key);
      result = await request.effect({ isHeeded });
    } catch (error) {
      this.#note(request, false, `${(error as { code?: string }).code ?? String(error)}${remark}`);
      throw error;
    }
    const event = this.#note(request, true, `ok${isHeeded ? "" : ", precondition ignored"}${remark}`);
    await this.#watch(event);
    return result;
  }

  async #watch(event: SimulatedEvent): Promise<void> {
    try {
      await this.watcher(event);
    } catch (cause) {
      throw new WatcherFailure(cause);
    }
  }

  async #keepOlder(key: string): Promise<void> {
    const stored = await this.inner.get(key).catch(() => null);
    if (stored === null) return;
    const older = this.#older.get(key) ?? [];
    older.push({ etag: stored.etag, bytes: await stored.bytes() });
    this.#older.set(key, older.slice(-OLDER_MAX));
  }

  #note({ client, requestNumber, kind, key }: PendingRequest, isApplied: boolean, outcome: string): SimulatedEvent {
    const shown = this.#shown(key);
    const event = { timeMs: this.time.nowMs, client, requestNumber, kind, key: shown, isApplied, outcome };
    this.history.push(event);
    return event;
  }

  /** @param unknown What stands for ids that were not seen so far; else they get a number. */
  #shown(key: string, unknown?: string): string {
    return key.replace(/[0-9a-f]{32}/g, (id) => {
      if (unknown === undefined && !this.#ids.has(id)) this.#ids.set(id, `id${this.#ids.size + 1}`);
      return this.#ids.get(id) ?? unknown!;
    });
  }

  #lostError({ kind, key, requestNumber }: PendingRequest, what: string): StoreError {
    const url = `${this.inner.url}/${key}`;
    const message = `Cannot ${kind} "${url}": ${what}, as simulated for request ${requestNumber}`;
    return new StoreError(message, { url, retryable: true });
  }
}

/** Kinds of which one that was sent by a crashed client matters. */
const WRITES: ReadonlySet<RequestKind> = new Set(["PUT", "COPY", "DELETE", "FINISH"]);

/** Tells what the watcher threw from what the store threw. */
class WatcherFailure extends Error {
  constructor(cause: unknown) {
    super("Cannot go on with the simulation", { cause });
  }
}

/** For requests of which nobody learns how they went. */
function ignored(error: unknown): void {
  if (error instanceof WatcherFailure) throw error.cause;
}

function crashError({ name, url }: SimulatedClient, key: string): StoreError {
  return new StoreError(`Cannot reach "${url}/${key}" as "${name}" has crashed`, { url: `${url}/${key}` });
}

function asStored({ etag, bytes }: OlderContent): StoredObject {
  return {
    etag,
    sizeBytes: bytes.byteLength,
    get body() {
      return new Response(bytes).body!;
    },
    bytes: () => Promise.resolve(bytes.slice()),
  };
}

/** The options of a write, without its precondition where that is not heeded. */
export function writeOptions<O extends WriteOptions>(options: O, isHeeded: boolean): O {
  if (isHeeded) return options;
  const { precondition: _, ...others } = options;
  return others as O;
}

/** What may go wrong with this request. */
function ratesFor({ sender, key }: PendingRequest): SimulatedFaults {
  const { only } = sender.faults;
  return only === undefined || only(key) ? sender.faults : {};
}

/** Short ones and long ones; whole, as engines differ in the last digit of powers. */
function lateness(random: SeededRandom): number {
  return Math.round(LATENESS_MS_MAX ** random.next());
}
