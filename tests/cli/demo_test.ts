// The demo, on a folder of the test's own.
import { equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { runDemo } from "../../src/cli/demo.ts";
import { shardy, withFolder } from "./run_shardy.ts";

test("runDemo() publishes all places, finds what it looks up, and says so in a dozen lines", async () => {
  await withFolder(async (folder) => {
    const lines: string[] = [];
    await runDemo(folder, (line) => lines.push(line));
    const text = lines.join("\n");
    ok(lines.length <= 15 && lines.every((line) => line.length <= 120), text);
    match(text, /^get FR\/11\/Paris {2}→ {2}shard \d, Paris at 48\.\d+, 2\.\d+$/m);
    match(text, /^get AQ\/00\/Atlantis {2}→ {2}shard \d, not there$/m);
    match(text, /^access "memory": opened in \d+ ms, 200,000 gets of \d+\.\d µs each\.$/m);
    match(text, /^access "download": opened in \d+ ms, 200,000 gets of \d+\.\d µs each\.$/m);
    const { exitCode, stdout } = await shardy(["--current-url", `${folder}/_CURRENT`, "info"]);
    equal(exitCode, 0);
    equal(JSON.parse(stdout).num_dbs, 8);
  });
});
