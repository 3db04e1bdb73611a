/**
 * Builds a shard of two engines so that no half of it is ever seen alone.
 *
 * Engines stream what they build: the rows' file is on its way before it is complete. So the vectors have their turn at
 * the moment at which the first object of the rows would become visible, which is when the rows' file is sealed: until
 * then nothing of the vectors is built, and rows that cannot be sealed cost no upload of vectors.
 * @module
 */
import type { SortedRows } from "../rows.ts";
import type { ObjectStore, ObjectUpload } from "../stores/store.ts";
import type { Backend, BuiltShard, ShardTarget } from "./backend.ts";
import { keyValueRows } from "./key_value_rows.ts";
import { removeObjects } from "./upload_folder.ts";
import { vectorRows } from "./vector_rows.ts";

/** Name of the folder of the vectors in a shard's folder. */
export const VECTOR_FOLDER = "vector";

/** The engines of a shard. */
export interface Halves {
  readonly keyValue: Backend;
  readonly vector: Backend;
}

/** Builds and uploads both halves; nothing is left of either when one fails. */
export async function buildCompositeShard(
  rows: SortedRows,
  target: ShardTarget,
  { keyValue, vector }: Halves,
): Promise<BuiltShard> {
  const vectorPrefix = `${target.prefix}/${VECTOR_FOLDER}`;
  let building: Promise<BuiltShard> | undefined;
  const buildVectors = (): Promise<BuiltShard> =>
    building ??= vector.buildShard(vectorRows(rows), { ...target, prefix: vectorPrefix });
  try {
    const store = gatedStore(target.store, async () => {
      await buildVectors();
    });
    const built = await keyValue.buildShard(await keyValueRows(rows), { ...target, store });
    const vectors = await buildVectors();
    return {
      dbBytes: built.dbBytes + vectors.dbBytes,
      // Rows have values, or they have vectors only.
      rowCount: Math.max(built.rowCount, vectors.rowCount),
      objects: [
        ...built.objects,
        ...vectors.objects.map((object) => ({ ...object, name: `${VECTOR_FOLDER}/${object.name}` })),
      ],
    };
  } catch (error) {
    const vectors = await building?.catch(() => null);
    if (vectors) await removeObjects(target.store, vectors.objects.map(({ name }) => `${vectorPrefix}/${name}`));
    throw error;
  }
}

/** A store in which nothing becomes visible before `ready` has come. */
function gatedStore(inner: ObjectStore, ready: () => Promise<void>): ObjectStore {
  return {
    url: inner.url,
    get: (key, options) => inner.get(key, options),
    getRanges: (key, ranges, options) => inner.getRanges(key, ranges, options),
    list: (prefix, options) => inner.list(prefix, options),
    listFolders: (prefix, options) => inner.listFolders(prefix, options),
    delete: (key, options) => inner.delete(key, options),
    deletePrefix: (prefix, options) => inner.deletePrefix(prefix, options),
    async put(key, bytes, options) {
      await ready();
      return await inner.put(key, bytes, options);
    },
    upload: async (key, options) => gatedUpload(await inner.upload(key, options), ready),
  };
}

function gatedUpload(inner: ObjectUpload, ready: () => Promise<void>): ObjectUpload {
  return {
    write: (chunk) => inner.write(chunk),
    async finish(head) {
      await ready();
      return await inner.finish(head);
    },
    abort: () => inner.abort(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}
