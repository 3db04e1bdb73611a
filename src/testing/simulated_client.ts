/**
 * A simulated store as one of the programs that use it sees it.
 * @module
 */
import type { RepeatingClock } from "./simulated_time.ts";
import {
  type ByteRange,
  copyObject,
  type CopyOptions,
  type ObjectEntry,
  type ObjectStore,
  type ObjectUpload,
  type ObjectVersion,
  type RequestOptions,
  type StoredObject,
  type StoredRanges,
  type UploadOptions,
  type WriteOptions,
} from "../stores/store.ts";
import type { RequestKind } from "./fault_store.ts";
import { type SimulatedClientStore, type SimulatedFaults, writeOptions } from "./simulated_store.ts";

/** A request as it is sent. */
export interface SentRequest {
  readonly kind: RequestKind;
  readonly key: string;
  readonly signal?: AbortSignal | undefined;
  /** Whether an earlier content of the object may be the answer. */
  readonly mayBeStale?: boolean;
}

/** Where the requests of all clients go. */
export interface SimulatedRequests {
  /** Carries out the requests. */
  readonly inner: ObjectStore;
  /** Waits for the request's turn, then does it, or lets it go wrong. */
  send<R>(
    sender: SimulatedClient,
    request: SentRequest,
    effect: (conditions: { readonly isHeeded: boolean }) => Promise<R>,
  ): Promise<R>;
  /** A client has crashed. */
  crashed(client: SimulatedClient): void;
}

/** One program's store. */
export class SimulatedClient implements SimulatedClientStore {
  readonly name: string;
  readonly url: string;
  readonly clock: RepeatingClock;
  readonly faults: SimulatedFaults;
  /** As of the store below, unless preconditions are to be ignored. */
  readonly honoursPreconditions?: boolean;
  /** Only where the store below has it. */
  readonly getIfChanged?: NonNullable<ObjectStore["getIfChanged"]>;
  readonly #requests: SimulatedRequests;
  readonly #inner: ObjectStore;
  #isCrashed = false;

  constructor(requests: SimulatedRequests, { name, faults, clock }: {
    readonly name: string;
    readonly faults: SimulatedFaults;
    readonly clock: RepeatingClock;
  }) {
    this.#requests = requests;
    const inner = this.#inner = requests.inner;
    this.name = name;
    this.url = inner.url;
    this.clock = clock;
    this.faults = faults;
    if (inner.honoursPreconditions !== undefined && !faults.ignoresPreconditions) {
      this.honoursPreconditions = inner.honoursPreconditions;
    }
    if (inner.getIfChanged === undefined) return;
    this.getIfChanged = (key, etag, { signal } = {}) =>
      this.#requests.send(this, { kind: "GET", key, signal, mayBeStale: true }, () => inner.getIfChanged!(key, etag));
  }

  get isCrashed(): boolean {
    return this.#isCrashed;
  }

  crash(): void {
    if (this.#isCrashed) return;
    this.#isCrashed = true;
    this.#requests.crashed(this);
  }

  get(key: string, options: RequestOptions = {}): Promise<StoredObject> {
    const { signal } = options;
    const request = { kind: "GET", key, signal, mayBeStale: true } as const;
    return this.#requests.send(this, request, () => this.#inner.get(key, options));
  }

  getRanges(key: string, ranges: readonly ByteRange[], options: RequestOptions = {}): Promise<StoredRanges> {
    const { signal } = options;
    return this.#requests.send(this, { kind: "GET", key, signal }, () => this.#inner.getRanges(key, ranges, options));
  }

  put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<ObjectVersion> {
    // It may arrive, or arrive again, when the caller has long used the array for something else.
    const sent = bytes.slice();
    const { signal, ...conditions } = options;
    return this.#requests.send(
      this,
      { kind: "PUT", key, signal },
      ({ isHeeded }) => this.#inner.put(key, sent, writeOptions(conditions, isHeeded)),
    );
  }

  copy(fromKey: string, toKey: string, options: CopyOptions = {}): Promise<ObjectVersion> {
    const { signal, ...conditions } = options;
    return this.#requests.send(
      this,
      { kind: "COPY", key: toKey, signal },
      ({ isHeeded }) => copyObject(this.#inner, { fromKey, toKey }, writeOptions(conditions, isHeeded)),
    );
  }

  async upload(key: string, options: UploadOptions): Promise<ObjectUpload> {
    const { signal } = options;
    const send = this.#requests.send.bind(this.#requests, this);
    let begun: ObjectUpload | undefined;
    try {
      await send({ kind: "UPLOAD", key, signal }, async ({ isHeeded }) => {
        begun = await this.#inner.upload(key, writeOptions(options, isHeeded));
      });
    } catch (error) {
      await begun?.abort();
      throw error;
    }
    const upload = begun!;
    let isOver = false;
    // A program that has crashed cannot even give up.
    const abort = async (): Promise<void> => {
      if (isOver || this.#isCrashed) return;
      isOver = true;
      await send({ kind: "ABORT", key }, () => upload.abort()).catch(() => {});
    };
    return {
      write: (chunk) => {
        const sent = chunk.slice();
        return send({ kind: "PART", key, signal }, () => upload.write(sent)) as Promise<void>;
      },
      finish: async (head) => {
        const sent = head.slice();
        const version = await send({ kind: "FINISH", key, signal }, () => upload.finish(sent)) as ObjectVersion;
        isOver = true;
        return version;
      },
      abort,
      [Symbol.asyncDispose]: abort,
    };
  }

  async *list(prefix: string, options: RequestOptions = {}): AsyncGenerator<ObjectEntry[]> {
    const { signal } = options;
    const pages = this.#inner.list(prefix, options)[Symbol.asyncIterator]();
    for (;;) {
      const page = await this.#requests.send(this, { kind: "LIST", key: prefix, signal }, () => pages.next());
      if (page.done) return;
      yield page.value;
    }
  }

  listFolders(prefix: string, options: RequestOptions = {}): Promise<string[]> {
    const { signal } = options;
    return this.#requests.send(
      this,
      { kind: "LIST", key: prefix, signal },
      () => this.#inner.listFolders(prefix, options),
    );
  }

  delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    return this.#requests.send(this, { kind: "DELETE", key, signal }, () => this.#inner.delete(key));
  }

  deletePrefix(prefix: string, { signal }: RequestOptions = {}): Promise<number> {
    return this.#requests.send(this, { kind: "DELETE", key: prefix, signal }, () => this.#inner.deletePrefix(prefix));
  }
}
