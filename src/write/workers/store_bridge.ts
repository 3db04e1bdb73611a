/**
 * The store of the writing thread, as workers use it: credentials, limits, retries and the list of what was created
 * stay in one place, and any store will do.
 * @module
 */
import { StoreError } from "../../errors.ts";
import type {
  ByteRange,
  ObjectEntry,
  ObjectStore,
  ObjectUpload,
  ObjectVersion,
  RequestOptions,
  StoredObject,
  StoredRanges,
  UploadOptions,
  WriteOptions,
} from "../../stores/store.ts";
import { buffersOf, type StoreCall } from "./messages.ts";

/** Sends a request to the thread that has the store; gives its answer. */
export type AskStore = (call: StoreCall, transfer?: readonly ArrayBuffer[]) => Promise<unknown>;

type Plain<T extends RequestOptions> = Omit<T, "signal">;

/** The worker's end. Signals are not sent: a write that is aborted ends its workers. */
export function bridgedStore(url: string, ask: AskStore): ObjectStore {
  async function call<T>(method: keyof ObjectStore, ...args: readonly unknown[]): Promise<T> {
    return await ask({ method, args }) as T;
  }
  return {
    url,
    async get(key) {
      return storedObject(await call<WholeObject>("get", key), `${url}/${key}`);
    },
    getRanges: (key, ranges) => call("getRanges", key, ranges),
    put: (key, bytes, options) => call("put", key, compact(bytes), plain(options)),
    async upload(key, options) {
      return bridgedUpload(await call<number>("upload", key, plain(options)), ask);
    },
    async *list(prefix) {
      yield* await call<ObjectEntry[][]>("list", prefix);
    },
    listFolders: (prefix) => call("listFolders", prefix),
    delete: (key) => call("delete", key),
    deletePrefix: (prefix) => call("deletePrefix", prefix),
  };
}

function plain<T extends RequestOptions>(options: T | undefined): Plain<T> | undefined {
  if (options === undefined) return undefined;
  const { signal: _, ...rest } = options;
  return rest;
}

/** Cloning a view clones all that it is a view of. */
function compact(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
}

interface WholeObject extends ObjectVersion {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function storedObject({ etag, sizeBytes, bytes }: WholeObject, url: string): StoredObject {
  let isRead = false;
  function take(): Uint8Array<ArrayBuffer> {
    if (isRead) throw new StoreError(`Cannot read the body of "${url}" twice`, { url });
    isRead = true;
    return bytes;
  }
  return {
    etag,
    sizeBytes,
    get body() {
      return ReadableStream.from([take()]) as ReadableStream<Uint8Array<ArrayBuffer>>;
    },
    bytes: () => Promise.resolve().then(take),
  };
}

/** Pages travel in one buffer that goes to and fro. */
function bridgedUpload(uploadId: number, ask: AskStore): ObjectUpload {
  let room = new Uint8Array(0);
  async function abort(): Promise<void> {
    await ask({ method: "abort", args: [uploadId] });
  }
  return {
    async write(chunk) {
      if (room.length < chunk.length) room = new Uint8Array(chunk.length);
      room.set(chunk);
      const sent = room.subarray(0, chunk.length);
      const returned = await ask({ method: "write", args: [uploadId, sent] }, buffersOf([sent]));
      room = new Uint8Array((returned as Uint8Array<ArrayBuffer>).buffer);
    },
    finish: async (head) => await ask({ method: "finish", args: [uploadId, compact(head)] }) as ObjectVersion,
    abort,
    [Symbol.asyncDispose]: abort,
  };
}

/** The writing thread's end, for one worker. Disposing gives up what the worker was uploading. */
export class StoreServer implements AsyncDisposable {
  readonly #store: ObjectStore;
  readonly #signal: AbortSignal;
  readonly #uploads = new Map<number, ObjectUpload>();
  #nextId = 0;
  #isClosed = false;

  constructor(store: ObjectStore, signal: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
  }

  /** Does what a worker asks for. Arrays in the answer may be transferred. @throws the store's errors. */
  async answer({ method, args }: StoreCall): Promise<unknown> {
    const store = this.#store;
    const signal = this.#signal;
    const [key, second, third] = args as [string, unknown, object | undefined];
    switch (method) {
      case "write":
        return await this.#write(args as [number, Uint8Array]);
      case "finish":
        return await this.#finish(args as [number, Uint8Array]);
      case "abort":
        return await this.#abort(args[0] as number);
      case "upload":
        return await this.#open(key, { ...(second as UploadOptions), signal });
      case "put":
        return await store.put(key, second as Uint8Array, { ...(third as WriteOptions), signal });
      case "get": {
        const { etag, sizeBytes, bytes } = await readWhole(await store.get(key, { signal }));
        return { etag, sizeBytes, bytes };
      }
      case "getRanges":
        return await store.getRanges(key, second as ByteRange[], { signal }) satisfies StoredRanges;
      case "list":
        return await Array.fromAsync(store.list(key, { signal }));
      case "listFolders":
        return await store.listFolders(key, { signal });
      case "delete":
        return await store.delete(key, { signal });
      case "deletePrefix":
        return await store.deletePrefix(key, { signal });
      default:
        throw new StoreError(`Cannot "${method}" through the store of a worker`, { url: store.url });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const uploads = [...this.#uploads.values()];
    this.#uploads.clear();
    await Promise.all(uploads.map((upload) => upload.abort()));
  }

  async #open(key: string, options: UploadOptions): Promise<number> {
    const upload = await this.#store.upload(key, options);
    if (this.#isClosed) await upload.abort();
    const id = this.#nextId++;
    this.#uploads.set(id, upload);
    return id;
  }

  async #write([id, chunk]: [number, Uint8Array]): Promise<Uint8Array> {
    await this.#upload(id).write(chunk);
    return chunk;
  }

  async #finish([id, head]: [number, Uint8Array]): Promise<ObjectVersion> {
    const upload = this.#upload(id);
    const { etag, sizeBytes } = await upload.finish(head);
    this.#uploads.delete(id);
    return { etag, sizeBytes };
  }

  async #abort(id: number): Promise<void> {
    await this.#uploads.get(id)?.abort();
    this.#uploads.delete(id);
  }

  #upload(id: number): ObjectUpload {
    const upload = this.#uploads.get(id);
    if (upload !== undefined) return upload;
    throw new StoreError("Cannot go on with an upload that has ended", { url: this.#store.url });
  }
}

async function readWhole(object: StoredObject): Promise<WholeObject> {
  const { etag, sizeBytes } = object;
  return { etag, sizeBytes, bytes: await object.bytes() };
}
