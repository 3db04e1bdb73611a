import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
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

test("publish.yml runs tasks and files that exist, with the right to sign and nothing more", () => {
  const workflow = readFileSync(`${root}.github/workflows/publish.yml`, "utf8");
  const { tasks } = JSON.parse(readFileSync(`${root}deno.json`, "utf8"));
  const named = Array.from(workflow.matchAll(/deno task (\w+)/g), ([, task]) => task!);
  deepEqual(named.filter((task) => !(task in tasks)), []);
  deepEqual(named.toSorted(), ["npm", "publish"]);
  ok(existsSync(`${root}.ci/run`) && workflow.includes("run: .ci/run"));
  deepEqual(workflow.match(/^ +[\w-]+: write/gm)?.map((line) => line.trim()), ["id-token: write"]);
  ok(!/secrets\./.test(workflow) && workflow.includes("npm publish --provenance"));
  ok(workflow.includes(`deno-version: ${/deno@([\d.]+)/.exec(readFileSync(`${root}README.md`, "utf8"))![1]}`));
});

// By Deno alone, as that is what reads the code.
if ("Deno" in globalThis) {
  test("JSR: every entry point has a description, and every exported symbol has its own", () => {
    const args = ["doc", "--json", ...Object.values(config.exports)];
    const json = execFileSync(process.execPath, args, {
      cwd: root,
      maxBuffer: 1 << 28,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const { nodes } = JSON.parse(json.toString()) as { nodes: Record<string, DocumentedModule> };
    const entryPoints = new Set(Object.values(config.exports).map((path) => pathToFileURL(root + path).href));
    const documented = new Set<string>();
    const bare: string[] = [];
    for (const { symbols } of Object.values(nodes)) {
      for (const { name, declarations } of symbols) {
        if (declarations.some(({ jsDoc }) => jsDoc?.doc)) documented.add(name);
      }
    }
    for (const [url, { "module_doc": description, symbols }] of Object.entries(nodes)) {
      if (!entryPoints.has(url)) continue;
      if (!description?.doc) bare.push(url);
      for (const { name, declarations } of symbols) {
        const isExported = declarations.some(({ declarationKind }) => declarationKind === "export");
        if (isExported && !documented.has(name)) bare.push(`${url}: ${name}`);
      }
    }
    deepEqual(bare, []);
  });
}

interface DocumentedModule {
  "module_doc"?: { doc?: string };
  symbols: { name: string; declarations: { declarationKind: string; jsDoc?: { doc?: string } }[] }[];
}
