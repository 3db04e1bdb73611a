/**
 * Writes the manifest of a database whose tables are one run in ascending order, and which has no log.
 * @module
 */
import { SEQUENCE } from "./block_writer.ts";
import { flatBytes, type FlatFields } from "./flat_builder.ts";
import { TABLE_VERSION } from "./table_writer.ts";

/** A table as the manifest names it. */
export interface NamedTable {
  readonly id: { readonly high: bigint; readonly low: bigint };
  readonly info: FlatFields;
}

/** The first version of the format, which all versions of SlateDB read. */
const MANIFEST_VERSION = 1;
/** The smallest number of 64 bits: no time has been seen. */
const NO_TICK = 1n << 63n;

/** The bytes of the first manifest of a database. */
export function stateBytes(tables: readonly NamedTable[]): Uint8Array {
  const run: FlatFields = {
    1: {
      tables: tables.map(({ id, info }): FlatFields => ({
        0: { table: { 0: { u64: id.high }, 1: { u64: id.low } } },
        1: { table: info },
        3: { u16: TABLE_VERSION },
      })),
    },
  };
  const content = flatBytes({
    0: { u64: 1 },
    2: { u8: 1 },
    8: { tables: [] },
    9: { tables: [run] },
    10: { u64: NO_TICK },
    11: { tables: [] },
    12: { u64: SEQUENCE },
    14: { u64: SEQUENCE },
  });
  const bytes = new Uint8Array(2 + content.length);
  bytes[1] = MANIFEST_VERSION;
  bytes.set(content, 2);
  return bytes;
}
