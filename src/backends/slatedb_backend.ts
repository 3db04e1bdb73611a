/**
 * Shards as SlateDB databases, written and read in TypeScript: no native code, the same on every runtime.
 * @module
 */
import * as v from "valibot";
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { parseOptions } from "../options.ts";
import { COMPRESSIONS } from "../slatedb/table_info.ts";
import type { Backend } from "./backend.ts";
import { buildSlatedbShard, copySlatedbShard } from "./build_slatedb_shard.ts";
import { optionsOfSettings } from "./slatedb_settings.ts";
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
  /**
   * Tables of fewer keys have no filter. SlateDB calls it `min_filter_keys`, and begins at 1,000.
   * @default {0}
   */
  readonly filterKeysMin?: number | undefined;
  /**
   * How blocks are compressed. The bytes of `"lz4"` and `"snappy"` are the same on every runtime; `"zlib"` and `"zstd"`
   * come from the runtime. SlateDB calls it `compression_codec`, and reads all of them if it was built so, as the
   * packages on npm and PyPI were.
   * @default {"none"}
   */
  readonly compression?: SlatedbCompression | undefined;
  /**
   * SlateDB's own settings, as an object or as JSON, for who has them: `l0_sst_size_bytes`, `filter_bits_per_key`,
   * `min_filter_keys` and `compression_codec` stand for the options above. What tunes a database at work has no effect
   * on one that is finished, and is passed over, such as `flush_interval`, `wal_enabled`, `compactor_options`. A time
   * to live is refused, as rows of a snapshot do not end, and so is what SlateDB does not know.
   */
  readonly settings?: JsonObject | string | undefined;
}

/** How blocks may be compressed. */
export type SlatedbCompression = "none" | "snappy" | "zlib" | "lz4" | "zstd";

const BLOCK_SIZES = [1024, 2048, 4096, 8192, 16384, 32768, 65536] as const;
const BITS_MAX = 64;

function wholeNumber(least: number, most: number): v.GenericSchema<number> {
  const expected = `a whole number from ${least} to ${most}`;
  return v.pipe(v.number(expected), v.integer(expected), v.minValue(least, expected), v.maxValue(most, expected));
}

const fields = {
  blockSizeBytes: v.optional(v.picklist(BLOCK_SIZES, `one of ${BLOCK_SIZES.join(", ")}`)),
  tableSizeBytes: v.optional(wholeNumber(1 << 16, 1 << 28)),
  filterBitsPerKey: v.optional(wholeNumber(0, BITS_MAX)),
  filterKeysMin: v.optional(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
  compression: v.optional(v.picklist(COMPRESSIONS, `one of ${COMPRESSIONS.join(", ")}`)),
};

/** Without defaults, as the settings may have something to say before. */
const schema: v.GenericSchema<SlatedbBackendOptions> = v.strictObject({
  ...fields,
  settings: v.optional(v.custom<JsonObject | string>(isSettings, "SlateDB's settings as an object or as JSON")),
});

const defaults: Layout = {
  blockSizeBytes: 4096,
  tableSizeBytes: 1 << 24,
  filterBitsPerKey: 10,
  filterKeysMin: 0,
  compression: "none",
};

function isSettings(value: unknown): boolean {
  return typeof value === "string" || (typeof value === "object" && value !== null && !Array.isArray(value));
}

/** All that the manifest records, and workers are told. */
type Layout = {
  blockSizeBytes: number;
  tableSizeBytes: number;
  filterBitsPerKey: number;
  filterKeysMin: number;
  compression: SlatedbCompression;
};

function layoutOf(options: SlatedbBackendOptions): Layout {
  const { settings, ...direct } = parseOptions(schema, options, "slatedbBackend");
  const meant: Record<string, JsonValue> = {};
  for (const [name, { setting, value }] of Object.entries(settings === undefined ? {} : optionsOfSettings(settings))) {
    const path = `settings.${setting}`;
    if (direct[name as keyof typeof direct] !== undefined) {
      const message = `Cannot take ${name} and the setting ${setting} as they are the same: give one of them`;
      throw new ConfigValidationError(message, path);
    }
    const { success, issues } = v.safeParse(fields[name as keyof typeof fields], value);
    if (!success) {
      const message = `Cannot take the setting ${setting} as it must be ${issues[0].message}`;
      throw new ConfigValidationError(`${message}: current value is ${shown(value)}`, path);
    }
    meant[name] = value;
  }
  return { ...defaults, ...defined(direct), ...meant } as Layout;
}

function defined(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

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
  const layout = layoutOf(options);
  return {
    ...slatedbReader(),
    spec: { name: "slatedb", options: layout },
    module: { url: import.meta.url, factory: "slatedbBackend" },
    openShard: openSlatedbShard,
    buildShard: (rows, target) => buildSlatedbShard(rows, target, layout),
    copyShard: copySlatedbShard,
  };
}
