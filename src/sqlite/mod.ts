/**
 * The SQLite file format in plain TypeScript: reading b-trees page by page, and writing databases front to back.
 * @module
 */
export { Database, type KeyValueTableOptions, openDatabase, type SchemaEntry } from "./database_reader.ts";
export { type IndexBuilderOf, KeyValueTable } from "./key_value_table.ts";
export type { KeyHash } from "./key_index.ts";
export { KeyIndexBuilder, keyIndexBuilder } from "./key_index_builder.ts";
export { LongRowsWriter } from "./long_rows_writer.ts";
export type { KeyValueTree } from "./lookup.ts";
export type { TreeShape } from "./tree_shape.ts";
export { type KeyRange, type KeyValueRow, scanTable } from "./scan_table.ts";
export { type RowidRow, RowidRows, type RowidTree, type RowsOptions } from "./rowid_rows.ts";
export { RowidTable } from "./rowid_table.ts";
export { type ColumnDefinition, parseCreateTable, type TableDefinition } from "./create_table.ts";
export { type FileHeader, parseFileHeader } from "./file_header.ts";
export { memoryPages, type PageSource, type RunOptions } from "./page_source.ts";
export { PageCache } from "./page_cache.ts";
export type { SqlValue } from "./record.ts";
export {
  DatabaseWriter,
  type PageSink,
  type RowidTable as RowidTableContent,
  writeDatabase,
} from "./database_writer.ts";
export { type CellHead, encodeRecord, putKeyValueHead } from "./record_writer.ts";
export { TreeWriter } from "./tree_writer.ts";
