/**
 * Finds the three runtimes that the tests and the bench run on; npm fetches what is not installed.
 * @module
 */

/** A runtime that the library promises to run on. */
export type RuntimeName = "deno" | "bun" | "node";

/** Where a runtime was found. */
export interface Runtime {
  name: RuntimeName;
  /** Path of the executable itself, not of a wrapper, so that killing its process ends it. */
  path: string;
  version: string;
}

// Fixed, so that the same tests run everywhere; the library itself asks for less (see README.md).
const BUN_VERSION = "1.4.5";
const NODE_VERSION = "26.10.0";
const NODE_MAJOR_MIN = 24;

/**
 * Finds one runtime: Deno is the one that runs this; Bun and Node come from `PATH` if their version fits, else from npm.
 *
 * @throws {Error} when it is neither installed nor to be had from npm.
 */
export async function findRuntime(name: RuntimeName): Promise<Runtime> {
  if (name === "deno") return { name, path: Deno.execPath(), version: Deno.version.deno };
  const installed = await versionOf(name);
  const fits = name === "bun" ? installed === BUN_VERSION : majorOf(installed) >= NODE_MAJOR_MIN;
  if (installed !== undefined && fits) return { name, path: name, version: installed };

  const wanted = `${name}@${name === "bun" ? BUN_VERSION : NODE_VERSION}`;
  const found = await outputOf("npx", ["-y", "-p", wanted, "-c", `command -v ${name}`]);
  // npm may print notices first; the path is what the shell printed last.
  const path = found?.trim().split("\n").at(-1);
  const version = path === undefined ? undefined : await versionOf(path);
  if (path === undefined || version === undefined) {
    throw new Error(`Cannot find "${name}": neither a fitting version in PATH nor "npx -y ${wanted}" answers`);
  }
  return { name, path, version };
}

async function versionOf(command: string): Promise<string | undefined> {
  return (await outputOf(command, ["--version"]))?.trim().replace(/^v/, "");
}

function majorOf(version: string | undefined): number {
  return Number(version?.split(".")[0] ?? 0);
}

async function outputOf(command: string, args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(command, { args, stderr: "null", stdin: "null" }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
