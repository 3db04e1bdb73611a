/**
 * Shards as SQLite files, written and read in TypeScript: no native code, the same on every runtime.
 * @module
 */
import * as v from "valibot";
import { parseOptions } from "../options.ts";
import { PAGE_SIZES } from "../sqlite/format.ts";
import type { Backend } from "./backend.ts";
import { buildSqliteShard, SHARD_FILE } from "./build_sqlite_shard.ts";
import { copySqliteShard } from "./copy_sqlite_shard.ts";
import { measurePageSize } from "./page_size.ts";
import { sidecarFields } from "./shard_companions.ts";
import { openSqliteShard } from "./sqlite_shard_reader.ts";

/** How SQLite shards are written. */
export interface SqliteBackendOptions {
  /** 4096, 8192, 16384, 32768, 65536, or `"auto"`: what suits each shard's rows. @default {4096} */
  readonly pageSizeBytes?: number | "auto" | undefined;
  /**
   * Write `shard.sidecar` beside each shard: with one request a reader that leaves the shard in the store has all pages
   * between the root and the rows. Readers of the Python package's kind take it too. @default {true}
   */
  readonly sidecar?: boolean | undefined;
  /**
   * Write `shard.guard` beside each shard: with one request such a reader knows which keys are absent, and can check
   * each page. @default {true}
   */
  readonly guard?: boolean | undefined;
}

/** The options of the SQLite backends when all are given: what the manifest records. */
export type SqliteLayout = {
  pageSizeBytes: number | "auto";
  sidecar: boolean;
  guard: boolean;
};

/** The checks of each option. */
export const sqliteOptionEntries: v.ObjectEntries = {
  pageSizeBytes: v.optional(
    v.picklist([...PAGE_SIZES, "auto" as const], `one of ${PAGE_SIZES.join(", ")} or "auto"`),
    4096,
  ),
  sidecar: v.optional(v.boolean("true or false"), true),
  guard: v.optional(v.boolean("true or false"), true),
};

/** Checks the options of the SQLite backends. */
export const sqliteOptions: v.GenericSchema<SqliteBackendOptions, SqliteLayout> = v.strictObject(
  sqliteOptionEntries,
) as never;

/**
 * SQLite files written bottom-up from sorted rows, and read by our own b-tree reader.
 *
 * Any SQLite opens them. The same rows give the same bytes, whatever their order of arrival and the runtime.
 *
 * @throws {ConfigValidationError} when the page size is not one of those, or an option is unknown.
 *
 * @example
 * ```ts
 * import { sqliteBackend } from "./sqlite_backend.ts";
 *
 * const backend = sqliteBackend({ pageSizeBytes: 8192 });
 * if (backend.spec.name !== "sqlite") throw new Error("unexpected backend");
 * ```
 */
export function sqliteBackend(options: SqliteBackendOptions = {}): Backend {
  const layout = parseOptions(sqliteOptions, options, "sqliteBackend");
  return {
    spec: { name: "sqlite", options: layout },
    module: { url: import.meta.url, factory: "sqliteBackend" },
    fileName: SHARD_FILE,
    opens: ["memory", "file", "remote"],
    ...(layout.sidecar ? { customFields: sidecarFields(layout.pageSizeBytes) } : {}),
    async buildShard(rows, target) {
      const pageSizeBytes = layout.pageSizeBytes === "auto" ? await measurePageSize(rows) : layout.pageSizeBytes;
      return await buildSqliteShard(rows, target, { ...layout, pageSizeBytes });
    },
    copyShard: copySqliteShard,
    openShard: openSqliteShard,
  };
}
