/**
 * Finds and reads the two files in TOML that configure the command line.
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CliError } from "./cli_errors.ts";
import type { CliIo } from "./command.ts";

/** Tables and values, as a file in TOML has them. */
export type TomlTable = Readonly<Record<string, unknown>>;

/** A file that was found. */
export interface ConfigFile {
  readonly path: string;
  readonly content: TomlTable;
}

/** Where a file may be. */
export interface FilePlace {
  /** The option that names it, with its value. */
  readonly option: readonly [flag: string, path: string | undefined];
  /** The variable that names it when the option does not. */
  readonly variable: string;
  /** Its name in the working folder, and then in `~/.config/shardy`. */
  readonly name: string;
}

/**
 * Reads the file that {@linkcode findConfigFile} finds.
 *
 * @returns null when none is named and none is found.
 * @throws {CliError} when it cannot be read, or is no TOML; what stands in it does not show.
 */
export async function readConfigFile(place: FilePlace, env: CliIo["env"]): Promise<ConfigFile | null> {
  const path = await findConfigFile(place, env);
  return path === null ? null : await readToml(path);
}

/**
 * The path that the option or the variable names, or else the first one of the usual places where there is a file;
 * null when none is named and none is found.
 */
export async function findConfigFile(
  { option, variable, name }: FilePlace,
  env: CliIo["env"],
): Promise<string | null> {
  const named = option[1] ?? (env[variable] || undefined);
  if (named !== undefined) return named;
  const home = env["HOME"] ?? env["USERPROFILE"];
  const candidates = [name, ...home === undefined || home === "" ? [] : [join(home, ".config", "shardy", name)]];
  for (const path of candidates) {
    const isThere = await stat(path).then((entry) => entry.isFile(), () => false);
    if (isThere) return path;
  }
  return null;
}

async function readToml(path: string): Promise<ConfigFile> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
  } catch (cause) {
    throw new CliError(`Cannot read '${path}': ${reasonOf(cause)}`, { cause });
  }
  const { parse } = await import("@std/toml");
  try {
    return { path, content: parse(text) };
  } catch (error) {
    // Without the parser's own words, which repeat a part of the text.
    const line = /line (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
    throw new CliError(`Cannot read '${path}' as TOML${line === undefined ? "" : `: see line ${line}`}`);
  }
}

function reasonOf(cause: unknown): string {
  const code = (cause as { code?: unknown }).code;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  if (code === "EISDIR") return "it is a folder";
  if (cause instanceof TypeError) return "it is not UTF-8";
  return cause instanceof Error ? cause.message : String(cause);
}
