/**
 * All checks of one shard.
 * @module
 */
import type { Backend, ObjectDigest } from "../backends/backend.ts";
import { GUARD_FILE } from "../backends/guard.ts";
import { ConfigValidationError, CorruptFileError } from "../errors.ts";
import { type FullShard, locateShard, type ShardObject, type ShardPlace } from "../read/shard_objects.ts";
import type { Router } from "../routing/router.ts";
import { isVectorOnly } from "../snapshots/vector_fields.ts";
import { ownFields } from "../snapshots/manifest_digest.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import { compareSidecar, openGuard, openSidecar } from "./companion_check.ts";
import { checkDatabase } from "./database_check.ts";
import { checkFolder } from "./folder_check.ts";
import { type ContentMeans, type KeptFile, loadCompanion, readShardFile } from "./object_content.ts";
import { type ReportProblem, RowCheck } from "./row_check.ts";
import type { Findings } from "./verify_report.ts";

const SIDECAR_FILE = "shard.sidecar";
/** Engines whose shards are SQLite files of one layout. */
const SQLITE_ENGINES = ["sqlite", "native-sqlite", "sqlite-vec"];

/** Engines whose shards are folders of objects. */
const FOLDER_ENGINES = ["slatedb", "lancedb", "composite"];

/** What checking a shard takes. */
export interface ShardMeans extends ContentMeans, Pick<ShardPlace, "store" | "resolveStore"> {
  readonly manifest: Manifest;
  readonly manifestRef: string;
  readonly backend: Backend;
  /** Null where keys alone do not tell their shards. */
  readonly router: Router | null;
  readonly findings: Findings;
}

/** Checks a shard; a missing entry, or one without URL, is an empty shard. */
export async function checkShard(shard: ShardEntry, means: ShardMeans): Promise<void> {
  const { shardId, rowCount, dbUrl } = shard;
  if (dbUrl !== null) return await checkFullShard({ ...shard, dbUrl }, means);
  if (rowCount === 0) return;
  reporter(means, [shardId, means.manifestRef])("count", `the shard has ${rowCount} rows, but no URL`);
}

async function checkFullShard(shard: FullShard, means: ShardMeans): Promise<void> {
  const { findings, backend } = means;
  const reportManifest = reporter(means, [shard.shardId, means.manifestRef]);
  const object = located(shard, means, reportManifest);
  if (object === null) return;
  const { digest, objects, sizeBytes } = object;
  const note = (text: string): void => findings.note(text, shard.shardId);
  const isFolder = FOLDER_ENGINES.includes(backend.spec.name);
  // The Python package states no length of such folders, or that of an earlier state.
  const recordedBytes = isFolder ? sumOf(objects, backend) ?? shard.dbBytes : sizeBytes;
  if (recordedBytes !== shard.dbBytes) {
    const message =
      `the manifest says that the file is ${shard.dbBytes} bytes long, and records ${recordedBytes} bytes`;
    reportManifest("size", message);
  }
  if (digest === undefined) note("digests of objects, as the manifest records none");
  if (isFolder) return await checkShardFolder(object, shard, means);
  const isSqlite = SQLITE_ENGINES.includes(backend.spec.name);
  const companions = companionsOf(object, means);
  const guardBytes = isSqlite ? await companions.load(GUARD_FILE) : null;
  const guard = guardBytes && openGuard(guardBytes, object, companions.reporter(GUARD_FILE));
  const sidecarBytes = isSqlite ? await companions.load(SIDECAR_FILE) : null;
  const sidecar = sidecarBytes && openSidecar(sidecarBytes, companions.reporter(SIDECAR_FILE));
  for (const { name } of objects?.slice(1) ?? []) {
    if (!isSqlite || (name !== GUARD_FILE && name !== SIDECAR_FILE)) await companions.load(name);
  }
  const report = reporter(means, [shard.shardId, object.url]);
  const kept = await readShardFile(object, { guard, report, note }, means);
  if (kept === null) return;
  await using file = kept;
  if (sidecar !== null && sidecar.tag !== file.etag) {
    note("whether readers use the sidecar, as it names another ETag than the file has now");
  }
  const { keyEncoding } = means.manifest;
  const rows = new RowCheck(
    { shard, keyEncoding, router: means.router, guard, distinctRows: distinctRows(shard) },
    report,
  );
  try {
    if (isSqlite) {
      const reportSidecar = companions.reporter(SIDECAR_FILE);
      await checkSqliteFile(file, { rows, sidecar, reportSidecar, note, signal: means.signal });
    } else {
      note(`pages of the engine "${backend.spec.name}"`);
      await checkOtherFile(file, { rows, backend, signal: means.signal });
    }
    if (!isVectorOnly(means.manifest)) rows.finish();
  } catch (error) {
    if (!(error instanceof CorruptFileError)) throw error;
    report("structure", error.message, error.byteOffset);
  } finally {
    findings.rowCount += rows.rowCount;
  }
}

/** Checks a shard that is no single file. */
async function checkShardFolder(object: ShardObject, shard: FullShard, means: ShardMeans): Promise<void> {
  const { findings, backend, manifest: { keyEncoding }, router } = means;
  const report = reporter(means, [shard.shardId, object.url]);
  const rows = new RowCheck({ shard, keyEncoding, router, guard: null, distinctRows: distinctRows(shard) }, report);
  const folder = object.url.slice(0, -backend.fileName.length);
  try {
    await checkFolder(object, {
      backend,
      rows,
      reporter: (name) => reporter(means, [shard.shardId, folder + name]),
      note: (text) => findings.note(text, shard.shardId),
    }, means);
    if (!isVectorOnly(means.manifest)) rows.finish();
  } catch (error) {
    if (!(error instanceof CorruptFileError)) throw error;
    report("structure", error.message, error.byteOffset);
  } finally {
    findings.rowCount += rows.rowCount;
  }
}

function sumOf(objects: readonly ObjectDigest[] | undefined, { spec }: Backend): number | undefined {
  // Of two engines each counts in its own way: with SQLite files, their companions do not count.
  return spec.name === "composite" ? undefined : objects?.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

async function checkSqliteFile(file: KeptFile, rules: Parameters<typeof checkDatabase>[1]): Promise<void> {
  const pages = await file.pages();
  try {
    if (rules.sidecar !== null) await compareSidecar(rules.sidecar, pages, rules.reportSidecar);
    await checkDatabase(pages, rules);
  } finally {
    await pages[Symbol.asyncDispose]?.();
  }
}

async function checkOtherFile(
  { file }: KeptFile,
  { rows, backend, signal }: { rows: RowCheck; backend: Backend; signal: AbortSignal },
): Promise<void> {
  await using reader = await backend.openShard(file);
  for await (const batch of reader.scan({ signal })) for (const [key] of batch) rows.add(key, -1);
}

/** Takes problems of an object. */
function reporter({ findings }: ShardMeans, [shardId, object]: readonly [number, string]): ReportProblem {
  return (kind, message, byteOffset = -1) => findings.add({ shardId, object, kind, message, byteOffset });
}

/** Where a shard lies; null when that cannot be told, which is reported. */
function located(shard: FullShard, means: ShardMeans, report: ReportProblem): ShardObject | null {
  const { manifest, store, resolveStore, backend } = means;
  try {
    return locateShard(manifest, shard, { store, resolveStore, fileName: backend.fileName });
  } catch (error) {
    if (!(error instanceof ConfigValidationError || error instanceof CorruptFileError)) throw error;
    report("manifest", error.message);
    return null;
  }
}

/** The objects beside a shard's file that are recorded, or of which the manifest says that they may be there. */
function companionsOf(object: ShardObject, means: ShardMeans): {
  reporter: (name: string) => ReportProblem;
  load: (name: string) => Promise<Uint8Array | null>;
} {
  const folder = object.url.slice(0, object.url.lastIndexOf("/") + 1);
  const reporterOf = (name: string): ReportProblem => reporter(means, [object.shardId, folder + name]);
  return {
    reporter: reporterOf,
    async load(name) {
      const record: ObjectDigest | undefined = object.objects?.find((entry) => entry.name === name);
      const mayBeThere = object.objects === undefined && name === SIDECAR_FILE && object.sidecar !== undefined;
      if (record === undefined && !mayBeThere) return null;
      return await loadCompanion(object, { name, record, report: reporterOf(name) }, means);
    },
  };
}

function distinctRows({ writerInfo }: ShardEntry): number | undefined {
  const recorded = ownFields(writerInfo)?.["distinct_rows"];
  return typeof recorded === "number" ? recorded : undefined;
}
