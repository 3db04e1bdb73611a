/**
 * Shards that are folders of objects, as SlateDB's are: every object against its record, every row against the
 * manifest.
 * @module
 */
import type { Backend, ObjectDigest, RemoteShard } from "../backends/backend.ts";
import { CorruptFileError, DbAdapterError, ObjectNotFoundError } from "../errors.ts";
import { PagePool } from "../read/page_pool.ts";
import type { ShardObject } from "../read/shard_objects.ts";
import type { ByteRange, ReadableStore, StoredObject } from "../stores/store.ts";
import { type ContentMeans, loadCompanion } from "./object_content.ts";
import type { ReportProblem, RowCheck } from "./row_check.ts";

/** What a folder is compared with. */
export interface FolderRules {
  readonly backend: Backend;
  /** Is given all rows. */
  readonly rows: RowCheck;
  /** Takes what is wrong with an object of the folder. */
  readonly reporter: (name: string) => ReportProblem;
  readonly note: (text: string) => void;
}

/** Objects that are kept while the rows of others are read too. */
const KEPT_MAX = 2;
const CACHE_BYTES = 1 << 22;
const GAP_BYTES = 1 << 16;

/**
 * Reads all rows of a shard, and all objects that are recorded of it.
 *
 * @throws {CorruptFileError} at the first damage that keeps the rest from being read.
 */
export async function checkFolder(object: ShardObject, rules: FolderRules, means: ContentMeans): Promise<void> {
  const folder = new CheckedFolder(object, rules, means);
  try {
    await using reader = await rules.backend.openShard({ kind: "remote", shard: folder.shard() });
    for await (const batch of reader.scan({ signal: means.signal })) for (const [key] of batch) rules.rows.add(key, -1);
  } catch (error) {
    // What is missing was reported already, where it was recorded.
    if (!(error instanceof DbAdapterError)) throw error;
    if (object.objects === undefined) rules.reporter(rules.backend.fileName)("structure", error.message);
  } finally {
    await folder.checkOthers();
  }
}

/** The objects of a folder: whole where a digest is recorded, in parts where not. */
class CheckedFolder {
  readonly #object: ShardObject;
  readonly #rules: FolderRules;
  readonly #means: ContentMeans;
  /** Key of the folder, with a slash at its end. */
  readonly #folder: string;
  /** The last few. */
  readonly #kept = new Map<string, Promise<Uint8Array | null>>();
  readonly #checked = new Set<string>();

  constructor(object: ShardObject, rules: FolderRules, means: ContentMeans) {
    this.#object = object;
    this.#rules = rules;
    this.#means = means;
    this.#folder = object.key.slice(0, -rules.backend.fileName.length);
  }

  shard(): RemoteShard {
    const { url, key, sizeBytes, keyEncoding, objects } = this.#object;
    const store = this.#store();
    return {
      url,
      key,
      store,
      sizeBytes,
      keyEncoding,
      objects,
      pageSizeHint: undefined,
      mayHaveSidecar: false,
      pages: new PagePool(CACHE_BYTES),
      tally: { cacheHits: 0, filterHits: 0 },
      gapBytesMax: () => GAP_BYTES,
      warn: this.#rules.note,
      async read(range, signal) {
        const { parts, etag } = await store.getRanges(key, [range], { signal });
        return { bytes: parts[0]!, etag };
      },
      load: (name, signal) => loadOrNull(store, this.#folder + name, signal),
    };
  }

  /** The store as engines see it. What is recorded was compared before they get any of it. */
  #store(): ReadableStore {
    const { store } = this.#object;
    const nameOf = (key: string): string => key.slice(this.#folder.length);
    return {
      url: store.url,
      get: async (key, options) => {
        const whole = await this.#whole(nameOf(key));
        if (whole === undefined) return counted(await store.get(key, options), this.#means);
        if (whole === null) throw new ObjectNotFoundError(`Cannot find "${key}"`, { url: `${store.url}/${key}` });
        return bytesObject(whole);
      },
      getRanges: async (key, ranges, options) => {
        const whole = await this.#whole(nameOf(key));
        if (whole === undefined) {
          for (const { lengthBytes } of ranges) this.#means.onBytes(lengthBytes);
          return await store.getRanges(key, ranges, options);
        }
        const parts = ranges.map((range) => partOf(whole, range, nameOf(key)));
        return { etag: null, sizeBytes: null, parts };
      },
    };
  }

  /** Objects that reading the rows did not need. */
  async checkOthers(): Promise<void> {
    for (const { name } of this.#object.objects ?? []) if (!this.#checked.has(name)) await this.#whole(name);
  }

  /** Undefined where nothing is recorded of the object; null when it is missing. */
  #whole(name: string): Promise<Uint8Array | null> | undefined {
    const record = this.#object.objects?.find((object) => object.name === name);
    if (record === undefined) return undefined;
    const loading = this.#kept.get(name) ?? this.#load(name, record);
    this.#kept.delete(name);
    this.#kept.set(name, loading);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > KEPT_MAX) this.#kept.delete(oldest!);
    return loading;
  }

  #load(name: string, record: ObjectDigest): Promise<Uint8Array | null> {
    // Reported once, though it may be read again.
    const report = this.#checked.has(name) ? () => {} : this.#rules.reporter(name);
    this.#checked.add(name);
    return loadCompanion(this.#atRoot(), { name, record, report }, this.#means);
  }

  /** Names are those below the folder of the shard, whichever file the shard begins with. */
  #atRoot(): ShardObject {
    return { ...this.#object, key: this.#folder };
  }
}

async function loadOrNull(
  store: ReadableStore,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | null> {
  try {
    return await (await store.get(key, { signal })).bytes();
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
}

function partOf(whole: Uint8Array | null, { offset, lengthBytes }: ByteRange, name: string): Uint8Array<ArrayBuffer> {
  if (whole !== null && offset + lengthBytes <= whole.length) return whole.slice(offset, offset + lengthBytes);
  throw new CorruptFileError(`Cannot read "${name}" on as it is missing, or shorter than it must be`, offset);
}

function bytesObject(bytes: Uint8Array): StoredObject {
  const copy = bytes.slice();
  return {
    etag: null,
    sizeBytes: copy.length,
    bytes: () => Promise.resolve(copy),
    get body() {
      return new Blob([copy]).stream();
    },
  };
}

/** Objects that are loaded whole: manifests and logs. */
function counted(stored: StoredObject, { onBytes }: ContentMeans): StoredObject {
  return {
    etag: stored.etag,
    sizeBytes: stored.sizeBytes,
    async bytes() {
      const bytes = await stored.bytes();
      onBytes(bytes.length);
      return bytes;
    },
    get body() {
      return stored.body;
    },
  };
}
