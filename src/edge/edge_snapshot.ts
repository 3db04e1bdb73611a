/**
 * Opens snapshots at the edge, with as little code as possible.
 * @module
 */
import type { ShardOpener } from "../backends/backend.ts";
import { edgeSqlite } from "../backends/edge_sqlite.ts";
import { ConfigValidationError } from "../errors.ts";
import { nonEmptyString, objectOf, optional } from "../option_fields.ts";
import { hashRouter } from "../routing/hash_router.ts";
import { objectManifestReader } from "../snapshots/object_manifest_reader.ts";
import { KeyReader } from "../read/key_reader.ts";
import { loadManifestAt, loadNamed, requirePointer } from "../read/load_manifest.ts";
import { rangeAccess } from "../read/range_access.ts";
import { checkOptions, oneOf, readerChecks, type ReaderOptions, type RouterMaker } from "../read/read_options.ts";
import type { ReaderParts } from "../read/reader_parts.ts";
import { ReaderState } from "../read/reader_state.ts";
import { SnapshotSource } from "../read/snapshot_source.ts";

/** Options of the reader for the edge. */
export interface EdgeReaderOptions extends ReaderOptions {
  /** There is only one way here. @default {"range"} */
  readonly access?: "auto" | "range" | undefined;
  /** Ref of the snapshot to read and to stay with. Default: the current one. */
  readonly pin?: string | undefined;
  /**
   * What reads snapshots that are not sharded by hash: `[celRouting]` from `./routing/cel` for CEL sharding, which
   * makes a bundle larger. Default: none.
   */
  readonly routers?: readonly RouterMaker[] | undefined;
  /**
   * What reads the shards where they are not of SQLite: `slatedbReader()` from `./backends/slatedb-reader`, which makes
   * a bundle larger. Default: SQLite.
   */
  readonly backend?: ShardOpener | undefined;
}

const parts: ReaderParts = {
  routerOf({ routing, shardCount, custom }, { routers }) {
    const vector = custom["vector"] as { readonly unified?: unknown } | undefined;
    if (vector && !vector.unified) throw needsMore("a snapshot that has vectors only");
    if (routing.strategy === "hash") return hashRouter(shardCount);
    for (const make of routers ?? []) {
      const router = make(routing, shardCount);
      if (router !== null) return router;
    }
    throw needsMore("CEL sharding", " or give { routers: [celRouting] }");
  },
  openerOf({ custom }) {
    const own = custom["shardyfusion"] as { readonly backend?: { readonly name?: string } } | undefined;
    const name = own?.backend?.name ?? "sqlite";
    // Of one layout: sqlite, native-sqlite, sqlite-vec.
    if (/sqlite/.test(name)) return edgeSqlite;
    throw needsMore(
      `shards of the engine "${name}"`,
      name === "slatedb" ? " or give { backend: slatedbReader() }" : "",
    );
  },
  openAccess: (_, means) => rangeAccess(means),
  manifestsOf: objectManifestReader,
  lazily: () => false,
  async loadFirst(manifests, { pin, signal }) {
    return pin === undefined
      ? await loadNamed(manifests, await requirePointer(manifests, { signal }), { signal })
      : await loadManifestAt(manifests, pin as string, { signal });
  },
};

const checks = {
  ...readerChecks,
  access: optional(oneOf("auto", "range")),
  pin: optional(nonEmptyString),
  backend: optional(objectOf("what reads shards, such as slatedbReader()", "openShard")),
  routers: optional(objectOf("an array such as [celRouting]", "length")),
};

/**
 * Opens the snapshot that is current now, or the pinned one, for lookups by key.
 *
 * The same reader as the package's own `openSnapshot`, less what would make a bundle large: it reads SQLite shards of
 * snapshots with hash sharding (with `backend` and `routers` also others), over ranges; no scans, no borrowed shards,
 * no events, no whole files, no older snapshot in the place of a damaged one, and manifests are read whole, of however
 * many shards.
 * It sends two GETs: one for the pointer, one for the manifest.
 *
 * @throws as the package's own `openSnapshot`.
 *
 * @example Look a key up over HTTP
 * ```ts
 * import { httpStore } from "../stores/http_store.ts";
 * import { openSnapshot } from "./edge_snapshot.ts";
 *
 * async function look(url: string, key: string): Promise<Uint8Array | null> {
 *   await using reader = await openSnapshot({ store: httpStore(url), access: "range" });
 *   return await reader.get(key);
 * }
 * if (typeof look !== "function") throw new Error("unreachable");
 * ```
 */
export async function openSnapshot(options: EdgeReaderOptions): Promise<KeyReader> {
  const checked = checkOptions(options, checks);
  const source = new SnapshotSource(checked, parts);
  return new KeyReader(new ReaderState(source, await source.openFirst(), { options: checked, limiter: null }));
}

function needsMore(what: string, otherwise: string = ""): ConfigValidationError {
  const advice = `import openSnapshot from the package itself${otherwise}`;
  return new ConfigValidationError(
    `Cannot read ${what} with the reader for the edge: ${advice}`,
    "store",
  );
}
