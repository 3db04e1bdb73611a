// The house as a test: each rule is shown to fail on a sample, then applied to the checkout.
import { deepEqual, equal, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  edgeComplaints,
  layerComplaints,
  manner,
  parseLayers,
  placeComplaints,
  sizeComplaints,
  type SourceFile,
} from "./tidy/rules.ts";
import { scanSource } from "./tidy/source_scan.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const layers = parseLayers(read("src/README.md"));
const sources = new Map(
  ["mod.ts", ...filesBelow("src")].filter((path) => path.endsWith(".ts") && existsSync(root + path))
    .map((path) => [path, sourceFile(path, read(path))]),
);
const denoJson = JSON.parse(read("deno.json"));

function read(path: string): string {
  return readFileSync(root + path, "utf8");
}

function sourceFile(path: string, text: string): SourceFile {
  return { path, text, ...scanSource(text) };
}

function filesBelow(folder: string): string[] {
  return readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

// What git would show to others; fixtures are other programs' output.
function sharedFiles(): string[] {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root });
  return listed.toString().split("\0").filter((path) =>
    path !== "" && !path.startsWith("tests/fixtures/") && existsSync(root + path)
  );
}

/** Complaints about one made-up file, in words only. */
function about(path: string, text: string, rule: (file: SourceFile) => string[]): string[] {
  return rule(sourceFile(path, text)).map((complaint) => complaint.replace(/^[^ ]*: /, ""));
}

function applyToSources(rule: (file: SourceFile) => string[]): void {
  noComplaints([...sources.values()].flatMap(rule));
}

// One text, as runtimes shorten long arrays in what they print.
function noComplaints(complaints: string[]): void {
  ok(complaints.length === 0, `\n${complaints.join("\n")}`);
}

test("sizeComplaints() sees long files, lines, functions and parameter lists", () => {
  const long = `export function f(a: A, b: B, c: C, d: D): void {\n${"\n".repeat(69)}}\n`;
  deepEqual(about("src/a.ts", long, sizeComplaints), ["f() has 71 lines", "f() has 4 positional parameters"]);
  deepEqual(about("src/a.ts", long.replace(", d: D", "").replace("\n\n", "\n"), sizeComplaints), []);
  deepEqual(about("src/a.ts", `// ${"x".repeat(118)}\n`, sizeComplaints), ["121 columns"]);
  deepEqual(about("src/a.ts", ";\n".repeat(401), sizeComplaints), ["401 lines"]);
});

test("tidy: files have at most 400 lines of 120 columns, functions 70 lines and three positional parameters", () => {
  applyToSources(sizeComplaints);
});

test("manner() sees what this code base does without", () => {
  const header = "/**\n * A file.\n * @module\n */\n";
  deepEqual(about("src/read/a.ts", `${header}// Deno.cwd() and console.log\nconst a = "Deno.cwd()";\n`, manner), []);
  deepEqual(about("src/read/a.ts", `// deno-lint-ignore-file camelcase\n${header}`, manner), []);
  deepEqual(about("src/read/a.ts", "/** A constant. */\nconst a = 1;\n/** @module */\n", manner), ["no module header"]);
  const cases: [path: string, body: string, complaint: string][] = [
    ["src/read/utils.ts", "", "a name that says nothing"],
    ["src/read/aB.ts", "", "file names are in snake_case"],
    ["src/read/a.ts", "export default 1;", "default export"],
    ["src/read/a.ts", "class A {\n  private readonly b = 1;\n}", "private instead of #private"],
    ["src/read/a.ts", "const a = Deno.cwd();", "a runtime's global outside cli/"],
    ["src/read/a.ts", "const a = `${Bun.version}`;", "a runtime's global outside cli/"],
    ["src/read/a.ts", "const a = typeof Deno;", "a runtime's global outside cli/"],
    ["src/read/a.ts", "console.log(1);", "console outside cli/"],
    ["src/read/a.ts", 'import * as v from "npm:valibot";', "imports npm:valibot instead of a bare name"],
    ["src/read/a.ts", 'import { Database } from "bun:sqlite";', "imports bun:sqlite statically"],
  ];
  for (const [path, body, complaint] of cases) deepEqual(about(path, header + body, manner), [complaint]);
  deepEqual(about("src/cli/a.ts", `${header}console.log(Deno.args);`, manner), []);
});

test("tidy: names, module headers, runtime globals and console as the style has them", () => {
  applyToSources(manner);
});

test("parseLayers() finds the whole table in src/README.md", () => {
  ok(layers.base.has("errors.ts") && layers.base.has("rows.ts"));
  deepEqual([...layers.allowed.get("sqlite") ?? []], ["bytes"]);
  deepEqual([...layers.allowed.get("cli") ?? []], ["everything"]);
  ok(layers.interfaces.has("store.ts") && layers.interfaces.has("backend.ts"));
});

test("layerComplaints() sees imports against the layers", () => {
  const complaints = (path: string, specifier: string): number =>
    layerComplaints(sourceFile(path, `import type { A } from "${specifier}";`), layers).length;
  equal(complaints("src/read/a.ts", "../write/gather.ts"), 1);
  equal(complaints("src/read/a.ts", "../stores/fs_store.ts"), 1);
  equal(complaints("src/read/a.ts", "../stores/store.ts"), 0);
  equal(complaints("src/stores/a.ts", "./fs_store.ts"), 0);
  equal(complaints("src/bytes/a.ts", "../errors.ts"), 0);
  equal(complaints("src/errors.ts", "./bytes/python_json.ts"), 1);
  equal(complaints("src/nowhere/a.ts", "../errors.ts"), 1);
  equal(complaints("src/cli/a.ts", "../stores/fs_store.ts"), 0);
  equal(complaints("mod.ts", "./src/stores/fs_store.ts"), 0);
  equal(layerComplaints(sourceFile("src/sqlite/a.ts", 'await import("../read/a.ts");'), layers).length, 1);
});

test("tidy: rooms import each other as src/README.md says", () => {
  applyToSources((file) => layerComplaints(file, layers));
});

test("edgeComplaints() follows static imports and no others", () => {
  const files = new Map([
    sourceFile("mod.ts", 'export { a } from "./src/a.ts";\nimport type { T } from "node:net";'),
    sourceFile("src/a.ts", 'import { type B } from "./b.ts";\nconst fs = await import("node:fs");'),
    sourceFile("src/b.ts", 'import "node:path";\n// import "node:os";'),
  ].map((file) => [file.path, file]));
  deepEqual(edgeComplaints("mod.ts", files), ["mod.ts → src/a.ts → src/b.ts → node:path is a static import"]);
});

test("tidy: mod.ts pulls in no node: module, no @std and no SDK", () => {
  ok(sources.has("mod.ts"), "mod.ts is missing");
  noComplaints(edgeComplaints("mod.ts", sources));
});

test("tidy: deno.json, jsr.json and package.json carry one identity", () => {
  const jsrJson = JSON.parse(read("jsr.json"));
  for (const field of ["name", "version", "license", "exports"]) deepEqual(jsrJson[field], denoJson[field]);
  // By these Bun and Node find the package under its own name.
  const packageJson = JSON.parse(read("package.json"));
  for (const field of ["name", "exports"]) deepEqual(packageJson[field], denoJson[field]);
  ok(read("CHANGELOG.md").includes(`## [${denoJson.version}]`), "the changelog does not know this version");
});

test("tidy: engines are there for those who want them, and optional packages only for those who install them", () => {
  for (const name of ["sqlite", "native-sqlite", "slatedb", "sqlite-vec", "lancedb", "composite"]) {
    ok(`./backends/${name}` in denoJson.exports, name);
  }
  const { peerDependencies, peerDependenciesMeta, ...others } = JSON.parse(read("package.json"));
  for (const name of Object.keys(peerDependencies)) {
    deepEqual(peerDependenciesMeta[name], { optional: true }, name);
    for (const field of ["dependencies", "optionalDependencies"]) {
      ok(!(name in (others[field] ?? {})), `${name} is in ${field}`);
    }
    ok(!(name in denoJson.imports), `Deno installs ${name}`);
  }
  // Hundreds of megabytes: not even for tests.
  ok("@lancedb/lancedb" in peerDependencies && !read("deno.lock").includes("lancedb"));
});

test("tidy: every subpath is in kebab-case and leads to a file", () => {
  for (const [subpath, path] of Object.entries<string>(denoJson.exports)) {
    ok(/^\.(?:\/[a-z0-9-]+)*$/.test(subpath), `"${subpath}" is not in kebab-case`);
    ok(sources.has(path.replace(/^\.\//, "")), `"${subpath}" leads to ${path}, which is not there`);
  }
});

test("placeComplaints() sees paths of this machine and addresses in lock files", () => {
  const places = ["/home/me/work", "/place"];
  equal(placeComplaints("a.md", "cd /home/me/work/src", places).length, 1);
  equal(placeComplaints("a.md", "ls /place", places).length, 1);
  equal(placeComplaints("a.md", "../home/me/work, x/place/, /places, ./place", places).length, 0);
  equal(placeComplaints("deno.lock", '"https://example.org/a.tgz"', places).length, 1);
  equal(placeComplaints("README.md", "https://example.org", places).length, 0);
});

test("tidy: no shared file names a place on this machine, no lock file an address", (t) => {
  if (!existsSync(`${root}.git`)) {
    console.log("LEFT OUT: search for paths of this machine, as this is no git checkout");
    t.skip("no git checkout");
    return;
  }
  // A short path such as /app may well stand in a text for another reason.
  const checkout = root.replace(/\/$/, "");
  const places = [checkout, dirname(checkout), homedir()].filter((place) => place.length > 4);
  const files = sharedFiles();
  ok(files.includes("deno.json"));
  noComplaints(files.flatMap((path) => placeComplaints(path, read(path), places)));
});
