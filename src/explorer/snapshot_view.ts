/**
 * The snapshot that is being served, and its shards.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { xxh3Hex } from "../bytes/xxh3.ts";
import { type ShardInfo, shardInfosOf } from "../read/shard_info.ts";
import { directoryOf } from "../snapshots/manifest.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { ExplorerPlace } from "./explorer_options.ts";
import { publicText, seriesName } from "./public_text.ts";

/** A shard, as short as it can be told: there may be 10,000. */
export interface ShardView {
  readonly id: number;
  readonly rows: number;
  readonly bytes: number;
  readonly minKey: string | null;
  readonly maxKey: string | null;
  /** Sizes of the objects beside the shard's file; null where there is none, or the writer did not record it. */
  readonly guardBytes: number | null;
  readonly sidecarBytes: number | null;
  /** The run that wrote it, where that is an earlier one. */
  readonly reusedFrom: string | null;
}

/** The snapshot. Times are milliseconds since 1970. */
export interface SnapshotView {
  readonly title: string;
  readonly id: string;
  readonly runId: string;
  readonly generation: number | null;
  readonly createdAtMs: number;
  readonly publishedAtMs: number;
  readonly keyEncoding: string;
  readonly sharding: string;
  /** Of sharding by an expression. */
  readonly expr: string | null;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly engine: string;
  readonly access: string;
  readonly shardCount: number;
  readonly rowCount: number | null;
  readonly sizeBytes: number | null;
  readonly warnings: readonly string[];
  /** Null where there are so many that the manifest was not read whole. */
  readonly shards: readonly ShardView[] | null;
}

/** What tells a manifest from others without naming the place where it lies. */
export function manifestId(ref: string): string {
  return xxh3Hex(new TextEncoder().encode(ref));
}

/** Describes the snapshot that the reader has, with one GET where its manifest is not known yet. */
export async function snapshotView(place: ExplorerPlace, manifests: ManifestReader): Promise<SnapshotView> {
  const { reader, store, title = seriesName(store) } = place;
  const { info } = reader;
  const { routing } = info;
  const shards = info.isLazy ? null : await shardViews(manifests, info.manifestRef);
  return {
    title,
    id: manifestId(info.manifestRef),
    runId: info.runId,
    generation: info.generation,
    createdAtMs: info.createdAtMicros / 1000,
    publishedAtMs: info.publishedAtMicros / 1000,
    keyEncoding: info.keyEncoding,
    sharding: info.sharding,
    expr: routing.strategy === "cel" ? routing.expr : null,
    columns: routing.strategy === "cel" ? Object.entries(routing.columns).map(([name, type]) => ({ name, type })) : [],
    engine: engineName(info.custom),
    access: info.access,
    shardCount: info.shardCount,
    rowCount: info.rowCount,
    sizeBytes: info.sizeBytes,
    warnings: info.warnings.map((warning) => publicText(warning, store)),
    shards,
  };
}

async function shardViews(manifests: ManifestReader, ref: string): Promise<ShardView[] | null> {
  const manifest = await manifests.loadManifest(ref, { lazily: true });
  if (directoryOf(manifest) !== undefined) return null;
  return shardInfosOf(manifest).map((shard) => shardView(shard, manifest.runId));
}

function shardView(shard: ShardInfo, runId: string): ShardView {
  const { shardId, rowCount, sizeBytes, minKey, maxKey, dbUrl, guardBytes, sidecarBytes } = shard;
  const run = /(?:^|\/)run_id=([^/]+)/.exec(dbUrl ?? "")?.[1] ?? runId;
  return {
    id: shardId,
    rows: rowCount,
    bytes: sizeBytes,
    minKey: keyText(minKey),
    maxKey: keyText(maxKey),
    guardBytes,
    sidecarBytes,
    reusedFrom: run === runId ? null : run,
  };
}

function keyText(key: bigint | string | null): string | null {
  return key === null ? null : String(key).slice(0, 200);
}

function engineName(custom: JsonObject): string {
  const name = field(field(field(custom, "shardyfusion"), "backend"), "name");
  if (typeof name === "string") return name;
  return custom["vector"] === undefined ? "written by the Python package" : "vectors, written by the Python package";
}

function field(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return (value as Record<string, JsonValue>)[name];
}
