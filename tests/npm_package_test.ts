// The package for npm: packed, installed into an empty folder, and used there by Node and by Bun.
import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type CheckoutPackage, npmManifest, packForNpm, withNpmNames } from "../.ci/npm.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const checkout: CheckoutPackage = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
const PACKAGE = "@shardyfusion/shardyfusion";

const PROGRAM = `
import { hashSharding, openSnapshot, writeSnapshot } from "${PACKAGE}";
import { snapshotHandler } from "${PACKAGE}/serve";
import { fsStore } from "${PACKAGE}/stores/fs";

const store = fsStore("./people");
const rows = Array.from({ length: 1000 }, (_, id) => ({ id, name: "person " + id }));
const sharding = hashSharding({ shards: 4 });
const { stats } = await writeSnapshot(rows, { store, sharding, workers: 2, key: ({ id }) => id, value: ({ name }) => name });
await using reader = await openSnapshot({ store });
const answer = await snapshotHandler(reader)(new Request("http://localhost/v1/get/43"));
console.log(stats.shards, new TextDecoder().decode(await reader.get(42)), await answer.text());
`;

test("npmManifest() has compiled entry points, the command, and optional peers only as peers", () => {
  const packed = { name: "@a/b", version: "1.2.3", license: "MIT", dependencies: { "x": "^9", "y": "^9" } };
  const meta = { y: { optional: true } };
  const manifest = npmManifest(packed, { ".": "./mod.ts", "./c": "./src/c.ts" }, {
    dependencies: { x: "1.0.0", unused: "1.0.0" },
    peerDependencies: { y: "^2" },
    peerDependenciesMeta: meta,
  });
  deepEqual(manifest["exports"], {
    ".": { types: "./mod.d.ts", default: "./mod.js" },
    "./c": { types: "./src/c.d.ts", default: "./src/c.js" },
    "./package.json": "./package.json",
  });
  deepEqual(manifest["dependencies"], { x: "^1.0.0" });
  deepEqual([manifest["peerDependencies"], manifest["peerDependenciesMeta"]], [{ y: "^2" }, meta]);
  deepEqual(manifest["bin"], { shardy: "src/cli/main.js" });
  throws(() => npmManifest({ ...packed, dependencies: { z: "1" } }, {}, checkout), /import of "z"/);
});

test("withNpmNames() gives packages of the import map their names on npm", () => {
  const imports = { "@std/csv": "npm:deno-std@1.4.0/csv/mod.js", "b": "npm:@c/d@1" };
  const text = 'import { a } from "@std/csv";\nawait import("b"); import "./b"; const b = "@std/csv";';
  const expected =
    'import { a } from "deno-std/csv/mod.js";\nawait import("@c/d"); import "./b"; const b = "@std/csv";';
  equal(withNpmNames(text, imports), expected);
});

/** Installs with npm, or says so and lays the same files out by hand. */
function install(folder: string, tarball: string): void {
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status, stderr } = spawnSync("npm", ["install", ...options, tarball], { cwd: folder, timeout: 120_000 });
  if (status === 0) return;
  const reason = stderr?.toString().trim().split("\n")[0];
  console.log(`LEFT OUT: installing the package by npm, so it was unpacked by hand (npm: ${reason})`);
  const place = join(folder, "node_modules", PACKAGE);
  rmSync(join(folder, "node_modules"), { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  execFileSync("tar", ["xzf", tarball, "--strip-components=1", "-C", place]);
  const { dependencies } = JSON.parse(readFileSync(join(place, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies)) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(realpathSync(join(root, "node_modules", name)), link);
  }
  mkdirSync(join(folder, "node_modules", ".bin"));
  symlinkSync(join(place, "src/cli/main.js"), join(folder, "node_modules", ".bin", "shardy"));
}

// Once, on the runtime that builds it: the test itself starts the other two.
if ("Deno" in globalThis) {
  test("packForNpm(): Node and Bun install the package, write with threads, read, serve, and run `shardy`", async () => {
    const { findRuntime } = await import("./runtimes.ts");
    const folder = mkdtempSync(join(tmpdir(), "shardyfusion-installed-"));
    try {
      const tarball = packForNpm(root, join(folder, "tarball"));
      install(folder, tarball);
      writeFileSync(join(folder, "program.mjs"), PROGRAM);
      writeFileSync(join(folder, "typed.ts"), typedProgram());
      const options = { cwd: folder, encoding: "utf8", timeout: 60_000 } as const;
      const node = await findRuntime("node");
      for (const { path } of [await findRuntime("bun"), node]) {
        rmSync(join(folder, "people"), { recursive: true, force: true });
        equal(execFileSync(path, ["program.mjs"], options), "4 person 42 person 43\n");
      }
      const nodePath = realpathSync(execFileSync(node.path, ["-p", "process.execPath"], { encoding: "utf8" }).trim());
      const PATH = `${dirname(nodePath)}${delimiter}${process.env["PATH"]}`;
      const shardy = (...args: string[]): string =>
        execFileSync("npx", ["--no-install", "shardy", ...args], { ...options, env: { ...process.env, PATH } });
      match(shardy("--help"), /Usage: shardy/);
      // The files for engines are there as the guide says.
      const shims = join(folder, "node_modules", PACKAGE, "src/engine/python");
      match(readFileSync(join(shims, "shardy_task.py"), "utf8"), /^def build\(/m);
      match(shardy("get", "42", "--current-url", "./people/_CURRENT"), /person 42|cGVyc29uIDQy/);
      // The declarations are whole: who imports every entry point finds all types.
      const checked = spawnSync(process.execPath, ["check", "--quiet", "typed.ts"], options);
      equal(checked.status, 0, checked.stderr);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

function typedProgram(): string {
  const { exports } = JSON.parse(readFileSync(`${root}deno.json`, "utf8"));
  const peers = /prometheus|otel|lancedb/; // Their declarations name packages that are not installed here.
  const subpaths = Object.keys(exports).filter((subpath) => !peers.test(subpath));
  ok(subpaths.length > 20);
  const imports = subpaths.map((subpath, at) => `import * as part${at} from "${PACKAGE}${subpath.slice(1)}";`);
  return `${imports.join("\n")}
import { hashSharding, memoryStore, openSnapshot, writeSnapshot, type WriteSnapshotOptions } from "${PACKAGE}";
console.log(${subpaths.map((_, at) => `part${at}`).join(", ")});
const options: WriteSnapshotOptions<number> = {
  store: memoryStore(),
  sharding: hashSharding({ shards: 1 }),
  key: (row) => row,
  value: (row) => row.toFixed(2),
};
const { stats } = await writeSnapshot([1, 2], options);
const value: Uint8Array | null = await (await openSnapshot({ store: options.store })).get(stats.rowsWritten);
// @ts-expect-error keys are not dates
await (await openSnapshot({ store: options.store })).get(new Date());
console.log(value);
`;
}
