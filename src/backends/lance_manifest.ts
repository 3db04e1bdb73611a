/**
 * Which files a version of a Lance table is made of: all that is read here of the format, so that shards can be fetched
 * by name where nobody may list.
 *
 * ```text
 * _versions/latest_version_hint.json   {"version": 3}
 * _versions/<2^64 − 1 − version>.manifest
 *   …  | u32 length, message Manifest at `position` | u64 position, u16, u16, "LANC"
 *   Manifest: 2 fragments, 3 version, 6 place of the indexes (u32 length, message), 12 name of the transaction
 *   fragment: 2 files, 3 deletions, 4 rows      file: 1 name, 6 bytes, 7 another base
 *   indexes: 1 index      index: 1 uuid (1: 16 bytes), 9 another base, 10 file (1 name, 2 bytes)
 * ```
 * @module
 */
import { CorruptFileError, DbAdapterError } from "../errors.ts";

/** A file below the table's folder. */
export interface LanceFile {
  readonly name: string;
  /** Null where the manifest does not tell. */
  readonly sizeBytes: number | null;
}

/** What a version is made of. */
export interface LanceVersion {
  readonly version: number;
  readonly rowCount: number;
  /** Without the manifest itself; the files of rows first. */
  readonly files: readonly LanceFile[];
}

/** Name of the object that tells the latest version. */
export const HINT_FILE = "_versions/latest_version_hint.json";

const FOOTER_BYTES = 16;
const MAGIC = "LANC";

/** Name of a version's manifest. */
export function lanceManifestName(version: number): string {
  return `_versions/${0xffff_ffff_ffff_ffffn - BigInt(version)}.manifest`;
}

/** The version that a hint tells. @throws {CorruptFileError} */
export function readLanceHint(bytes: Uint8Array, url: string): number {
  try {
    const hint: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const version = typeof hint === "object" && hint !== null && "version" in hint ? hint.version : undefined;
    if (typeof version === "number" && Number.isSafeInteger(version) && version >= 1) return version;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new CorruptFileError(`Cannot read "${url}" as the hint of a Lance table: it must tell a version`, 0);
}

/**
 * Reads a manifest.
 *
 * @throws {CorruptFileError} when it is none.
 * @throws {DbAdapterError} for what neither the Python package nor this one writes: deletions, files kept elsewhere.
 */
export function readLanceManifest(bytes: Uint8Array, url: string): LanceVersion {
  try {
    return parse(bytes, url);
  } catch (cause) {
    if (cause instanceof DbAdapterError) throw cause;
    const at = cause instanceof Damage ? cause.at : -1;
    throw new CorruptFileError(`Cannot read "${url}" as the manifest of a Lance table`, at, { cause });
  }
}

/** What is wrong with a manifest, for the error's cause. */
class Damage extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

function parse(bytes: Uint8Array, url: string): LanceVersion {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length - FOOTER_BYTES;
  if (end < 0 || text(bytes.subarray(end + 12)) !== MAGIC) throw new Damage("it must end in the letters LANC", end);
  const manifest = fieldsOf(messageAt(view, Number(view.getBigUint64(end, true))));
  const files: LanceFile[] = [];
  let rowCount = 0;
  for (const fragment of manifest.messages(2)) {
    if (fragment.has(3)) throw unsupported(url, "deleted rows");
    rowCount += fragment.number(4) ?? 0;
    for (const file of fragment.messages(2)) {
      if (file.has(7)) throw unsupported(url, "files in another place");
      files.push({ name: `data/${fileName(file.bytes(1))}`, sizeBytes: file.number(6) || null });
    }
  }
  const indexesAt = manifest.number(6);
  if (indexesAt !== null) {
    for (const index of fieldsOf(messageAt(view, indexesAt)).messages(1)) {
      if (index.has(9)) throw unsupported(url, "files in another place");
      const folder = `_indices/${uuidOf(index.messages(1)[0]?.bytes(1))}`;
      for (const file of index.messages(10)) {
        files.push({ name: `${folder}/${fileName(file.bytes(1))}`, sizeBytes: file.number(2) });
      }
    }
  }
  if (manifest.has(12)) files.push({ name: `_transactions/${fileName(manifest.bytes(12))}`, sizeBytes: null });
  const version = manifest.number(3);
  if (version === null) throw new Damage("it must tell its version", -1);
  return { version, rowCount, files };
}

function unsupported(url: string, what: string): DbAdapterError {
  return new DbAdapterError(`Cannot read "${url}" as the table has ${what}: read it with LanceDB where it lies`);
}

/** A message with its length in front. */
function messageAt(view: DataView, position: number): Uint8Array {
  if (position + 4 > view.byteLength) throw new Damage("a message must begin inside the file", position);
  const length = view.getUint32(position, true);
  if (position + 4 + length > view.byteLength) throw new Damage("a message must end inside the file", position);
  return new Uint8Array(view.buffer, view.byteOffset + position + 4, length);
}

/** Names must not lead out of the folder that they are put into. */
function fileName(bytes: Uint8Array | undefined): string {
  const name = text(bytes ?? new Uint8Array(0));
  if (!/^[\w-][\w.-]*$/.test(name)) throw new Damage(`a file must have a plain name: current value is "${name}"`, -1);
  return name;
}

function uuidOf(bytes: Uint8Array | undefined): string {
  if (bytes?.length !== 16) throw new Damage("an index must be named by 16 bytes", -1);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function text(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/** The fields of a message by number: varints as numbers, the rest as bytes. */
class Fields {
  readonly #values = new Map<number, (number | Uint8Array)[]>();

  add(field: number, value: number | Uint8Array): void {
    const values = this.#values.get(field);
    if (values === undefined) this.#values.set(field, [value]);
    else values.push(value);
  }

  has(field: number): boolean {
    return this.#values.has(field);
  }

  number(field: number): number | null {
    const value = this.#values.get(field)?.at(-1);
    return typeof value === "number" ? value : null;
  }

  bytes(field: number): Uint8Array | undefined {
    const value = this.#values.get(field)?.at(-1);
    return typeof value === "number" ? undefined : value;
  }

  messages(field: number): Fields[] {
    return (this.#values.get(field) ?? []).map((value) => {
      if (typeof value === "number") throw new Damage(`field ${field} must be a message`, -1);
      return fieldsOf(value);
    });
  }
}

function fieldsOf(message: Uint8Array): Fields {
  const fields = new Fields();
  let at = 0;
  function varint(): number {
    let value = 0;
    for (let scale = 1;; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined || scale > 2 ** 63) throw new Damage("a number must end inside its message", -1);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
  function take(length: number): Uint8Array {
    if (at + length > message.length) throw new Damage("a field must end inside its message", -1);
    return message.subarray(at, at += length);
  }
  while (at < message.length) {
    const tag = varint();
    const wire = tag % 8;
    const field = Math.floor(tag / 8);
    if (wire === 0) fields.add(field, varint());
    else if (wire === 1) fields.add(field, take(8));
    else if (wire === 2) fields.add(field, take(varint()));
    else if (wire === 5) fields.add(field, take(4));
    else throw new Damage(`field ${field} must be of a known kind`, -1);
  }
  return fields;
}
