// The OpenAPI document, judged by Schemathesis: it makes requests by the document and holds the answers against it.
import { ok } from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { startHttpServer } from "../../src/cli/http_server.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { snapshotHandler } from "../../src/serve/mod.ts";
import { count, published } from "../read/small_snapshots.ts";
import { regional } from "./served_snapshots.ts";

const EXAMPLES = process.env["SHARDYFUSION_SOAK"] ? 200 : 10;

function find(): string | null {
  for (const command of [process.env["SHARDYFUSION_SCHEMATHESIS"], "schemathesis"]) {
    try {
      if (command === undefined) continue;
      execFileSync(command, ["--version"], { stdio: "ignore" });
      return command;
    } catch {
      // The next one.
    }
  }
  return null;
}

async function check(command: string, url: string, kind: string): Promise<void> {
  // It leaves files where it runs.
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-schemathesis-"));
  const args = ["run", `${url}/v1/openapi.json`, "--checks", "all", "--max-examples", `${EXAMPLES}`, "--no-color"];
  // No schema can say that a key must be hex where the parameter beside it says so.
  if (kind === "texts") args.push("--exclude-checks", "positive_data_acceptance");
  // Nor that no keys need no columns.
  if (kind === "CEL sharding") args.push("--exclude-checks", "negative_data_rejection");
  const child = spawn(command, [...args, "--generation-database", "none", "--seed", "1"], { cwd: folder });
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (text) => printed += text);
  child.stderr.setEncoding("utf8").on("data", (text) => printed += text);
  const [exitCode] = await once(child, "close");
  await rm(folder, { recursive: true });
  ok(exitCode === 0, printed.slice(-8000));
}

const readers = {
  numbers: async () => await openSnapshot({ store: await published(count(100)) }),
  texts: async () => await openSnapshot({ store: await published(["a", "b/c", "ä"]) }),
  "CEL sharding": regional,
};

for (const [kind, readerOf] of Object.entries(readers)) {
  test(`openapi.json of a snapshot of ${kind} says what the service does`, async (t: TestContext) => {
    const command = find();
    if (command === null) {
      const reason = "the OpenAPI document: there is no schemathesis (see tests/README.md)";
      console.log(`LEFT OUT: ${reason}`);
      t.skip(reason);
      return;
    }
    await using reader = await readerOf();
    const handler = snapshotHandler(reader, { metrics: () => Promise.resolve("up 1\n") });
    const server = await startHttpServer((request) => handler(request), { host: "127.0.0.1", port: 0 });
    try {
      await check(command, server.url, kind);
    } finally {
      await server.close(1000);
    }
  });
}
