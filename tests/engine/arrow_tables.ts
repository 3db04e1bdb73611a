/**
 * Arrow for tests, made and read by the library itself.
 * @module
 */
import * as arrow from "apache-arrow";

/** Columns of one length. */
export type Columns = Readonly<Record<string, readonly unknown[]>>;

/** A stream of Arrow, with so many rows in a batch. */
export function arrowStream(columns: Columns, rowsPerBatch = 1000): Uint8Array<ArrayBuffer> {
  const vectors = Object.entries(columns).map(([name, values]) => [name, vectorOf(name, values)] as const);
  const table = new arrow.Table(Object.fromEntries(vectors));
  const batches = [];
  for (let start = 0; start < table.numRows; start += rowsPerBatch) {
    batches.push(...table.slice(start, start + rowsPerBatch).batches);
  }
  const parts = new arrow.Table(table.schema, batches);
  return new Uint8Array(arrow.tableToIPC(parts, "stream"));
}

function vectorOf(name: string, values: readonly unknown[]): arrow.Vector {
  const sample = values.find((value) => value !== null);
  if (name === "vector" || Array.isArray(sample)) {
    const type = new arrow.List(new arrow.Field("item", new arrow.Float32(), true));
    return arrow.vectorFromArray(values as number[][], type);
  }
  if (typeof sample === "bigint") return arrow.vectorFromArray(values, new arrow.Int64());
  if (typeof sample === "string") return arrow.vectorFromArray(values, new arrow.Utf8());
  if (sample instanceof Uint8Array) return arrow.vectorFromArray(values, new arrow.Binary());
  if (name === "shard_id") return arrow.vectorFromArray(values, new arrow.Int32());
  return arrow.vectorFromArray(values, new arrow.Float64());
}

/** All rows of a stream. */
export function arrowRowsIn(bytes: Uint8Array): Record<string, unknown>[] {
  const table = arrow.tableFromIPC(bytes);
  const names = table.schema.fields.map(({ name }) => name);
  const columns = names.map((name) => table.getChild(name)!);
  return Array.from(
    { length: table.numRows },
    (_, row) => Object.fromEntries(names.map((name, at) => [name, columns[at]!.get(row)])),
  );
}

/** Rows as columns, in their order. */
export function columnsOf(rows: readonly Record<string, unknown>[]): Columns {
  return Object.fromEntries(Object.keys(rows[0] ?? {}).map((name) => [name, rows.map((row) => row[name])]));
}
