// What happens where @lancedb/lancedb is not installed: in a process of its own, in a folder that has no packages.
import { deepEqual, equal, match } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Entry, fromHex, runOf, seriesPath, temporaryFolder } from "../read/fixture_snapshots.ts";

const root = new URL("../../", import.meta.url);

const PROGRAM = `
import { memoryStore, openSnapshot, singleShard, writeSnapshot } from "MOD";
import { compositeBackend } from "SRC/backends/composite_backend.ts";
import { lancedbBackend } from "SRC/backends/lancedb_backend.ts";
import { sqliteBackend } from "SRC/backends/sqlite_backend.ts";
import { fsStore } from "SRC/stores/fs_store.ts";

const told = [];
async function tell(name, doing) {
  try {
    told.push([name, await doing()]);
  } catch ({ name: className, code, packageName, retryable, message }) {
    told.push([name, { className, code, packageName, retryable, message }]);
  }
}
const lance = lancedbBackend({ dim: 2, metric: "l2" });
for (const [name, backend, value] of [["vectors", lance], ["both", compositeBackend(sqliteBackend(), lance), String]]) {
  const store = memoryStore();
  await tell(name, () => writeSnapshot([1, 2], {
    store, backend, sharding: singleShard(), key: (id) => id, value, vector: (id) => ({ vector: [id, id] }),
  }));
  const left = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
  told.push([name + " left", left.filter((key) => key.startsWith("shards/") || key === "_CURRENT")]);
}
for (const name of ["lance_small_l2", "composite_sqlite_lancedb"]) {
  await using reader = await openSnapshot({ store: fsStore(FIXTURES[name].folder) });
  await tell("search in " + name, () => reader.search(new Float32Array(reader.info.custom.vector.dim).fill(1), { topK: 1 }));
  const { key } = FIXTURES[name];
  if (key !== undefined) await tell("row", async () => Array.from(await reader.get(BigInt(key))));
}
console.log(JSON.stringify(told));
`;

function run(folder: string, program: string): [string, unknown][] {
  const file = join(folder, "program.mjs");
  writeFileSync(file, program);
  const config = fileURLToPath(new URL("deno.json", root));
  // Bun would install what a program without packages of its own imports.
  const args = "Deno" in globalThis
    ? ["run", "-A", "--no-check", "--config", config, file]
    : "Bun" in globalThis
    ? ["--no-install", file]
    : [file];
  return JSON.parse(execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" }));
}

test("lancedbBackend names the package to install where it is missing, and leaves nothing behind", {
  timeout: 60_000,
}, (context) => {
  if (existsSync(new URL("node_modules/@lancedb", root))) {
    console.log("LEFT OUT: LanceDB that is missing, as it is installed in the checkout");
    return context.skip("LanceDB is installed in the checkout");
  }
  using folder = temporaryFolder();
  const [{ key, "value_hex": value }] = runOf("composite_sqlite_lancedb").entries as [Entry];
  const placeOf = (name: string): string => fileURLToPath(new URL(`tests/fixtures/${seriesPath(name)}`, root));
  const fixtures = {
    "lance_small_l2": { folder: placeOf("lance_small_l2") },
    "composite_sqlite_lancedb": { folder: placeOf("composite_sqlite_lancedb"), key: key.value },
  };
  const told = run(
    folder.path,
    PROGRAM.replaceAll("MOD", new URL("mod.ts", root).href).replaceAll("SRC", new URL("src", root).href)
      .replaceAll("FIXTURES", JSON.stringify(fixtures)),
  );
  const missing = {
    className: "MissingLibraryError",
    code: "MISSING_LIBRARY",
    packageName: "@lancedb/lancedb",
    retryable: false,
    message: 'Cannot use lancedbBackend without the package "@lancedb/lancedb": install it ' +
      '("npm install @lancedb/lancedb", "bun add @lancedb/lancedb" or "deno add npm:@lancedb/lancedb")',
  };
  deepEqual(told, [
    ...[["vectors", missing], ["vectors left", []], ["both", missing], ["both left", []]],
    ["search in lance_small_l2", missing],
    ["search in composite_sqlite_lancedb", missing],
    // Rows need none of it.
    ["row", Array.from(fromHex(value!))],
  ]);
});

test("lancedbBackend says why the package does not load where it is there", { timeout: 60_000 }, (context) => {
  if (existsSync(new URL("node_modules/@lancedb", root))) {
    console.log("LEFT OUT: LanceDB that does not load, as one that does is installed in the checkout");
    return context.skip("LanceDB is installed in the checkout");
  }
  using folder = temporaryFolder();
  const place = join(folder.path, "node_modules/@lancedb/lancedb");
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "package.json"), '{"name":"@lancedb/lancedb","version":"0.0.0","main":"index.js"}');
  writeFileSync(join(place, "index.js"), 'throw new Error("Cannot find native binding\\nat all");');
  const library = new URL("src/backends/lance_library.ts", root).href;
  const [[code, message]] = run(
    folder.path,
    `import { importLance } from "${library}";
    await importLance().catch(({ code, message }) => console.log(JSON.stringify([[code, message]])));`,
  ) as [[string, string]];
  equal(code, "MISSING_LIBRARY");
  match(message, /does not load: install the one for this system.*--allow-ffi; it says "Cannot find native binding"$/);
});
