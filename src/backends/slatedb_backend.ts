/**
 * Shards as SlateDB databases, written and read in TypeScript: no native code, the same on every runtime.
 * @module
 */
import * as v from "valibot";
import { parseOptions } from "../options.ts";
import type { Backend } from "./backend.ts";
import { buildSlatedbShard, copySlatedbShard } from "./build_slatedb_shard.ts";
import { openSlatedbShard, slatedbReader } from "./slatedb_shard_reader.ts";

export { slatedbReader };

/** How SlateDB shards are written. */
export interface SlatedbBackendOptions {
  /**
   * Length of blocks, which lookups fetch one at a time: 1024, 2048, … 65536. SlateDB calls it `sst_block_size`.
   * @default {4096}
   */
  readonly blockSizeBytes?: number | undefined;
  /**
   * Size from which on a table ("SST") is finished and the next one begun, from 64 KiB to 256 MiB. As much memory is
   * taken for each shard that is being built. SlateDB calls it `l0_sst_size_bytes`.
   * @default {16777216}
   */
  readonly tableSizeBytes?: number | undefined;
  /**
   * Size of the filters that know which keys are absent: with 10 bits they are wrong about one in a hundred. 0 for
   * none. SlateDB calls it `filter_bits_per_key`.
   * @default {10}
   */
  readonly filterBitsPerKey?: number | undefined;
}

/** The options when all are given: what the manifest records. */
type SlatedbOptions = { blockSizeBytes: number; tableSizeBytes: number; filterBitsPerKey: number };

const BLOCK_SIZES = [1024, 2048, 4096, 8192, 16384, 32768, 65536] as const;
const BITS_MAX = 64;

function wholeNumber(least: number, most: number): v.GenericSchema<number> {
  const expected = `a whole number from ${least} to ${most}`;
  return v.pipe(v.number(expected), v.integer(expected), v.minValue(least, expected), v.maxValue(most, expected));
}

const schema: v.GenericSchema<SlatedbBackendOptions, SlatedbOptions> = v.strictObject({
  blockSizeBytes: v.optional(v.picklist(BLOCK_SIZES, `one of ${BLOCK_SIZES.join(", ")}`), 4096),
  tableSizeBytes: v.optional(wholeNumber(1 << 16, 1 << 28), 1 << 24),
  filterBitsPerKey: v.optional(wholeNumber(0, BITS_MAX), 10),
});

/**
 * SlateDB databases, written bottom-up from sorted rows as one run of tables with one manifest and no log, and read by
 * GET requests alone.
 *
 * Every SlateDB from 0.12 on opens them, such as the Python package's readers. The same rows give the same bytes,
 * whatever their order of arrival and the runtime. Empty keys are refused, as SlateDB has none. Reading works with
 * every database of SlateDB 0.12 to 0.17 that is not a clone and has no values to be merged, also where some version
 * of SlateDB's own readers misses keys; blocks are checked against the checksums that SlateDB stores with them. Shards
 * are only read over ranges: they have no one file to be downloaded.
 *
 * @throws {ConfigValidationError} when an option is out of its range, or unknown.
 *
 * @example
 * ```ts
 * import { slatedbBackend } from "./slatedb_backend.ts";
 *
 * const backend = slatedbBackend({ blockSizeBytes: 8192 });
 * if (backend.spec.name !== "slatedb") throw new Error("unexpected backend");
 * ```
 */
export function slatedbBackend(options: SlatedbBackendOptions = {}): Backend {
  const layout = parseOptions(schema, options, "slatedbBackend");
  return {
    ...slatedbReader(),
    spec: { name: "slatedb", options: layout },
    module: { url: import.meta.url, factory: "slatedbBackend" },
    openShard: openSlatedbShard,
    buildShard: (rows, target) => buildSlatedbShard(rows, target, layout),
    copyShard: copySlatedbShard,
  };
}
