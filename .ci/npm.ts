/**
 * Builds the package for npm, for those who install on Node and Bun: `deno pack` compiles and types the files that are
 * published, this script adds what it leaves out (the module of worker threads, optional peers, the command `shardy`,
 * what people look for on npm), and `npm pack` makes the tarball.
 *
 * `deno run -A .ci/npm.ts [FOLDER]` leaves the tarball in a folder, by default `./data/npm`, and prints its path.
 * @module
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type DenoConfig, type PackageConfig, publishedFiles } from "./publish.ts";

/** A module that no other one imports: threads are started with its URL. */
const WORKER_MODULE = "./src/write/workers/shard_worker.ts";
const WORKER_EXPORT = "./shard-worker";
const COMMAND_FILE = "src/cli/main.js";

/** What `deno pack` writes, as far as it is used. */
export interface PackedManifest {
  name: string;
  version: string;
  license: string;
  dependencies: Record<string, string>;
}

/** The part of `package.json` of the checkout that goes into the published one. */
export interface CheckoutPackage extends PackageConfig {
  peerDependenciesMeta?: Record<string, { optional: boolean }>;
  /** What people look for on npm. */
  keywords?: string[];
}

/**
 * The `package.json` to publish: what `deno pack` found, with what is optional as optional peers, and the command.
 *
 * @param subpaths The exports of `deno.json`.
 * @throws {Error} when a file imports a package that the checkout does not name.
 */
export function npmManifest(
  packed: PackedManifest,
  subpaths: Record<string, string>,
  checkout: CheckoutPackage,
): Record<string, unknown> {
  const { dependencies, peerDependencies = {}, peerDependenciesMeta = {} } = checkout;
  const used: Record<string, string> = {};
  for (const name of Object.keys(packed.dependencies)) {
    if (name in peerDependencies) continue;
    const version = dependencies[name];
    if (version === undefined) throw new Error(`Cannot pack an import of "${name}": package.json does not name it`);
    used[name] = `^${version}`;
  }
  const exports = Object.fromEntries(
    Object.entries(subpaths).map(([subpath, path]) => [subpath, {
      types: path.replace(/ts$/, "d.ts"),
      default: path.replace(/ts$/, "js"),
    }]),
  );
  return {
    name: packed.name,
    version: packed.version,
    description:
      "Builds sharded key-value snapshots offline, publishes them to object storage and looks rows up online",
    keywords: checkout.keywords ?? [],
    license: packed.license,
    type: "module",
    ...repositoryField(),
    engines: { node: ">=24.2", bun: ">=1.4" },
    sideEffects: [`./${COMMAND_FILE}`, WORKER_MODULE.replace(/ts$/, "js")],
    bin: { shardy: COMMAND_FILE },
    exports: { ...exports, "./package.json": "./package.json" },
    dependencies: used,
    peerDependencies,
    peerDependenciesMeta,
  };
}

/** Where provenance is checked against: known in the workflow that publishes. */
function repositoryField(): { repository?: string } {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
  return server && name ? { repository: `git+${server}/${name}.git` } : {};
}

/**
 * Compiles the checkout at `root` and leaves a tarball in `target`.
 *
 * @param deno The executable of Deno 2.9 or later.
 * @returns Path of the tarball.
 */
export function packForNpm(root: string, target: string, deno: string = process.execPath): string {
  const config: DenoConfig = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const checkout: CheckoutPackage = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-npm-"));
  try {
    stage(root, join(folder, "stage"), config, checkout);
    const options = ["--quiet", "--allow-dirty", "--no-source-maps", "--output", "../packed.tgz"];
    // What it says on stderr is which private modules have no types: shown by the error, if there is one.
    execFileSync(deno, ["pack", ...options], { cwd: join(folder, "stage"), stdio: ["ignore", "ignore", "pipe"] });
    execFileSync("tar", ["xzf", "packed.tgz"], { cwd: folder });
    finish(join(folder, "package"), config, checkout);
    // What is no program of ours goes as it is.
    for (const path of ["CHANGELOG.md", "src/engine/python"]) {
      cpSync(join(root, path), join(folder, "package", path), { recursive: true, filter: isPublished });
    }
    mkdirSync(target, { recursive: true });
    const listed = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", resolve(target)], {
      cwd: join(folder, "package"),
      stdio: ["ignore", "pipe", "pipe"],
    });
    return join(resolve(target), tarballIn(listed.toString()));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function isPublished(path: string): boolean {
  return !path.includes("__pycache__");
}

/** npm 11 tells a list, later ones an object by name. */
function tarballIn(json: string): string {
  const [entry] = Object.values(JSON.parse(json)) as { filename: string }[];
  return entry!.filename;
}

/** What is published, and the packages of the checkout; the module of the threads is made an entry point. */
function stage(root: string, folder: string, config: DenoConfig, checkout: CheckoutPackage): void {
  for (const path of publishedFiles(root, config)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(root, path), join(folder, path));
  }
  // Packages come from Deno's cache, in the versions of the lock file.
  cpSync(join(root, "deno.lock"), join(folder, "deno.lock"));
  const { name, version, license, imports, compilerOptions } = config;
  const exports = { ...config.exports, [WORKER_EXPORT]: WORKER_MODULE };
  const staged = { name, version, license, exports, imports, compilerOptions, nodeModulesDir: "none" };
  writeFileSync(join(folder, "deno.json"), JSON.stringify(staged));
  const { dependencies, devDependencies } = checkout as CheckoutPackage & { devDependencies: object };
  const npm = { name, version, type: "module", exports, dependencies, devDependencies };
  writeFileSync(join(folder, "package.json"), JSON.stringify(npm));
}

/** On npm there are no import maps, so what has another name there is imported by that. */
export function withNpmNames(text: string, imports: Record<string, string>): string {
  return text.replace(/((?:\bfrom|\bimport) ?\(?)"([^"]+)"/g, (whole, keyword: string, name: string) => {
    const place = imports[name]?.replace(/^npm:((?:@[^/]+\/)?[^@/]+)@[^/]+/, "$1");
    return place === undefined ? whole : `${keyword}"${place}"`;
  });
}

function finish(folder: string, config: DenoConfig, checkout: CheckoutPackage): void {
  const path = join(folder, "package.json");
  const manifest = npmManifest(JSON.parse(readFileSync(path, "utf8")), config.exports, checkout);
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
  // The command asks it for the version.
  const { name, version, license } = config;
  writeFileSync(join(folder, "deno.json"), `${JSON.stringify({ name, version, license })}\n`);
  const command = join(folder, COMMAND_FILE);
  writeFileSync(command, `#!/usr/bin/env node\n${readFileSync(command, "utf8")}`);
  chmodSync(command, 0o755);
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    // What nothing of the package imports is not compiled: scripts of the checkout.
    if (/(?<!\.d)\.ts$/.test(file)) rmSync(join(folder, file));
    if (!/\.(?:js|d\.ts)$/.test(file)) continue;
    const text = readFileSync(join(folder, file), "utf8");
    writeFileSync(join(folder, file), withNpmNames(text, config.imports));
  }
  for (const source of [...Object.values(config.exports), WORKER_MODULE]) {
    for (const suffix of ["js", "d.ts"]) {
      const compiled = source.replace(/ts$/, suffix);
      if (!existsSync(join(folder, compiled))) throw new Error(`Cannot publish without ${compiled}`);
    }
  }
}

if (import.meta.main) {
  const root = fileURLToPath(new URL("../", import.meta.url));
  console.log(packForNpm(root, process.argv[2] ?? join(root, "data", "npm")));
}
