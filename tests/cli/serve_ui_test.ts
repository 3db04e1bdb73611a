// `shardy serve --ui`: the page beside the service, in this process.
import { deepEqual, doesNotMatch, equal, match } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { history, openSnapshot } from "../../mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { published } from "../read/small_snapshots.ts";
import { serving, shardy, withFolder } from "./run_shardy.ts";

const UI_TOKEN = "ui-token-0123456789";
const HEADERS = { authorization: `Bearer ${UI_TOKEN}`, "content-type": "application/json" };

test("shardy serve --ui shows the page, looks keys up and rolls back beside the service", async () => {
  await withFolder(async (folder) => {
    const store = fsStore(folder);
    for (const keys of [[1, 2], [1, 2, 3]]) await published(keys, { store });
    const { exitCode, stderr } = await serving(
      ["--url", join(folder, "_CURRENT"), "--ui", "--refresh", "0"],
      async (url) => {
        match(await (await fetch(`${url}/`)).text(), /<h1 id="title">/);
        equal((await fetch(`${url}/ui/app.js`)).headers.get("content-type"), "text/javascript; charset=utf-8");
        equal((await (await fetch(`${url}/ui/trace?key=3`)).json()).value.text, "<3>");
        equal(await (await fetch(`${url}/v1/get/3`)).text(), "<3>");
        const { entries, canRollBack } = await (await fetch(`${url}/ui/history`)).json();
        equal(canRollBack, true);
        const body = JSON.stringify({ id: entries[1].id, current: entries[0].id });
        const wish = { method: "POST", body };
        equal((await fetch(`${url}/ui/rollback`, wish)).status, 401);
        equal((await fetch(`${url}/ui/rollback`, { ...wish, headers: HEADERS })).status, 200);
        equal((await fetch(`${url}/v1/get/3`)).status, 404);
      },
      { SHARDY_UI_TOKEN: UI_TOKEN },
    );
    deepEqual([exitCode, stderr], [0, ""]);
    await using reader = await openSnapshot({ store });
    equal(reader.info.runId, (await history(store))[1]!.runId);
  });
});

test("shardy serve --ui asks for the token of the service wherever the page shows data", async () => {
  await withFolder(async (folder) => {
    await published([1, 2], { store: fsStore(folder) });
    const args = [
      "--url",
      join(folder, "_CURRENT"),
      "--ui",
      "--token",
      "secret",
      "--token-path",
      "/v1/scan",
      "--refresh",
      "0",
    ];
    await serving(args, async (url) => {
      equal((await fetch(`${url}/`)).status, 200);
      equal((await fetch(`${url}/ui/trace?key=1`)).status, 401);
      equal((await fetch(`${url}/ui/trace?key=1`, { headers: { authorization: "Bearer secret" } })).status, 200);
      const rollBack = await fetch(`${url}/ui/rollback`, { method: "POST", headers: HEADERS, body: "{}" });
      equal(rollBack.status, 403);
      equal(rollBack.headers.get("access-control-allow-origin"), null);
    });
  });
});

test("shardy serve --ui-token tells what it must be, and not what it is", async () => {
  await withFolder(async (folder) => {
    await published([1], { store: fsStore(folder) });
    const url = ["serve", "--port", "0", "--url", join(folder, "_CURRENT")];
    const short = await shardy([...url, "--ui", "--ui-token", "weak"]);
    deepEqual([short.exitCode, short.stdout], [2, ""]);
    match(short.stderr, /--ui-token must be a text of 16 or more/);
    doesNotMatch(short.stderr, /weak/);
    const alone = await shardy([...url, "--ui-token", UI_TOKEN]);
    equal(alone.exitCode, 2);
    match(alone.stderr, /--ui-token needs --ui/);
  });
});
