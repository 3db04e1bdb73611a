import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type DenoConfig, type PackageConfig, publishedConfig, publishedFiles } from "../.ci/publish.ts";
import { importsOf, scanSource } from "./tidy/source_scan.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const config: DenoConfig = JSON.parse(readFileSync(`${root}deno.json`, "utf8"));
const packageConfig: PackageConfig = JSON.parse(readFileSync(`${root}package.json`, "utf8"));

const sample: DenoConfig = {
  name: "@scope/name",
  version: "1.2.3",
  license: "Apache-2.0",
  exports: { ".": "./mod.ts" },
  imports: {
    "@std/csv": "npm:deno-std@1.4.0/csv/mod.js",
    "@std/streams": "npm:deno-std@1.4.0/streams/mod.js",
  },
  compilerOptions: { strict: true },
  publish: { include: ["mod.ts"], exclude: [] },
};

test("publishedConfig() names the registry of every package", () => {
  const rewritten = publishedConfig(sample, {
    dependencies: { "deno-std": "1.4.0", "valibot": "1.5.0" },
    peerDependencies: { "prom-client": "^15.1.0" },
  });
  equal(
    JSON.stringify(rewritten, null, 2),
    `{
  "name": "@scope/name",
  "version": "1.2.3",
  "license": "Apache-2.0",
  "exports": {
    ".": "./mod.ts"
  },
  "imports": {
    "@std/csv": "jsr:@std/csv@^1",
    "@std/streams": "jsr:@std/streams@^1",
    "valibot": "npm:valibot@^1.5.0",
    "prom-client": "npm:prom-client@^15.1.0"
  },
  "nodeModulesDir": "none",
  "compilerOptions": {
    "strict": true
  },
  "publish": {
    "include": [
      "mod.ts"
    ],
    "exclude": []
  }
}`,
  );
});

test("publishedConfig() refuses an import that it cannot place", () => {
  const imports = { "@std/tar": "npm:deno-std@1.4.0/tar/mod.js" };
  throws(() => publishedConfig({ ...sample, imports }, { dependencies: {} }), /Cannot publish "@std\/tar"/);
});

test("publishedConfig() of this package knows every package that a published file imports", () => {
  const known = Object.keys(publishedConfig(config, packageConfig)["imports"] as object);
  const unknown = publishedFiles(root, config).filter((path) => path.endsWith(".ts")).flatMap((path) =>
    importsOf(scanSource(readFileSync(root + path, "utf8"))).filter(({ specifier }) =>
      !/^(?:\.|node:|bun:)/.test(specifier) &&
      !known.some((name) => specifier === name || specifier.startsWith(`${name}/`))
    ).map(({ specifier }) => `${path}: ${specifier}`)
  );
  deepEqual(unknown, []);
});

test("publishedFiles() are complete: what a published file imports is published too", () => {
  const files = publishedFiles(root, config);
  for (const name of ["mod.ts", "deno.json", "README.md", "LICENSE", "CHANGELOG.md", "src/errors.ts"]) {
    ok(files.includes(name) || !existsSync(root + name), `${name} is not published`);
  }
  for (const path of files.filter((path) => path.endsWith(".ts"))) {
    for (const { specifier } of importsOf(scanSource(readFileSync(root + path, "utf8")))) {
      if (!specifier.startsWith(".")) continue;
      const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
      ok(files.includes(target), `${path} imports ${specifier}, which is not published`);
    }
  }
  deepEqual(files.filter((path) => path.startsWith("tests/") || path.startsWith("bench/")), []);
});

test("publishedConfig() resolves against the real registries", (t) => {
  if (process.env["SHARDYFUSION_ONLINE"] !== "1") {
    const reason = "resolution of jsr:@std/… is untested offline (SHARDYFUSION_ONLINE=1 tests it)";
    console.log(`LEFT OUT: ${reason}`);
    t.skip(reason);
    return;
  }
  const deno = process.env["SHARDYFUSION_DENO"] ?? "deno";
  const { status, stderr } = spawnSync(deno, ["run", "-A", ".ci/publish.ts", "--dry-run"], { cwd: root });
  equal(status, 0, stderr.toString());
});
