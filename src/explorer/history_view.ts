/**
 * What was published, and going back to it.
 * @module
 */
import { PublishConflictError, ReaderStateError } from "../errors.ts";
import { history, rollBack } from "../snapshots/history.ts";
import { directoryOf, type ManifestRef } from "../snapshots/manifest.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import { isObjectStore, type ObjectStore } from "../stores/store.ts";
import type { ExplorerPlace } from "./explorer_options.ts";
import { messageOf, publicText } from "./public_text.ts";
import { manifestId } from "./snapshot_view.ts";

/** A published snapshot. Times are milliseconds since 1970. */
export interface HistoryEntry {
  readonly id: string;
  readonly runId: string;
  readonly publishedAtMs: number;
  /** Whether the pointer names it. */
  readonly isCurrent: boolean;
  /** Whether this server's reader has it. */
  readonly isServed: boolean;
  readonly shardCount: number | null;
  readonly rowCount: number | null;
  readonly sizeBytes: number | null;
  /** Why the manifest could not be read; null when it could. */
  readonly problem: string | null;
}

/** The history, newest first. */
export interface HistoryView {
  readonly generation: number | null;
  readonly entries: readonly HistoryEntry[];
  /** Why there is no history to be shown; null when there is one. */
  readonly problem: string | null;
  readonly canRollBack: boolean;
  /** Why one cannot roll back; null when one can. */
  readonly reason: string | null;
}

/** What a roll back asks for: ids of the snapshot to take, and of the one that was current when that was decided. */
export interface RollBackWish {
  readonly id: string;
  readonly current: string;
}

const ENTRIES_MAX = 20;

/** Looks back, with one listing and a GET for each manifest that is not known yet. */
export async function historyView(
  place: ExplorerPlace,
  manifests: ManifestReader,
  signal: AbortSignal,
): Promise<HistoryView> {
  const { reader, token } = place;
  const store = writableStore(place);
  const current = await manifests.loadCurrent({ signal });
  const reason = store === null
    ? "This store can only be read"
    : token === undefined
    ? "The server was started without a token for it"
    : null;
  const common = { generation: current?.generation ?? null, canRollBack: reason === null, reason };
  if (store === null) return { ...common, entries: [], problem: "This store cannot list what was published" };
  const refs = await history(store, { ...placeOptions(place), limit: ENTRIES_MAX, signal });
  const served = manifestId(reader.info.manifestRef);
  const entries = await Promise.all(refs.map(async ({ ref, runId, publishedAtMicros }) => ({
    id: manifestId(ref),
    runId,
    publishedAtMs: publishedAtMicros / 1000,
    isCurrent: ref === current?.ref,
    isServed: manifestId(ref) === served,
    ...await contentOf(ref, manifests, place),
  })));
  return { ...common, entries, problem: null };
}

/**
 * Makes an earlier snapshot the current one, and lets the reader take it over.
 *
 * @throws {PublishConflictError} when another snapshot has become current since `wish.current` was.
 * @throws {ReaderStateError} when there is no such snapshot; and what `rollBack` throws.
 */
export async function goBack(
  place: ExplorerPlace,
  manifests: ManifestReader,
  { id, current, signal }: RollBackWish & { readonly signal: AbortSignal },
): Promise<ManifestRef> {
  const store = writableStore(place);
  if (store === null) throw new ReaderStateError("Cannot roll back in a store that can only be read");
  const common = { ...placeOptions(place), signal };
  const refs = await history(store, { ...common, limit: Number.MAX_SAFE_INTEGER });
  const target = refs.find(({ ref }) => manifestId(ref) === id);
  if (target === undefined) throw new ReaderStateError("Cannot roll back as the history has no such snapshot any more");
  const now = await manifests.loadCurrent({ signal });
  if (now !== null && manifestId(now.ref) !== current) {
    const refs = { manifestRef: target.ref, winnerRef: now.ref };
    throw new PublishConflictError("Cannot roll back as another snapshot has become current meanwhile", refs);
  }
  const moved = await rollBack(store, { ...common, ref: target.ref });
  await place.reader.refresh({ signal });
  return moved;
}

/** The store, if it can do more than read. */
function writableStore({ store }: ExplorerPlace): ObjectStore | null {
  return isObjectStore(store) ? store : null;
}

function placeOptions({ manifestStore, pointerKey, clock }: ExplorerPlace): Pick<
  ExplorerPlace,
  "manifestStore" | "pointerKey" | "clock"
> {
  return { manifestStore, pointerKey, clock };
}

async function contentOf(
  ref: string,
  manifests: ManifestReader,
  { store }: ExplorerPlace,
): Promise<Pick<HistoryEntry, "shardCount" | "rowCount" | "sizeBytes" | "problem">> {
  try {
    const manifest = await manifests.loadManifest(ref);
    const { shardCount, shards } = manifest;
    const directory = directoryOf(manifest);
    if (directory !== undefined) {
      return { shardCount, rowCount: directory.rowCount, sizeBytes: directory.sizeBytes, problem: null };
    }
    return {
      shardCount,
      rowCount: shards.reduce((sum, { rowCount }) => sum + rowCount, 0),
      sizeBytes: shards.reduce((sum, { dbBytes }) => sum + dbBytes, 0),
      problem: null,
    };
  } catch (error) {
    return { shardCount: null, rowCount: null, sizeBytes: null, problem: publicText(messageOf(error), store) };
  }
}
