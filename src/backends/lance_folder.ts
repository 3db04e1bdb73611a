/**
 * The files of a shard's Lance table in the store: which they are, and how they come to a folder on disk.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import { CorruptFileError } from "../errors.ts";
import type { ObjectDigest, RemoteShard } from "./backend.ts";
import { HINT_FILE, type LanceFile, lanceManifestName, readLanceHint, readLanceManifest } from "./lance_manifest.ts";

/** Name of the table; its folder has `.lance` behind it. */
export const LANCE_TABLE = "vector_index";
/** Name of the table's folder below the shard's, or below what stands in for it in a composite shard. */
export const LANCE_FOLDER: string = `${LANCE_TABLE}.lance`;
/** What lies in a shard's folder is found from here. */
export const LANCE_FILE: string = `${LANCE_FOLDER}/${HINT_FILE}`;

/** Larger files come in parts of this length. */
const PART_BYTES = 8 << 20;
/** Files on their way at a time. */
const FILES_MAX = 4;
/** No table has more versions above the one that its hint tells. */
const VERSIONS_MAX = 10_000;

/** A shard's folder, or a folder in it. */
export interface LancePlace {
  readonly shard: Pick<RemoteShard, "load" | "read" | "url" | "objects">;
  /** What stands in front of names: empty, or the name of a folder with a slash behind. */
  readonly prefix: string;
  /** Of the shard's folder, without trailing slash; for errors. */
  readonly folderUrl: string;
}

/**
 * Puts the shard's table below `folder`; false when there is none, as the shard has no vectors.
 *
 * @throws {CorruptFileError} when a file is missing, or is not what was published; the store's errors.
 */
export async function fetchLanceTable(place: LancePlace, folder: string, signal: AbortSignal): Promise<boolean> {
  const fs = await import("node:fs/promises");
  const files = place.shard.objects === undefined ? await foundFiles(place, signal) : recordedFiles(place);
  if (files === null) return false;
  const folders = new Set(files.map(({ name }) => name.slice(0, name.lastIndexOf("/"))));
  for (const name of folders) await fs.mkdir(`${folder}/${LANCE_FOLDER}/${name}`, { recursive: true });
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const queue = files.values();
  async function work(): Promise<void> {
    try {
      for (const file of queue) await fetchFile(place, { file, folder, signal: either });
    } catch (error) {
      failed.abort(error);
    }
  }
  await Promise.all(Array.from({ length: FILES_MAX }, work));
  either.throwIfAborted();
  return true;
}

/** The files that the manifest of the snapshot lists. */
function recordedFiles({ shard, prefix }: LancePlace): LanceFile[] | null {
  const start = `${prefix}${LANCE_FOLDER}/`;
  const files = shard.objects!.filter(({ name }) => name.startsWith(start));
  for (const { name } of files) {
    if (name.split("/").some((part) => part === ".." || part === "" || part.includes("\\"))) {
      throw new CorruptFileError(`Cannot read "${shard.url}" as "${name}" must be a name below the shard's folder`, -1);
    }
  }
  if (files.length === 0) return null;
  return files.map(({ name, sizeBytes }) => ({ name: name.slice(start.length), sizeBytes }));
}

/** The files that the table itself lists, in its last version. Null when there is no version. */
async function foundFiles(place: LancePlace, signal: AbortSignal): Promise<LanceFile[] | null> {
  const hint = await load(place, HINT_FILE, signal);
  let version = hint === null ? 1 : readLanceHint(hint, urlOf(place, HINT_FILE));
  let manifest: Uint8Array | null = null;
  // A hint may be late.
  for (const end = version + VERSIONS_MAX; version < end; version++) {
    const next = await load(place, lanceManifestName(version), signal);
    if (next === null) break;
    manifest = next;
  }
  if (manifest === null) {
    if (hint === null) return null;
    throw missing(urlOf(place, lanceManifestName(version)));
  }
  const name = lanceManifestName(version - 1);
  const { files } = readLanceManifest(manifest, urlOf(place, name));
  return [...files, { name, sizeBytes: manifest.length }];
}

async function load({ shard, prefix }: LancePlace, name: string, signal: AbortSignal): Promise<Uint8Array | null> {
  return await shard.load(`${prefix}${LANCE_FOLDER}/${name}`, signal);
}

function urlOf({ folderUrl, prefix }: LancePlace, name: string): string {
  return `${folderUrl}/${prefix}${LANCE_FOLDER}/${name}`;
}

function missing(url: string): CorruptFileError {
  return new CorruptFileError(`Cannot find "${url}", which is part of the shard`, -1);
}

async function fetchFile(
  place: LancePlace,
  { file, folder, signal }: { file: LanceFile; folder: string; signal: AbortSignal },
): Promise<void> {
  const { name, sizeBytes } = file;
  const fs = await import("node:fs/promises");
  const path = `${folder}/${LANCE_FOLDER}/${name}`;
  if (sizeBytes !== null && sizeBytes > PART_BYTES) return await fetchParts(place, { name, sizeBytes, path, signal });
  const bytes = await load(place, name, signal);
  if (bytes === null) throw missing(urlOf(place, name));
  if (sizeBytes !== null && bytes.length !== sizeBytes) {
    const url = urlOf(place, name);
    throw new CorruptFileError(
      `Cannot use "${url}" as it must be ${sizeBytes} bytes long: current value is ${bytes.length}`,
      Math.min(bytes.length, sizeBytes),
    );
  }
  await fs.writeFile(path, bytes, { signal });
}

async function fetchParts(
  { shard, prefix, ...place }: LancePlace,
  { name, sizeBytes, path, signal }: { name: string; sizeBytes: number; path: string; signal: AbortSignal },
): Promise<void> {
  const fs = await import("node:fs/promises");
  const fullName = `${prefix}${LANCE_FOLDER}/${name}`;
  const url = urlOf({ ...place, shard, prefix }, name);
  const digest: ObjectDigest | undefined = shard.objects?.find((object) => object.name === fullName);
  const seen = digest && await createDigest();
  let etag: string | null | undefined;
  await using file = await fs.open(path, "wx");
  for (let offset = 0; offset < sizeBytes; offset += PART_BYTES) {
    const lengthBytes = Math.min(PART_BYTES, sizeBytes - offset);
    const part = await shard.read({ offset, lengthBytes }, signal, fullName);
    if (etag !== undefined && part.etag !== etag) {
      throw new CorruptFileError(`Cannot use "${url}" as it was replaced while it was read`, offset);
    }
    etag = part.etag;
    seen?.update(part.bytes);
    await file.appendFile(part.bytes);
  }
  if (seen && seen.hex() !== digest!.xxh3) {
    throw new CorruptFileError(`Cannot use "${url}" as its bytes do not have the recorded digest`, -1);
  }
}
