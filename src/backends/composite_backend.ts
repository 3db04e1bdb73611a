/**
 * Shards of two engines: one for rows, one for vectors, as the Python package puts LanceDB beside SQLite or SlateDB.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import { ConfigValidationError, DbAdapterError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { Backend, BackendModule } from "./backend.ts";
import { buildCompositeShard } from "./composite_build.ts";
import { openCompositeShard } from "./composite_reader.ts";

/**
 * Rows in shards of one engine, their vectors in shards of another, in the folder `vector` of each shard's folder.
 *
 * What is written is whole or not there: vectors are uploaded when the rows' file is ready to be, and rows become
 * visible after them; whatever fails removes both. Lookups and scans are answered by the first engine, searches by the
 * second. Shards are read over ranges, as no one file is all of them. Unchanged shards are not reused.
 *
 * @param keyValue Any engine of rows: `sqliteBackend()`, `slatedbBackend()`, or one of your own.
 * @param vector Any engine of vectors: `lancedbBackend(…)`, or one of your own.
 * @throws {ConfigValidationError} when the first engine stores vectors, or the second does not.
 *
 * @example
 * ```ts
 * import { compositeBackend } from "./composite_backend.ts";
 * import { lancedbBackend } from "./lancedb_backend.ts";
 * import { sqliteBackend } from "./sqlite_backend.ts";
 *
 * const backend = compositeBackend(sqliteBackend(), lancedbBackend({ dim: 384, metric: "cosine" }));
 * if (backend.vectors?.dim !== 384) throw new Error("unexpected backend");
 * ```
 */
export function compositeBackend(keyValue: Backend, vector: Backend): Backend {
  checkHalves(keyValue, vector);
  const halves = { keyValue, vector };
  const { dim, metric } = vector.vectors!;
  const module = moduleOf(keyValue, vector);
  const { name } = keyValue.spec;
  return {
    spec: { name: "composite", options: { kv: { ...keyValue.spec }, vector: { ...vector.spec } } },
    ...(module === undefined ? {} : { module }),
    vectors: { dim, metric },
    isReproducible: false,
    fileName: keyValue.fileName,
    opens: ["remote"],
    customFields: {
      ...keyValue.customFields,
      vector: {
        ...{ backend: vector.spec.name, dim, "index_type": "hnsw" },
        ...{ "kv_backend": name === "native-sqlite" ? "sqlite" : name, metric, quantization: null, unified: true },
      },
    },
    buildShard: (rows, target) => buildCompositeShard(rows, target, halves),
    openShard: (file) => {
      if (file.kind === "remote") return openCompositeShard(file.shard, halves);
      return Promise.reject(new DbAdapterError("Cannot open one file as a shard of two engines: it is a folder"));
    },
  };
}

function checkHalves(keyValue: Backend, vector: Backend): void {
  if (keyValue.vectors !== undefined) {
    throw new ConfigValidationError(
      `Cannot use the backend "${keyValue.spec.name}" for rows beside vectors as it must store rows only: ` +
        `current value is one with vectors of ${shown(keyValue.vectors.dim)} numbers`,
      "compositeBackend.keyValue",
    );
  }
  if (vector.vectors !== undefined && vector.spec.name !== "composite") return;
  throw new ConfigValidationError(
    `Cannot use the backend "${vector.spec.name}" for vectors as it must store vectors: take lancedbBackend(…)`,
    "compositeBackend.vector",
  );
}

/** Worker threads make both engines from their modules. */
function moduleOf(keyValue: Backend, vector: Backend): BackendModule | undefined {
  const halves = [keyValue, vector].map(({ module, spec }): JsonObject | undefined =>
    module && { url: module.url, factory: module.factory, options: module.options ?? spec.options }
  );
  const [kv, other] = halves;
  if (kv === undefined || other === undefined) return undefined;
  return { url: import.meta.url, factory: "compositeFromModules", options: { kv, vector: other } };
}

/** What {@linkcode compositeFromModules} is told of an engine. */
interface HalfModule {
  readonly url: string;
  readonly factory: string;
  readonly options: JsonObject;
}

/**
 * Makes the engine in a worker thread, from the modules of its halves.
 *
 * @throws {ConfigValidationError} when a module does not export what it says.
 */
export async function compositeFromModules(
  { kv, vector }: { readonly kv: HalfModule; readonly vector: HalfModule },
): Promise<Backend> {
  return compositeBackend(await load(kv), await load(vector));
}

async function load({ url, factory, options }: HalfModule): Promise<Backend> {
  const module = await import(url) as Record<string, unknown>;
  const make = module[factory];
  if (typeof make === "function") return await make(options) as Backend;
  throw new ConfigValidationError(
    `Cannot use the backend in workers as "${url}" must export a function "${factory}"`,
    "backend",
  );
}
