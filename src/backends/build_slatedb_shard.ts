/**
 * Builds a SlateDB shard from sorted rows: tables as they get full, then the manifest that makes a database of them.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import { ConfigValidationError, CorruptFileError } from "../errors.ts";
import type { RowCursor, SortedRows } from "../rows.ts";
import { compressorOf } from "../slatedb/compressor.ts";
import { type TableLayout, TableWriter } from "../slatedb/table_writer.ts";
import { ulidText } from "../slatedb/ulid.ts";
import { type NamedTable, stateBytes } from "../slatedb/write_state.ts";
import { turnsOf } from "../turns.ts";
import { copyObject } from "../stores/store.ts";
import type { BuiltShard, ObjectDigest, ShardSource, ShardTarget } from "./backend.ts";
import { SLATEDB_FILE } from "./slatedb_shard_reader.ts";

/** SlateDB keeps lengths of keys in 16 bits. */
const KEY_BYTES_MAX = 0xffff;
/** After so much it is looked whether others are to have their turn. */
const STEP_BYTES = 1 << 16;
const DIGEST_BYTES = 1 << 20;

/** Writes a shard; nothing is left in the store when it throws. */
export async function buildSlatedbShard(
  rows: SortedRows,
  target: ShardTarget,
  layout: TableLayout,
): Promise<BuiltShard> {
  const objects = new ShardObjects(target);
  const writer = new TableWriter(layout, await compressorOf(layout.compression));
  let rowCount = 0;
  const turns = turnsOf(target.clock);
  let stepEnd = STEP_BYTES;
  try {
    await using cursor = await rows.open();
    do {
      while (cursor.next()) {
        addRow(writer, cursor);
        rowCount++;
        if (writer.sizeBytes < stepEnd) continue;
        if (writer.isFull) await objects.addTable(writer);
        stepEnd = writer.sizeBytes + STEP_BYTES;
        if (turns.isOver) await turns.end();
        target.signal.throwIfAborted();
      }
    } while (await cursor.refill());
    if (!writer.isEmpty) await objects.addTable(writer);
    return await objects.finish(rowCount);
  } catch (error) {
    await objects.remove();
    throw error;
  }
}

/** Copies a shard inside the store; nothing is left of the copy when it throws. */
export async function copySlatedbShard(
  { prefix: from, rowCount, objects }: ShardSource,
  { store, prefix, signal }: Pick<ShardTarget, "store" | "prefix" | "signal">,
): Promise<BuiltShard> {
  const created: string[] = [];
  try {
    // The manifest, which comes first in the list, last.
    for (const { name, sizeBytes } of objects.toReversed()) {
      const keys = { fromKey: `${from}/${name}`, toKey: `${prefix}/${name}` };
      const version = await copyObject(store, keys, { precondition: { ifNoneMatch: "*" }, signal });
      created.push(keys.toKey);
      if (version.sizeBytes === sizeBytes) continue;
      throw new CorruptFileError(`Cannot copy "${store.url}/${keys.fromKey}" as it is not what is recorded`, -1);
    }
    return { dbBytes: sumOf(objects), rowCount, objects };
  } catch (error) {
    for (const key of created) await store.delete(key).catch(() => {});
    throw error;
  }
}

function addRow(writer: TableWriter, { bytes, start, keyLength, valueLength }: RowCursor): void {
  if (keyLength === 0 || keyLength > KEY_BYTES_MAX) {
    throw new ConfigValidationError(
      `Cannot store a key of ${keyLength} bytes with SlateDB as it must have 1 to ${KEY_BYTES_MAX}: ` +
        "leave the row out, or choose another backend",
      "key",
    );
  }
  const valueStart = start + keyLength;
  writer.add(bytes.subarray(start, valueStart), { bytes, start: valueStart, length: valueLength });
}

/** The objects of a shard as they are written. */
class ShardObjects {
  readonly #target: ShardTarget;
  readonly #objects: ObjectDigest[] = [];
  readonly #tables: NamedTable[] = [];

  constructor(target: ShardTarget) {
    this.#target = target;
  }

  /**
   * Ends a table and uploads it. Its name is made from its number and its content, so that the manifest, which has
   * the name, is another one whenever any row is.
   */
  async addTable(writer: TableWriter): Promise<void> {
    const turns = turnsOf(this.#target.clock);
    const { bytes, info } = await writer.finish(turns);
    const digest = await createDigest();
    for (let at = 0; at < bytes.length; at += DIGEST_BYTES) {
      digest.update(bytes.subarray(at, at + DIGEST_BYTES));
      if (turns.isOver) await turns.end();
    }
    const xxh3 = digest.hex();
    const id = { high: BigInt(this.#tables.length + 1) << 16n, low: BigInt(`0x${xxh3}`) };
    await this.#put(bytes, { name: `compacted/${ulidText(id.high, id.low)}.sst`, xxh3 });
    this.#tables.push({ id, info });
  }

  async finish(rowCount: number): Promise<BuiltShard> {
    const bytes = stateBytes(this.#tables);
    const digest = await createDigest();
    digest.update(bytes);
    await this.#put(bytes, { name: SLATEDB_FILE, xxh3: digest.hex() });
    const objects = [this.#objects.at(-1)!, ...this.#objects.slice(0, -1)];
    return { dbBytes: sumOf(objects), rowCount, objects };
  }

  /** Takes back what was written. */
  async remove(): Promise<void> {
    const { store, prefix } = this.#target;
    for (const { name } of this.#objects) await store.delete(`${prefix}/${name}`).catch(() => {});
  }

  async #put(bytes: Uint8Array, { name, xxh3 }: { readonly name: string; readonly xxh3: string }): Promise<void> {
    const { store, prefix, signal } = this.#target;
    await store.put(`${prefix}/${name}`, bytes, { precondition: { ifNoneMatch: "*" }, signal });
    this.#objects.push({ name, sizeBytes: bytes.length, xxh3, rotatedBytes: 0 });
  }
}

function sumOf(objects: readonly ObjectDigest[]): number {
  return objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
