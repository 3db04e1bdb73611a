/**
 * Options of `shardy build` about what shards are made of.
 * @module
 */
import type { Command } from "commander";
import type { Backend } from "../backends/backend.ts";
import { compositeBackend } from "../backends/composite_backend.ts";
import { lancedbBackend } from "../backends/lancedb_backend.ts";
import { slatedbBackend } from "../backends/slatedb_backend.ts";
import { sqliteBackend } from "../backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../backends/sqlite_vec_backend.ts";
import { ConfigValidationError } from "../errors.ts";
import type { VectorSpace } from "../vector/vector_cell.ts";
import { UsageError } from "./cli_errors.ts";
import { choiceOption, integerOption, type OptionTexts, textOption } from "./option_values.ts";

/** Adds the options to the command. */
export function declareBackendOptions(command: Command): void {
  command.option("--backend <engine>", "what rows are stored in: sqlite (default) or slatedb")
    .option("--vector-backend <engine>", "what vectors are stored in: sqlite-vec (default) or lancedb")
    .option("--slatedb-settings <json>", 'SlateDB\'s own settings, such as {"compression_codec":"Zstd"}')
    .option("--page-size <bytes>", "page size of SQLite's files: 4096 (default) to 65536, or auto");
}

/** What rows without vectors are stored in. @throws {UsageError} when the options do not fit each other. */
export function rowBackendOf(options: OptionTexts): Backend {
  const settings = textOption(options, "--slatedb-settings");
  if (rowEngine(options) === "slatedb") {
    if (textOption(options, "--page-size") !== undefined) {
      throw new UsageError("--page-size is not for --backend slatedb");
    }
    return slatedbBackend({ settings });
  }
  refuseSlatedbSettings(options);
  return sqliteBackend({ pageSizeBytes: pageSizeOf(options) });
}

/**
 * What vectors are stored in, with their rows: one file for both where both are SQLite's, else two engines.
 *
 * @throws {UsageError} when the options do not fit each other; {ConfigValidationError} when the library refuses them.
 */
export function vectorBackendOf(
  options: OptionTexts,
  { isVectorOnly, ...space }: VectorSpace & { readonly isVectorOnly: boolean },
): Backend {
  const engine = choiceOption(options, "--vector-backend", ["sqlite-vec", "lancedb"]) ?? "sqlite-vec";
  const rows = rowEngine(options);
  if (isVectorOnly) {
    if (rows !== undefined) throw new UsageError("--backend is not for vectors without values: see --vector-backend");
    refuseSlatedbSettings(options);
  }
  if (engine === "lancedb") {
    if (!isVectorOnly) return compositeBackend(rowBackendOf(options), lancedbBackend(space));
    if (textOption(options, "--page-size") === undefined) return lancedbBackend(space);
    throw new UsageError("--page-size is not for --vector-backend lancedb");
  }
  if (space.metric === "dot_product") {
    throw new ConfigValidationError(
      'Cannot use --vector-metric dot_product with --vector-backend sqlite-vec as that has "cosine" and "l2" only: ' +
        "take --vector-backend lancedb",
      "vector-metric",
    );
  }
  const { dim, metric } = space;
  const isTwofold = rows === "slatedb";
  if (isTwofold) return compositeBackend(rowBackendOf(options), sqliteVecBackend({ dim, metric }));
  refuseSlatedbSettings(options);
  return sqliteVecBackend({ dim, metric, pageSizeBytes: pageSizeOf(options) });
}

function rowEngine(options: OptionTexts): "sqlite" | "slatedb" | undefined {
  return choiceOption(options, "--backend", ["sqlite", "slatedb"]);
}

function pageSizeOf(options: OptionTexts): "auto" | number | undefined {
  return textOption(options, "--page-size") === "auto" ? "auto" : integerOption(options, "--page-size", 1);
}

function refuseSlatedbSettings(options: OptionTexts): void {
  if (textOption(options, "--slatedb-settings") === undefined) return;
  throw new UsageError("--slatedb-settings needs --backend slatedb");
}
