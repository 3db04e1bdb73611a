/**
 * Rows of Parquet files, a group of rows at a time.
 * @module
 */
import { open } from "node:fs/promises";
import { ConfigValidationError, MissingLibraryError } from "../errors.ts";
import { messageOf } from "./cli_errors.ts";
import { type ColumnRow, columnValueOf } from "../engine/column_values.ts";
import type { Input } from "./input.ts";
import type { Where } from "./row_shape.ts";

/** Rows with a way to say where they are. */
export type RowArrays = AsyncGenerator<readonly (readonly [row: ColumnRow, where: Where])[], void, undefined>;

/** Days are texts without a time of day. */
const parsers = {
  dateFromDays: (days: number): string => new Date(days * 86_400_000).toISOString().slice(0, 10),
};

interface ByteSource {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

/**
 * Reads the columns that are wanted. In memory is one group of rows, whose size whoever wrote the file chose; what
 * comes over stdin is kept whole, as the description of a file stands at its end.
 *
 * @param columns Undefined: all of them.
 */
export async function* parquetRows(
  input: Input,
  columns: readonly string[] | undefined,
  signal: AbortSignal,
): RowArrays {
  const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await imported(
    "hyparquet",
    () => import("hyparquet"),
  );
  const { compressors } = await imported("hyparquet-compressors", () => import("hyparquet-compressors"));
  await using file = await sourceOf(input, signal);
  const refuse = (error: unknown): never => {
    if (signal.aborted) throw signal.reason;
    throw new ConfigValidationError(`Cannot read ${input.name} as Parquet: ${messageOf(error)}`, "rows", {
      cause: error,
    });
  };
  const metadata = await parquetMetadataAsync(file).catch(refuse);
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  const missing = columns?.find((name) => !names.includes(name));
  if (missing !== undefined) {
    const found = names.slice(0, 20).join(", ");
    throw new ConfigValidationError(
      `Cannot find column "${missing}" in ${input.name}: it has the columns ${found}`,
      "rows",
    );
  }
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    signal.throwIfAborted();
    const rowEnd = rowStart + Number(group.num_rows);
    const wanted = columns === undefined ? {} : { columns: [...new Set(columns)] };
    const options = { file, metadata, rowStart, rowEnd, compressors, parsers, utf8: false, ...wanted };
    const rows = await parquetReadObjects(options).catch(refuse);
    const first = rowStart;
    yield rows.map((row, index) => {
      const where: Where = () => `row ${first + index + 1} of ${input.name}`;
      const values = Object.entries(row).map(([name, value]) => [name, columnValueOf(value, where)] as const);
      return [Object.fromEntries(values), where] as const;
    });
    rowStart = rowEnd;
  }
}

/** A library that only some inputs need. */
export async function imported<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new MissingLibraryError(`Cannot read this format without the package "${name}": install it`, name, { cause });
  }
}

async function sourceOf(input: Input, signal: AbortSignal): Promise<ByteSource & AsyncDisposable> {
  if (input.path === undefined) {
    const whole = await new Response(input.bytes, {}).arrayBuffer();
    signal.throwIfAborted();
    const slice = (start: number, end?: number): Promise<ArrayBuffer> => Promise.resolve(whole.slice(start, end));
    return { byteLength: whole.byteLength, slice, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  await input.bytes.cancel();
  const file = await open(input.path);
  const { size } = await file.stat();
  return {
    byteLength: size,
    async slice(start, end = size) {
      signal.throwIfAborted();
      const bytes = new Uint8Array(end - start);
      let filled = 0;
      while (filled < bytes.byteLength) {
        const { bytesRead } = await file.read(bytes, filled, bytes.byteLength - filled, start + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.buffer.slice(0, filled);
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}
