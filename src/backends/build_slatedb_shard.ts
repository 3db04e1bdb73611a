/**
 * Builds a SlateDB shard from sorted rows: tables as they get full, then the manifest that makes a database of them.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import { ConfigValidationError, CorruptFileError } from "../errors.ts";
import type { RowCursor, SortedRows } from "../rows.ts";
import { type TableLayout, TableWriter } from "../slatedb/table_writer.ts";
import { ulidText } from "../slatedb/ulid.ts";
import { type NamedTable, stateBytes } from "../slatedb/write_state.ts";
import { copyObject } from "../stores/store.ts";
import type { BuiltShard, ObjectDigest, ShardSource, ShardTarget } from "./backend.ts";
import { SLATEDB_FILE } from "./slatedb_shard_reader.ts";

/** How a shard is written. */
export interface SlatedbLayout extends TableLayout {
  /** From this size on a table is finished. */
  readonly tableSizeBytes: number;
}

/** SlateDB keeps lengths of keys in 16 bits. */
const KEY_BYTES_MAX = 0xffff;
/** So much is written between two turns of the event loop. */
const TURN_BYTES = 1 << 20;

/** Writes a shard; nothing is left in the store when it throws. */
export async function buildSlatedbShard(
  rows: SortedRows,
  target: ShardTarget,
  { tableSizeBytes, ...layout }: SlatedbLayout,
): Promise<BuiltShard> {
  const objects = new ShardObjects(target);
  const writer = new TableWriter(layout);
  let rowCount = 0;
  let turnBytes = TURN_BYTES;
  try {
    await using cursor = await rows.open();
    do {
      while (cursor.next()) {
        addRow(writer, cursor);
        rowCount++;
        const { sizeBytes } = writer;
        if (sizeBytes >= tableSizeBytes) {
          await objects.addTable(writer);
          turnBytes = TURN_BYTES;
        } else if (sizeBytes >= turnBytes) {
          turnBytes = sizeBytes + TURN_BYTES;
          await nextTurn();
        } else continue;
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

/** Lets others have their turn, timers and requests as well. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
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
    const { bytes, info } = writer.finish();
    const digest = await createDigest();
    digest.update(bytes);
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
