/**
 * The way of a look-up through the pages of a shard, found out afterwards from the pages that it has read.
 * @module
 */
import { parseFileHeader } from "../sqlite/file_header.ts";
import { LEAF_INDEX } from "../sqlite/format.ts";
import { type KeyValueTree, Lookup, type PathStep } from "../sqlite/lookup.ts";
import { feedAtHand } from "../sqlite/overflow.ts";
import type { PageSource } from "../sqlite/page_source.ts";
import { openPlainDatabase } from "../sqlite/plain_database.ts";
import { decodeSidecar, type Sidecar } from "../sqlite/sidecar.ts";
import { u16At } from "../sqlite/tree_shape.ts";
import type { RecordedRequest } from "./recording.ts";

/** One page on the way. */
export interface TreeStep {
  readonly pageNumber: number;
  readonly kind: "interior" | "leaf";
  /** Cells of the page, and the one where the search went on or ended: from 0 up, the count for behind the last. */
  readonly cellCount: number;
  readonly cellIndex: number;
  /** Where the page came from: the sidecar, an earlier look-up, or a GET of this one. */
  readonly from: "sidecar" | "cache" | "get";
}

/** The way, and the file that it went through. */
export interface TreeWay {
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  /** Root first. Empty where the pages do not show it. */
  readonly steps: readonly TreeStep[];
}

/** The file of a shard, and what lies beside it. */
const SHARD_FILE = "/shard.db";
const SIDECAR_FILE = "/shard.sidecar";
/** Pages and sidecars that are kept, in bytes. Beyond it all are forgotten, and warm look-ups not drawn for a while. */
const KEPT_BYTES_MAX = 1 << 25;

/** What has been read of one shard. */
interface KnownShard {
  sidecar: Sidecar | null;
  /** Bytes of the file by their offset. */
  readonly parts: Map<number, Uint8Array>;
}

/** The pages that were read, of all shards of a snapshot. */
export class SeenPages {
  readonly #shards = new Map<string, KnownShard>();
  #keptBytes = 0;

  /** Takes what requests have brought. */
  add(requests: readonly RecordedRequest[]): void {
    if (this.#keptBytes > KEPT_BYTES_MAX) {
      this.#keptBytes = 0;
      this.#shards.clear();
    }
    for (const { url, range, bytes } of requests) {
      if (bytes === null) continue;
      if (url.endsWith(SIDECAR_FILE)) {
        const sidecar = this.#of(url, SIDECAR_FILE).sidecar = sidecarOrNull(bytes);
        this.#keptBytes += sidecar?.sizeBytes ?? 0;
      } else if (url.endsWith(SHARD_FILE) && range !== null) {
        this.#of(url, SHARD_FILE).parts.set(range.offset, bytes);
        this.#keptBytes += bytes.byteLength;
      }
    }
  }

  /**
   * The way to a key; null where the shard is no SQLite file, or nothing of it was read.
   *
   * @param dbUrl Folder of the shard as the manifest names it; a copy of the series is read from elsewhere.
   * @param requests Those of this look-up: what they brought did not lie in the cache.
   */
  async wayTo(key: Uint8Array, dbUrl: string, requests: readonly RecordedRequest[]): Promise<TreeWay | null> {
    const shard = this.#shards.get(nameOf(dbUrl));
    const head = shard?.sidecar?.page(1) ?? shard?.parts.get(0);
    if (shard === undefined || head === undefined) return null;
    try {
      const { pageSizeBytes, pageCount } = parseFileHeader(head, Number.MAX_SAFE_INTEGER);
      const source = pagesAtHand(shard, { pageSizeBytes, pageCount });
      const { tree } = (await openPlainDatabase(source)).keyValueTable("kv");
      const fresh = requests.filter(({ url }) => url.endsWith(`${nameOf(dbUrl)}${SHARD_FILE}`));
      const steps = walk(tree, key).map((step) => treeStep(step, { shard, fresh, pageSizeBytes }));
      return { pageSizeBytes, pageCount, steps };
    } catch {
      // A drawing is not worth a failure: the look-up itself has told what is wrong, if anything is.
      return null;
    }
  }

  #of(url: string, file: string): KnownShard {
    const name = nameOf(url.slice(0, -file.length));
    const found = this.#shards.get(name);
    if (found !== undefined) return found;
    const made: KnownShard = { sidecar: null, parts: new Map() };
    this.#shards.set(name, made);
    return made;
  }
}

/** What tells a shard from the others of its snapshot, wherever the series lies: `run_id=…/db=…/attempt=…`. */
function nameOf(dbUrl: string): string {
  return `/${dbUrl.split("/").slice(-3).join("/")}`;
}

function sidecarOrNull(bytes: Uint8Array): Sidecar | null {
  try {
    return decodeSidecar(bytes);
  } catch {
    return null;
  }
}

/** The pages that are known. */
function pagesAtHand(shard: KnownShard, size: Pick<PageSource, "pageSizeBytes" | "pageCount">): PageSource {
  const peek = (pageNumber: number): Uint8Array | undefined =>
    shard.sidecar?.page(pageNumber) ?? partOf(shard, (pageNumber - 1) * size.pageSizeBytes, size.pageSizeBytes);
  return {
    ...size,
    peek,
    load: (pageNumber) => {
      const page = peek(pageNumber);
      return page === undefined ? Promise.reject(new Error(`page ${pageNumber} was not read`)) : Promise.resolve(page);
    },
  };
}

function partOf({ parts }: KnownShard, offset: number, lengthBytes: number): Uint8Array | undefined {
  const exact = parts.get(offset);
  if (exact !== undefined && exact.byteLength >= lengthBytes) return exact.subarray(0, lengthBytes);
  for (const [start, bytes] of parts) {
    if (start <= offset && offset + lengthBytes <= start + bytes.byteLength) {
      return bytes.subarray(offset - start, offset - start + lengthBytes);
    }
  }
  return undefined;
}

function walk(tree: KeyValueTree, key: Uint8Array): PathStep[] {
  const lookup = new Lookup(tree);
  const path = lookup.path = [] as PathStep[];
  lookup.begin(key);
  feedAtHand(tree.shape, lookup);
  return path;
}

function treeStep(
  step: PathStep,
  { shard: { sidecar }, fresh, pageSizeBytes }: {
    readonly shard: KnownShard;
    readonly fresh: readonly RecordedRequest[];
    readonly pageSizeBytes: number;
  },
): TreeStep {
  const { bytes, pageStart, pageNumber, cellIndex } = step;
  const isFresh = fresh.some(({ range, bytes: part }) => {
    const offset = (pageNumber - 1) * pageSizeBytes;
    return range !== null && part !== null && range.offset <= offset && offset < range.offset + range.lengthBytes;
  });
  return {
    pageNumber,
    kind: bytes[pageStart] === LEAF_INDEX ? "leaf" : "interior",
    cellCount: u16At(bytes, pageStart + 3),
    cellIndex,
    from: sidecar?.page(pageNumber) !== undefined ? "sidecar" : isFresh ? "get" : "cache",
  };
}
