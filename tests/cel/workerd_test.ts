// Cloudflare's own runtime evaluates: no code from strings, no WebAssembly, no compatibility flags.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { compileCel } from "../../src/cel/compile_cel.ts";
import { bundleWorker, startMiniflareBucket } from "../servers/miniflare.ts";

test("compileCel() runs in workerd", async () => {
  const script = bundleWorker(fileURLToPath(new URL("./cel_worker.ts", import.meta.url)));
  ok(!/\beval\(|new Function|WebAssembly|node:/.test(script));
  await using worker = await startMiniflareBucket({ script });
  const expr = 'shard_hash(region + ":" + string(tier)) % 8u';
  const columns = { region: "string", tier: "int" } as const;
  const rows = [["us", 3], ["日本", -1], ["", 2 ** 40]].map(([region, tier]) => ({ region, tier }));
  const response = await fetch(worker.url, { method: "POST", body: JSON.stringify({ expr, columns, rows }) });
  equal(response.status, 200);
  const { evaluate } = compileCel(expr, columns);
  deepEqual(await response.json(), rows.map((row) => evaluate(row)));
});
