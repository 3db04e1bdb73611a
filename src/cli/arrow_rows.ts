/**
 * Rows of Arrow's interprocess format, a record batch at a time.
 * @module
 */
import type { RecordBatch } from "apache-arrow";
import { type Arrow, loadArrow, openArrow } from "../engine/arrow_input.ts";
import { columnReader, type Read } from "../engine/column_readers.ts";
import { type ColumnValue, columnValueOf, type Where } from "../engine/column_values.ts";
import { locatedError } from "../engine/located_errors.ts";
import { ConfigValidationError } from "../errors.ts";
import type { Input } from "./input.ts";
import type { RowArrays } from "./parquet_rows.ts";

/**
 * Reads streams, and files, which are streams with a frame around them. In memory is one batch, whose size whoever
 * wrote it chose.
 */
export async function* arrowRows(input: Input, signal: AbortSignal): RowArrays {
  const arrow = await loadArrow();
  let rowStart = 0;
  const { schema, batches } = await openArrow(input, signal);
  if (schema === null) {
    throw new ConfigValidationError(`Cannot read ${input.name} as Arrow: there is nothing in it`, "rows");
  }
  for await (const batch of batches) {
    yield rowsOf(arrow, batch, { name: input.name, rowStart });
    rowStart += batch.numRows;
  }
}

function rowsOf(
  arrow: Arrow,
  batch: RecordBatch,
  { name, rowStart }: { name: string; rowStart: number },
): [Record<string, ColumnValue>, Where][] {
  const columns = batch.schema.fields.map(({ name }, at) => ({
    name,
    read: columnReader(arrow, { name, column: batch.getChildAt(at)! }),
  }));
  return Array.from({ length: batch.numRows }, (_, index) => {
    const where: Where = () => `row ${rowStart + index + 1} of ${name}`;
    const row: Record<string, ColumnValue> = {};
    for (const { name, read } of columns) row[name] = columnValueOf(readAt(read, { index, where }), where);
    return [row, where];
  });
}

function readAt(read: Read, { index, where }: { index: number; where: Where }): unknown {
  try {
    return read(index);
  } catch (error) {
    throw locatedError(error, where());
  }
}
