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

test("./reader with httpStore is at most 28.7 kB gzipped, and takes no library with it", async (t) => {
  t.after(() => esbuild.stop());
  const { text, inputs, outside } = await bundled(`
    export { httpStore, openSnapshot } from "./src/edge/mod.ts";
  `);
  const sizeBytes = gzipSync(text, { level: 9 }).byteLength;
  t.diagnostic(`${sizeBytes} bytes gzipped, ${text.length} minified`);
  deepEqual(outside, [], "what is imported from outside");
  deepEqual(inputs.filter((path) => /node_modules|hash-wasm|valibot|@aws-sdk/.test(path)), []);
  ok(inputs.some((path) => path.endsWith("src/sqlite/lookup.ts")), "the bundle has the b-tree reader");
  ok(sizeBytes <= GZIP_BYTES_MAX, `${sizeBytes} bytes gzipped`);
});
