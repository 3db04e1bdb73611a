// Judge: Chromium. Skips aloud where there is none.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import type { ExplorerOptions } from "../../src/explorer/explorer_handler.ts";
import { celSharding } from "../../src/routing/mod.ts";
import { hashSharding } from "../../src/routing/sharding.ts";
import { giantSeries, KEYS } from "../read/giant_series.ts";
import { count, published } from "../read/small_snapshots.ts";
import { type Browser, findChromium, openBrowser, type Page } from "./browser.ts";
import { served } from "./served_explorer.ts";

const TOKEN = "roll-back-token-0123456789";
/** Where pages are drawn to, for people who change them. */
const SHOTS = process.env["SHARDYFUSION_SHOTS"];

const chromium = findChromium();

/** A page of an explorer, in a browser of its own. */
async function withPage(
  t: TestContext,
  options: ExplorerOptions,
  look: (page: Page, url: string) => Promise<void>,
): Promise<void> {
  if (chromium === null) {
    console.log("LEFT OUT: the explorer in a browser, as there is no Chromium (apt-get install chromium)");
    t.skip("no Chromium");
    return;
  }
  await using server = await served(options);
  await using browser: Browser = await openBrowser(chromium);
  const page = await browser.newPage();
  await page.setViewport(1280, 900);
  await page.goTo(server.url);
  await look(page, server.url);
  deepEqual(page.errors, []);
  ok(page.requests.every((url) => url.startsWith(server.url)), page.requests.join("\n"));
}

async function keep(page: Page, name: string): Promise<void> {
  if (SHOTS === undefined) return;
  await mkdir(SHOTS, { recursive: true });
  await writeFile(`${SHOTS}/${name}.png`, await page.screenshot(true));
}

/** What the drawing of a look-up says, step by step. */
async function way(page: Page): Promise<string[]> {
  return await page.read(`[...document.querySelectorAll(".way .step")].map((step) => step.innerText)`);
}

async function lookUp(page: Page, key: string): Promise<string> {
  await page.read(`document.querySelector("#look-up-told").textContent = "", document.activeElement.blur()`);
  await page.press("/");
  await page.type(key);
  await page.press("Enter");
  await page.waitFor(`document.querySelector("#look-up-told").textContent !== ""`);
  return await page.text("#look-up-told");
}

test("explorer: a key is looked up with the keyboard alone, and its way is drawn", async (t) => {
  const store = memoryStore("cities");
  const keyOf = (row: number): string => `place/${String(row).padStart(6, "0")}/${"x".repeat(50)}`;
  await writeSnapshot(count(20_000), {
    store,
    sharding: hashSharding({ shards: 12 }),
    key: keyOf,
    value: (row) => JSON.stringify({ row, name: "<img src=x onerror=alert(1)>" }),
  });
  await using reader = await openSnapshot({ store });
  await withPage(t, { reader, store, token: TOKEN }, async (page) => {
    await page.waitFor(`document.querySelectorAll("#history-list .entry").length === 1`);
    equal(await page.text("h1"), "cities");
    match(await page.text("#figures"), /Rows\s+20,000/);
    match(
      await lookUp(page, keyOf(777)),
      /^Found, \d+ bytes: this server took .* from memory; a reader over ranges, cold: 4 /,
    );
    const steps = await way(page);
    const shardId = reader.route(keyOf(777));
    deepEqual(steps.map((step) => step.split("\n")[0]), ["Key", "Hash", "Shard", "Pages", "Value"]);
    match(steps[1]!, new RegExp(`mod 12 = ${shardId}`));
    match(steps[2]!, new RegExp(`Shard ${shardId} of 12`));
    match(steps[3]!, /interior page \d+[^]*leaf page \d+/);
    match(steps[4]!, /"name": "<img src=x onerror=alert\(1\)>"/);
    equal(await page.read(`document.images.length`), 1);
    deepEqual(
      await page.read(`[...document.querySelectorAll(".gets tbody th")].map((cell) => cell.innerText).sort()`),
      [
        "guard",
        "manifest",
        "pages",
        "sidecar",
      ],
    );
    match(await lookUp(page, keyOf(777)), /a reader over ranges, warm: no GET/);
    match(await lookUp(page, "nowhere <b>at all</b>"), /^No such key/);
    equal(await page.read(`document.querySelector(".way b")`), null);
    await keep(page, "look_up");
    await page.click('#state input[value="cold"]');
    await page.waitFor(`/cold: \\d/.test(document.querySelector("#look-up-told").textContent)`);
  });
});

test("explorer: roll back asks for the token, and shows the other snapshot", async (t) => {
  const store = memoryStore();
  for (const rows of [100, 150]) await published(count(rows), { store });
  await using reader = await openSnapshot({ store });
  const newest = reader.info.runId;
  await withPage(t, { reader, store, token: TOKEN }, async (page) => {
    await page.waitFor(`document.querySelectorAll(".entry").length === 2`);
    await page.click(".entry button");
    await page.waitFor(`document.querySelector("#roll-back").open`);
    equal(await page.read(`document.activeElement.id`), "roll-back-token");
    await page.press("Escape");
    await page.waitFor(`!document.querySelector("#roll-back").open`);
    equal(await page.read(`document.activeElement.innerText`), "Roll back to this");

    await page.press("Enter");
    await page.waitFor(`document.querySelector("#roll-back").open`);
    await page.type("wrong-token-0123456789");
    await page.press("Enter");
    await page.waitFor(`document.querySelector("#roll-back-problem").textContent !== ""`);
    match(await page.text("#roll-back-problem"), /token is missing or wrong/);
    equal(reader.info.runId, newest);
    // The browser notes a 401 in its log; that is the one error that is meant to be.
    match(page.errors.splice(0).join(), /401/);

    await page.read(`document.querySelector("#roll-back-token").value = ""`);
    await page.read(`document.querySelector("#roll-back-token").focus()`);
    await page.type(TOKEN);
    await page.press("Enter");
    await page.waitFor(`!document.querySelector("#roll-back").open`);
    await page.waitFor(`/Rows\\s+100/.test(document.querySelector("#figures").innerText)`);
    await page.waitFor(`/is current now/.test(document.querySelector("#announcer").textContent)`);
    match(await page.text(".entry.is-current"), /100 rows/);
    match(await page.text("#headline"), /generation 3/);
    equal(await page.read(`document.querySelector("#roll-back-token").value`), "");
  });
  if (chromium !== null) ok(reader.info.runId !== newest);
});

test("explorer: without a token it says that there is no roll back, and takes over what is published", async (t) => {
  const store = await published(count(100));
  await using reader = await openSnapshot({ store });
  await withPage(t, { reader, store }, async (page) => {
    await page.waitFor(`document.querySelectorAll(".entry").length === 1`);
    match(await page.text("#history-note"), /Roll back is off: the server was started without a token/);
    await published(count(300), { store });
    await reader.refresh();
    await page.waitFor(`/Rows\\s+300/.test(document.querySelector("#figures").innerText)`);
    equal(await page.read(`document.querySelectorAll(".entry button").length`), 0);
  });
});

test("explorer: a token for reading is asked for once", async (t) => {
  const store = await published(count(100));
  await using reader = await openSnapshot({ store });
  const readToken = "read-token-0123456789";
  await withPage(t, { reader, store, readToken }, async (page) => {
    await page.waitFor(`document.querySelector("#sign-in").open`);
    await page.type(readToken);
    await page.press("Enter");
    await page.waitFor(`/Rows\\s+100/.test(document.querySelector("#figures").innerText)`);
    match(await lookUp(page, "42"), /^Found/);
    match(page.errors.splice(0).join(), /401/);
  });
});

/** Texts whose colour is too near to what is behind them: less than 4.5 to 1, as WCAG 2 counts. */
const FAINT_TEXTS = `(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((value) => channel(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() === "" || element.getClientRects().length === 0) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [light(colour), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) faint.push(node.data.slice(0, 30) + " " + ratio.toFixed(2));
  }
  return faint;
})()`;

test("explorer: every text can be read in both themes", async (t) => {
  const store = memoryStore();
  for (const rows of [1000, 2000]) await published(count(rows), { store });
  await using reader = await openSnapshot({ store });
  await withPage(t, { reader, store, token: TOKEN }, async (page) => {
    await page.waitFor(`document.querySelectorAll(".entry").length === 2`);
    await lookUp(page, "5");
    for (const theme of ["light", "dark"] as const) {
      await page.setColorScheme(theme);
      deepEqual([theme, await page.read(FAINT_TEXTS)], [theme, []]);
    }
    await page.click(".entry button");
    deepEqual(await page.read(FAINT_TEXTS), []);
  });
});

test("explorer: dark by the system's wish or by the button, and remembered", async (t) => {
  const store = await published(count(100));
  await using reader = await openSnapshot({ store });
  const background = `getComputedStyle(document.documentElement).backgroundColor`;
  await withPage(t, { reader, store }, async (page, url) => {
    const light = await page.read<string>(background);
    await page.setColorScheme("dark");
    const dark = await page.read<string>(background);
    ok(light !== dark, `${light} and ${dark}`);
    await page.click("#theme");
    equal(await page.text("#theme"), "☀ Theme: light");
    equal(await page.read(background), light);
    await page.press("t");
    equal(await page.read(background), dark);
    await page.setColorScheme("light");
    await page.goTo(`${url}?again`);
    await page.waitFor(`document.querySelector("#theme").innerText === "☾ Theme: dark"`);
    equal(await page.read(background), dark);
    await keep(page, "dark");
  });
});

test("explorer: fits a phone, and everything that can be used has a name", async (t) => {
  const store = memoryStore();
  await writeSnapshot(count(900), {
    store,
    sharding: celSharding({ expr: "region", columns: { region: "string" }, inferRoutingValues: true }),
    key: (id) => `a key that is rather long, ${"as some are, ".repeat(5)}${id}`,
    value: (id) => `${id}`,
    columns: (id) => ({ region: ["ap", "eu", "us"][id % 3]! }),
  });
  await using reader = await openSnapshot({ store });
  await withPage(t, { reader, store, token: TOKEN }, async (page) => {
    for (const width of [320, 390, 768, 1024, 1280, 1920]) {
      await page.setViewport(width, 800, width < 500);
      await page.waitFor(`document.querySelectorAll("#shards-table tbody tr").length === 3`);
      const [content, seen] = await page.read<[number, number]>(`[document.documentElement.scrollWidth, innerWidth]`);
      ok(content <= seen, `${content} pixels of ${seen}`);
      await keep(page, `width_${width}`);
    }
    await page.setViewport(390, 844, true);
    await page.click("#column-0");
    await page.type("eu");
    match(await lookUp(page, `a key that is rather long, ${"as some are, ".repeat(5)}1`), /^Found/);
    match((await way(page))[1]!, /gives\s+shard 1/);
    ok(await page.read<boolean>(`document.documentElement.scrollWidth <= innerWidth`));
    await keep(page, "phone");
    const controls = await page.controls();
    deepEqual(controls.filter(({ name }) => name.trim() === ""), []);
    for (const role of ["button", "textbox", "radio", "slider", "table"]) {
      ok(controls.some((control) => control.role === role), role);
    }
  });
});

test("explorer: without a list of shards the rest is there", async (t) => {
  const { store } = await giantSeries(10_500);
  await using reader = await openSnapshot({ store });
  await withPage(t, { reader, store }, async (page) => {
    await page.waitFor(`/10,500/.test(document.querySelector("#figures").innerText)`);
    match(await page.text("#shards-note"), /too many to be listed/);
    equal(await page.read(`document.querySelector("#measure").hidden`), true);
    match(await lookUp(page, String(KEYS[5])), /^Found/);
    match((await way(page))[2]!, /of 10,500/);
    await keep(page, "giant");
  });
});

test("explorer: the chart is gone through by keys, the table sorted, very many shards are put together", async (t) => {
  const store = await published(count(5000), { shards: 1500 });
  await using reader = await openSnapshot({ store });
  await withPage(t, { reader, store }, async (page) => {
    await page.waitFor(`document.querySelector(".chart") !== null`);
    const columns = await page.read<number>(`document.querySelectorAll(".chart .bar").length`);
    ok(columns > 100 && columns <= 400, `${columns} columns`);
    await page.read(`document.querySelector(".chart").focus()`);
    for (const key of ["End", "ArrowLeft", "ArrowLeft"]) await page.press(key);
    const { rowCount } = reader.shards[1497]!;
    match(await page.text("#shards-readout"), new RegExp(`^Shard 1497: ${rowCount} row`));
    match(await page.read(`document.querySelector(".chart").getAttribute("aria-valuetext")`), /^Shard 1497/);
    equal(await page.read(`document.activeElement.className`), "chart");

    const most = Math.max(...reader.shards.map((shard) => shard.rowCount));
    await page.click('th[data-field="rows"] button');
    equal(await page.read(`document.querySelector('th[data-field="rows"]').ariaSort`), "descending");
    equal(await page.text("#shards-table tbody td"), String(most));
    await page.click(".more");
    equal(await page.read(`document.querySelectorAll("#shards-table tbody tr").length`), 250);
    await page.click('#measure input[value="bytes"]');
    match(await page.read(`document.querySelector(".chart").getAttribute("aria-label")`), /^Bytes of 1,500 shards/);
    await keep(page, "many_shards");
  });
});
