/**
 * Manifests in a database: the option `--manifest-store`, or what `reader.toml` says.
 * @module
 */
import type { PostgresManifestStore } from "../snapshots/postgres_manifest_store.ts";
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import type { CliIo } from "./command.ts";
import type { ManifestStoreConfig } from "./reader_config.ts";

/**
 * Opens what the option names, or else the configuration; undefined when manifests lie beside the snapshots. Sends
 * nothing.
 *
 * @throws {UsageError} when the option names no database; {CliError} when the configuration does not.
 */
export async function openManifestStore(
  typed: string | undefined,
  config: ManifestStoreConfig | null,
  env: CliIo["env"],
): Promise<PostgresManifestStore | undefined> {
  if (typed === undefined && config === null) return undefined;
  // The text may hold a password, so that it is not repeated.
  if (typed !== undefined && !/^postgres(?:ql)?:\/\//.test(typed)) {
    throw new UsageError("--manifest-store must be a URL that begins with postgres://");
  }
  const connection = typed ?? config?.dsn ?? env["SHARDY_MANIFEST_DSN"];
  if (connection === undefined || connection === "") {
    throw new CliError("Cannot find the database of manifests: give manifest_store.dsn, or set SHARDY_MANIFEST_DSN");
  }
  const { postgresManifestStore } = await import("../snapshots/postgres_manifest_store.ts");
  const { tableName, pointerTableName, ensureTable } = config ?? {};
  try {
    return postgresManifestStore({ connection, tableName, pointerTableName, ensureTable });
  } catch (error) {
    throw new CliError(messageOf(error), { cause: error });
  }
}
