/**
 * What a reader at the edge weighs: `openSnapshot` and `httpStore` in one file, as a Worker would ship them.
 * @module
 */
import { deepEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

/** 25 kB is the aim; a tenth of it, error messages, is what is over. */
const GZIP_BYTES_MAX = 28_700;

/** What routing by CEL may add to it. */
const CEL_GZIP_BYTES_MAX = 30_000;

/** What reading SlateDB's shards may add to it. */
const SLATEDB_GZIP_BYTES_MAX = 9_300;

/** Bundles a module as a caller's build would, with what it imports from `node:` left outside. */
async function bundled(contents: string): Promise<{ text: string; inputs: string[]; outside: string[] }> {
  const { outputFiles, metafile } = await esbuild.build({
    stdin: { contents, resolveDir: fileURLToPath(new URL("../../", import.meta.url)), loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    external: ["node:*"],
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const outputs = Object.values(metafile.outputs);
  return {
    text: outputFiles[0]!.text,
    inputs: outputs.flatMap(({ inputs }) => Object.keys(inputs)),
    outside: outputs.flatMap(({ imports }) => imports.map(({ path }) => path)),
  };
}

function isCel(path: string): boolean {
  return /src\/cel\/|src\/routing\/cel_/.test(path);
}

test("./reader with httpStore is at most 28.7 kB gzipped, and takes no library with it", async (t) => {
  t.after(() => esbuild.stop());
  const { text, inputs, outside } = await bundled(`
    export { httpStore, openSnapshot } from "./src/edge/mod.ts";
  `);
  const sizeBytes = gzipSync(text, { level: 9 }).byteLength;
  t.diagnostic(`${sizeBytes} bytes gzipped, ${text.length} minified`);
  deepEqual(outside, [], "what is imported from outside");
  deepEqual(inputs.filter((path) => /node_modules|hash-wasm|valibot|@aws-sdk/.test(path)), []);
  deepEqual(inputs.filter(isCel), [], "what routes by CEL");
  ok(inputs.some((path) => path.endsWith("src/sqlite/lookup.ts")), "the bundle has the b-tree reader");
  ok(sizeBytes <= GZIP_BYTES_MAX, `${sizeBytes} bytes gzipped`);
});

test("./reader with ./routing/cel has at most 30 kB gzipped more", async (t) => {
  t.after(() => esbuild.stop());
  const [plain, withCel] = await Promise.all(["", 'export { celRouting } from "./src/routing/cel_router.ts";'].map(
    (more) => bundled(`export { httpStore, openSnapshot } from "./src/edge/mod.ts"; ${more}`),
  ));
  const [plainBytes, celBytes] = [plain!, withCel!].map(({ text }) => gzipSync(text, { level: 9 }).byteLength);
  t.diagnostic(`${celBytes! - plainBytes!} bytes gzipped more`);
  deepEqual(withCel!.outside, [], "what is imported from outside");
  deepEqual(withCel!.inputs.filter((path) => /node_modules|hash-wasm|valibot|@aws-sdk/.test(path)), []);
  ok(withCel!.inputs.some((path) => path.endsWith("src/cel/parser.ts")), "the bundle has the expressions");
  ok(celBytes! - plainBytes! <= CEL_GZIP_BYTES_MAX, `${celBytes! - plainBytes!} bytes gzipped more`);
});

test("./reader with ./backends/slatedb-reader has at most 9.3 kB gzipped more", async (t) => {
  t.after(() => esbuild.stop());
  const [plain, withSlate] = await Promise.all(
    ["", 'export { slatedbReader } from "./src/backends/slatedb_shard_reader.ts";'].map(
      (more) => bundled(`export { httpStore, openSnapshot } from "./src/edge/mod.ts"; ${more}`),
    ),
  );
  const [plainBytes, slateBytes] = [plain!, withSlate!].map(({ text }) => gzipSync(text, { level: 9 }).byteLength);
  t.diagnostic(`${slateBytes! - plainBytes!} bytes gzipped more`);
  deepEqual(withSlate!.outside, [], "what is imported from outside");
  deepEqual(withSlate!.inputs.filter((path) => /node_modules|hash-wasm|valibot|@aws-sdk/.test(path)), []);
  ok(slateBytes! - plainBytes! <= SLATEDB_GZIP_BYTES_MAX, `${slateBytes! - plainBytes!} bytes gzipped more`);
});

test("openSnapshot() of the package loads what routes by CEL only for snapshots that need it", async (t) => {
  t.after(() => esbuild.stop());
  const { metafile } = await esbuild.build({
    stdin: {
      contents: 'export { openSnapshot } from "./src/read/open_snapshot.ts";',
      resolveDir: fileURLToPath(new URL("../../", import.meta.url)),
      loader: "ts",
    },
    bundle: true,
    splitting: true,
    outdir: "unwritten",
    format: "esm",
    platform: "node",
    packages: "external",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const byPath = new Map(Object.entries(metafile.outputs));
  const entry = [...byPath].find(([, { entryPoint }]) => entryPoint === "<stdin>")![0];
  const loaded = new Set([entry]);
  for (const path of loaded) {
    for (const { path: imported, kind } of byPath.get(path)!.imports) {
      if (kind === "import-statement" && byPath.has(imported)) loaded.add(imported);
    }
  }
  const inputs = [...loaded].flatMap((path) => Object.keys(byPath.get(path)!.inputs));
  deepEqual(inputs.filter(isCel), []);
  ok(inputs.length > 30);
  ok([...byPath.values()].some((output) => Object.keys(output.inputs).some(isCel)), "it is loaded late");
});
