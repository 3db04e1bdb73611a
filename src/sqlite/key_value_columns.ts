/**
 * Where key and value stand in the rows of a key-value table: for those who go through all rows.
 * @module
 */
import type { KeyValueTree } from "./lookup.ts";
import { serialBytes } from "./record.ts";
import { corruptPage, type Payload } from "./tree_shape.ts";
import { varintAt, varintEnd } from "./varint.ts";

/** Where key and value stand in a row's payload: offset and length of each. */
export interface KeyValueColumns {
  readonly key: readonly [from: number, length: number];
  readonly value: readonly [from: number, length: number];
}

/**
 * Finds key and value in a record.
 *
 * @throws {CorruptFileError} when one of them is no blob, or lengths contradict each other. Text is taken as its bytes
 * where a value is expected.
 */
export function columnsOf(tree: KeyValueTree, payload: Payload): KeyValueColumns {
  const { bytes, start, localBytes, sizeBytes } = payload;
  const typesStart = varintEnd(bytes, start, start + localBytes);
  const headerBytes = typesStart < 0 ? Infinity : varintAt(bytes, start);
  if (headerBytes > localBytes) throw corruptRow(tree, payload, "the header of a row must lie inside the row");
  let at = typesStart;
  let from = headerBytes;
  let key: readonly [number, number] = [0, 0];
  for (let column = 0;; column++) {
    const next = varintEnd(bytes, at, start + headerBytes);
    const type = next < 0 ? 0 : varintAt(bytes, at);
    const length = serialBytes(type);
    if (next < 0 || length < 0 || from + length > sizeBytes) {
      throw corruptRow(tree, payload, "the columns of a row must lie inside the row");
    }
    if (column === 0) {
      if (type < 12 || type % 2 === 1) throw corruptRow(tree, payload, "a key must be a blob");
      key = [from, length];
    } else if (column === tree.valueColumn) {
      if (type < 12) throw corruptRow(tree, payload, "a value must be a blob");
      return { key, value: [from, length] };
    }
    from += length;
    at = next;
  }
}

function corruptRow(tree: KeyValueTree, payload: Payload, message: string): Error {
  return corruptPage(tree.shape, [payload.pageNumber, payload.offset], message);
}
