/**
 * What checking a snapshot finds: problems, and what could not be checked.
 * @module
 */

/**
 * What is wrong.
 *
 * - `"pointer"`, `"manifest"`: they do not follow their format, or contradict themselves or each other.
 * - `"missing"`, `"size"`, `"digest"`: an object is not there, or not what was recorded about it.
 * - `"guard"`, `"sidecar"`: such an object does not belong to its shard's file.
 * - `"page"`: a page does not have its checksum in the guard.
 * - `"structure"`: the file cannot be read to its end as a database with the table of the rows.
 * - `"key"`, `"order"`, `"route"`: a key cannot be one of this snapshot, or stands in the wrong place or shard.
 * - `"count"`, `"minKey"`, `"maxKey"`: the rows are not those that the manifest describes.
 */
export type ProblemKind =
  | "pointer"
  | "manifest"
  | "missing"
  | "size"
  | "digest"
  | "guard"
  | "sidecar"
  | "page"
  | "structure"
  | "key"
  | "order"
  | "route"
  | "count"
  | "minKey"
  | "maxKey";

/** One thing that is wrong. */
export interface SnapshotProblem {
  /** Null for the pointer, the manifest, and what routes vectors. */
  readonly shardId: number | null;
  /** URL of the object concerned, or, in a manifest store, what it is called there. */
  readonly object: string;
  /** What is wrong. */
  readonly kind: ProblemKind;
  /** A sentence without full stop that says what is wrong, and with which values. */
  readonly message: string;
  /** Where in the object, in bytes from its start; missing where no single place is wrong. */
  readonly byteOffset?: number;
}

/** What `verifySnapshot` found. */
export interface SnapshotReport {
  /** Whether there are no problems at all. */
  readonly isSound: boolean;
  /** Null when there is no pointer that names one. */
  readonly manifestRef: string | null;
  /** Null when the manifest could not be read, as are the shards then. */
  readonly runId: string | null;
  /** Shards of the snapshot, empty ones included; 0 when the manifest could not be read. */
  readonly shardCount: number;
  /** Rows that were found in the shards that were checked: repeated keys count once. */
  readonly rowCount: number;
  /** Length of the objects of shards that were read, in bytes. */
  readonly bytesRead: number;
  /** By shard, what concerns no shard first; at most 1,000. */
  readonly problems: readonly SnapshotProblem[];
  /** How many there are, also of those that `problems` has no room for. */
  readonly problemCount: number;
  /** What this snapshot does not let one check, in sentences. It may well be sound. */
  readonly unchecked: readonly string[];
}

/** So many problems are told; the others are counted. */
export const PROBLEMS_MAX = 1000;
/** So many shards are named of those that the same is to be said of. */
const NAMED_SHARDS_MAX = 5;

/** Problems and notes as they are being collected. */
export class Findings {
  rowCount = 0;
  bytesRead = 0;
  #problemCount = 0;
  readonly #problems: SnapshotProblem[] = [];
  /** Shards by what is to be said of them. */
  readonly #notes = new Map<string, number[]>();

  /** How many problems were found so far. */
  get problemCount(): number {
    return this.#problemCount;
  }

  /** Collects a problem; `byteOffset` below 0 stands for none. */
  add({ byteOffset, ...problem }: SnapshotProblem): void {
    if (this.#problemCount++ >= PROBLEMS_MAX) return;
    this.#problems.push(byteOffset === undefined || byteOffset < 0 ? problem : { ...problem, byteOffset });
  }

  /** Says what could not be checked, of a shard or of the whole snapshot. */
  note(text: string, shardId: number | null = null): void {
    const shardIds = this.#notes.get(text) ?? [];
    if (shardId !== null) shardIds.push(shardId);
    this.#notes.set(text, shardIds);
  }

  /** All that was found. */
  report(snapshot: Pick<SnapshotReport, "manifestRef" | "runId" | "shardCount">): SnapshotReport {
    const { rowCount, bytesRead } = this;
    const isSound = this.#problemCount === 0;
    const problems = this.#problems.sort((one, other) => (one.shardId ?? -1) - (other.shardId ?? -1));
    const unchecked = [...this.#notes].map(([text, shardIds]) => text + shardList(shardIds));
    return { isSound, ...snapshot, rowCount, bytesRead, problems, problemCount: this.#problemCount, unchecked };
  }
}

function shardList(shardIds: number[]): string {
  if (shardIds.length === 0) return "";
  const named = shardIds.sort((one, other) => one - other).slice(0, NAMED_SHARDS_MAX).join(", ");
  const others = shardIds.length - NAMED_SHARDS_MAX;
  return ` (${shardIds.length === 1 ? "shard" : "shards"} ${named}${others > 0 ? ` and ${others} more` : ""})`;
}
