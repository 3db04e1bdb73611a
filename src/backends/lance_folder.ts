/**
 * The files of a shard's Lance table in the store: which they are, and how they come to a folder on disk.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import { CorruptFileError, ObjectNotFoundError } from "../errors.ts";
import { type ByteRange, replacedError, type StoredRanges } from "../stores/store.ts";
import type { RemoteShard } from "./backend.ts";
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

/** A shard's folder; `key` and `url` are those of its hint. */
export type LancePlace = Pick<RemoteShard, "store" | "key" | "url" | "objects">;

/** URL of the shard's folder, without trailing slash. */
export function lanceFolderUrl({ url }: LancePlace): string {
  return url.slice(0, -LANCE_FILE.length - 1);
}

/**
 * Puts the shard's table below `folder`; false when there is none, as the shard has no vectors.
 *
 * @throws {CorruptFileError} when a file is missing, or is not what was published; the store's errors.
 */
export async function fetchLanceTable(place: LancePlace, folder: string, signal: AbortSignal): Promise<boolean> {
  const fs = await import("node:fs/promises");
  const files = place.objects === undefined ? await foundFiles(place, signal) : recordedFiles(place);
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
function recordedFiles({ objects, url }: LancePlace): LanceFile[] | null {
  const start = `${LANCE_FOLDER}/`;
  const files = objects!.filter(({ name }) => name.startsWith(start));
  for (const { name } of files) {
    if (name.split("/").some((part) => part === ".." || part === "" || part.includes("\\"))) {
      throw new CorruptFileError(`Cannot read "${url}" as "${name}" must be a name below the shard's folder`, -1);
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

async function load(place: LancePlace, name: string, signal: AbortSignal): Promise<Uint8Array | null> {
  try {
    const stored = await place.store.get(keyOf(place, name), { signal });
    return await stored.bytes();
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
}

function keyOf({ key }: LancePlace, name: string): string {
  return key.slice(0, -HINT_FILE.length) + name;
}

function urlOf(place: LancePlace, name: string): string {
  return `${lanceFolderUrl(place)}/${LANCE_FOLDER}/${name}`;
}

function missing(url: string): CorruptFileError {
  return new CorruptFileError(`Cannot find "${url}", which is part of the shard`, -1);
}

async function fetchFile(
  place: LancePlace,
  { file, folder, signal }: { file: LanceFile; folder: string; signal: AbortSignal },
): Promise<void> {
  const { name, sizeBytes } = file;
  const url = urlOf(place, name);
  const digest = place.objects?.find((object) => object.name === `${LANCE_FOLDER}/${name}`);
  const seen = digest && await createDigest();
  const fs = await import("node:fs/promises");
  await using target = await fs.open(`${folder}/${LANCE_FOLDER}/${name}`, "wx");
  let writtenBytes = 0;
  for await (const part of partsOf(place, file, signal)) {
    seen?.update(part);
    await target.appendFile(part);
    writtenBytes += part.length;
  }
  if (sizeBytes !== null && writtenBytes !== sizeBytes) {
    throw new CorruptFileError(
      `Cannot use "${url}" as it must be ${sizeBytes} bytes long: current value is ${writtenBytes}`,
      Math.min(writtenBytes, sizeBytes),
    );
  }
  if (seen === undefined || seen.hex() === digest!.xxh3) return;
  throw new CorruptFileError(`Cannot use "${url}" as its bytes do not have the recorded digest`, -1);
}

/** The file in parts, all of one version; small ones as a whole. */
async function* partsOf(
  place: LancePlace,
  { name, sizeBytes }: LanceFile,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const url = urlOf(place, name);
  if (sizeBytes === null || sizeBytes <= PART_BYTES) {
    const bytes = await load(place, name, signal);
    if (bytes === null) throw missing(url);
    return yield bytes;
  }
  let etag: string | null | undefined;
  for (let offset = 0; offset < sizeBytes; offset += PART_BYTES) {
    const lengthBytes = Math.min(PART_BYTES, sizeBytes - offset);
    const stored: StoredRanges = await loadPart(place, name, { range: { offset, lengthBytes }, sizeBytes, signal });
    if (etag !== undefined && stored.etag !== etag) throw replacedError(url);
    etag = stored.etag;
    yield stored.parts[0]!;
  }
}

async function loadPart(
  place: LancePlace,
  name: string,
  { range, sizeBytes, signal }: { range: ByteRange; sizeBytes: number; signal: AbortSignal },
): Promise<StoredRanges> {
  const url = urlOf(place, name);
  const stored = await place.store.getRanges(keyOf(place, name), [range], { signal }).catch((error) => {
    throw error instanceof ObjectNotFoundError ? missing(url) : error;
  });
  if (stored.sizeBytes === null || stored.sizeBytes === sizeBytes) return stored;
  throw new CorruptFileError(
    `Cannot use "${url}" as it must be ${sizeBytes} bytes long: current value is ${stored.sizeBytes}`,
    Math.min(stored.sizeBytes, sizeBytes),
  );
}
