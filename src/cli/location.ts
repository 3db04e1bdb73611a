/**
 * From the URL of a pointer object to the store that holds it.
 * @module
 */
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { ObjectStore } from "../stores/store.ts";
import { CliError } from "./cli_errors.ts";
import type { S3Settings } from "./s3_options.ts";

/** A snapshot series and the name of its pointer. */
export interface Location {
  readonly store: ObjectStore;
  readonly pointerKey: string;
}

/**
 * Opens the place of a pointer: `s3://bucket/prefix/_CURRENT`, `file:///dir/_CURRENT` or a plain path. Sends nothing.
 *
 * @throws {CliError} when the URL names no object, or is of a kind that cannot be opened.
 */
export async function openLocation(currentUrl: string, s3: S3Settings): Promise<Location> {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(currentUrl)?.[1]?.toLowerCase();
  if (scheme === undefined) return await openFolder(currentUrl);
  if (scheme === "file") return await openFolder(filePath(currentUrl));
  if (scheme !== "s3") {
    throw new CliError(
      `Cannot open CURRENT URL '${currentUrl}': it must begin with s3:// or file://, or be a path of a local file`,
    );
  }
  const [, url, pointerKey] = /^(s3:\/\/[^/]+(?:\/.*)?)\/([^/]+)$/i.exec(currentUrl) ?? [];
  if (url === undefined || pointerKey === undefined) throw noObject(currentUrl, "s3://bucket/prefix/_CURRENT");
  const { openS3Store } = await import("./s3_location.ts");
  return { store: openS3Store(url, s3), pointerKey };
}

async function openFolder(path: string): Promise<Location> {
  const pointerKey = basename(path);
  const isFolder = await stat(path).then((entry) => entry.isDirectory(), () => false);
  if (path.endsWith("/") || isFolder || pointerKey === "") throw noObject(path, `${path.replace(/\/+$/, "")}/_CURRENT`);
  const { fsStore } = await import("../stores/fs_store.ts");
  return { store: fsStore(dirname(path)), pointerKey };
}

function filePath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new CliError(`Cannot open CURRENT URL '${url}': it must look like file:///folder/_CURRENT`, { cause });
  }
}

function noObject(url: string, example: string): CliError {
  return new CliError(
    `Cannot open CURRENT URL '${url}': it must name the pointer object, as in '${example}'`,
  );
}
