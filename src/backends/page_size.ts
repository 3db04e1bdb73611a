/**
 * Which page size suits rows: the rule of `pageSizeBytes: "auto"` (WIRE_FORMATS 9).
 * @module
 */
import { indexLocalMax, PAGE_SIZES } from "../sqlite/format.ts";
import type { SortedRows } from "../rows.ts";

/** Bytes that a row needs beside its key and value, generously. */
const ROW_HEAD_BYTES = 12;
/** Rows whose key and value exceed this have an overflow chain whatever the page size. */
const VALUE_BYTES_MAX = indexLocalMax(65536);

/** The smallest page size that keeps a row of such a key and value on one page, else 65536. */
export function recommendPageSize(p95ValueBytes: number, keyBytesMax: number): number {
  const neededBytes = p95ValueBytes + keyBytesMax + ROW_HEAD_BYTES;
  return PAGE_SIZES.find((pageSizeBytes) => indexLocalMax(pageSizeBytes) >= neededBytes) ?? 65536;
}

/**
 * The recommended page size for rows: by the length of the longest key and of the value at ascending rank
 * `ceil(0.95 × rows)`. Goes through the rows once; 4096 when there are none.
 */
export async function measurePageSize(rows: SortedRows): Promise<number> {
  const countOfLength = new Uint32Array(VALUE_BYTES_MAX + 2);
  let rowCount = 0;
  let keyBytesMax = 0;
  await using cursor = await rows.open();
  do {
    while (cursor.next()) {
      rowCount++;
      if (cursor.keyLength > keyBytesMax) keyBytesMax = cursor.keyLength;
      countOfLength[Math.min(cursor.valueLength, VALUE_BYTES_MAX + 1)]!++;
    }
  } while (await cursor.refill());
  if (rowCount === 0) return PAGE_SIZES[0]!;
  let rank = Math.ceil(0.95 * rowCount);
  let p95ValueBytes = 0;
  while ((rank -= countOfLength[p95ValueBytes]!) > 0) p95ValueBytes++;
  return recommendPageSize(p95ValueBytes, keyBytesMax);
}
