/**
 * Publishes the package: copies what is to be published to a folder of its own, where `deno.json` names every package by
 * its registry, and runs `deno publish` there. `--dry-run` and other options go on to `deno publish`.
 *
 * In the checkout `@std/…` come from a copy on npm, which Bun and Node can install; who installs the published package
 * gets the originals from JSR.
 * @module
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Where a package of the standard library is published. */
const STD_RANGES: Record<string, string> = {
  "@std/csv": "jsr:@std/csv@^1",
  "@std/streams": "jsr:@std/streams@^1",
  "@std/toml": "jsr:@std/toml@^1",
  "@std/yaml": "jsr:@std/yaml@^1",
};

/** The part of `deno.json` that this script reads. */
export interface DenoConfig {
  name: string;
  version: string;
  license: string;
  exports: Record<string, string>;
  imports: Record<string, string>;
  compilerOptions: Record<string, unknown>;
  publish: { include: string[]; exclude: string[] };
}

/** The part of `package.json` that this script reads. */
export interface PackageConfig {
  dependencies: Record<string, string>;
  /** Optional ones; only their subpaths ask for them. */
  peerDependencies?: Record<string, string>;
}

/** The `deno.json` to publish: every bare name has its registry and a range, and nothing is left of the checkout's tasks. */
export function publishedConfig(config: DenoConfig, packageConfig: PackageConfig): Record<string, unknown> {
  const imports: Record<string, string> = {};
  for (const name of Object.keys(config.imports)) {
    const range = STD_RANGES[name];
    if (range === undefined) {
      throw new Error(`Cannot publish "${name}": .ci/publish.ts does not know where it comes from`);
    }
    imports[name] = range;
  }
  for (const [name, version] of Object.entries(packageConfig.dependencies)) {
    // The copy of the standard library serves the checkout alone.
    if (name !== "deno-std") imports[name] = `npm:${name}@^${version}`;
  }
  for (const [name, range] of Object.entries(packageConfig.peerDependencies ?? {})) {
    imports[name] = `npm:${name}@${range}`;
  }
  const { name, version, license, exports, compilerOptions, publish } = config;
  return { name, version, license, exports, imports, nodeModulesDir: "none", compilerOptions, publish };
}

/** Paths to publish, as `publish.include` and `publish.exclude` of `deno.json` have them. */
export function publishedFiles(root: string, { publish }: DenoConfig): string[] {
  const files = globSync(publish.include, { cwd: root, exclude: publish.exclude });
  return files.map((path) => path.replaceAll("\\", "/")).sort();
}

function main(): void {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const options = process.argv.slice(2);
  const changes = execFileSync("git", ["status", "--porcelain"], { cwd: root }).toString();
  if (changes !== "" && !options.includes("--dry-run")) throw new Error(`Cannot publish uncommitted work:\n${changes}`);

  const config: DenoConfig = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const packageConfig: PackageConfig = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-publish-"));
  try {
    for (const path of publishedFiles(root, config)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      cpSync(join(root, path), join(folder, path));
    }
    writeFileSync(join(folder, "deno.json"), `${JSON.stringify(publishedConfig(config, packageConfig), null, 2)}\n`);
    const { status } = spawnSync(process.execPath, ["publish", ...options], { cwd: folder, stdio: "inherit" });
    process.exitCode = status ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) main();
