/**
 * The tiles above: what the snapshot has, and what is asked of the server now.
 * @module
 */

/** Served at `/ui/live.js`. */
export const liveJs: string = String.raw`import { brief, byId, bytes, count, digits, h, replace, svg } from "./dom.js";

// One every two seconds: three minutes.
const SAMPLES_MAX = 90;
const samples = [];

const RATES = [
  ["Look-ups", "lookUps", (rate) => digits(rate) + "/s", (total) => brief(total) + " so far"],
  ["GETs", "requests", (rate) => digits(rate) + "/s", (total) => brief(total) + " so far"],
  ["Read", "bytesRead", (rate) => bytes(rate) + "/s", (total) => bytes(total) + " so far"],
];

export function addSample(live) {
  const last = samples.at(-1);
  // The server began anew: what was counted before is of no use.
  if (last !== undefined && (live.lookUps < last.lookUps || live.requests < last.requests)) samples.length = 0;
  samples.push(live);
  if (samples.length > SAMPLES_MAX) samples.shift();
}

export function drawFigures(snapshot) {
  const { rowCount, sizeBytes, shardCount, shards } = snapshot;
  const full = (shards || []).filter((shard) => shard.rows > 0);
  const largest = full.reduce((max, shard) => Math.max(max, shard.rows), 0);
  const skew = full.length > 1 && rowCount ? largest / (rowCount / shardCount) : null;
  const perRow = rowCount ? digits(sizeBytes / rowCount) + " B a row" : "";
  const live = samples.at(-1);
  const tiles = [
    tile("Rows", count(rowCount), skew === null ? "" : "largest " + skew.toFixed(2) + " × mean"),
    tile("Size", bytes(sizeBytes), perRow),
    tile("Shards", count(shardCount), shards === null ? "read one by one" : emptyNote(shards)),
    ...RATES.map(([name, field, shown, total]) =>
      tile(name, rate(field, shown), live ? total(live[field]) : "", sparkline(name, rates(field)))
    ),
  ];
  if (live && live.filterHits > 0) tiles.push(tile("Filtered", brief(live.filterHits), "absent keys without a GET"));
  if (live && live.hydratedShards > 0) tiles.push(tile("Hydrated", count(live.hydratedShards), "shards on this disk"));
  replace(byId("figures"), tiles);
}

function emptyNote(shards) {
  const empty = shards.filter((shard) => shard.rows === 0).length;
  const reused = shards.filter((shard) => shard.reusedFrom !== null).length;
  const notes = [];
  if (empty > 0) notes.push(count(empty) + " empty");
  if (reused > 0) notes.push(count(reused) + " reused");
  return notes.join(", ") || "none empty";
}

function rates(field) {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index];
    const seconds = (sample.nowMs - before.nowMs) / 1000;
    return seconds > 0 ? (sample[field] - before[field]) / seconds : 0;
  });
}

function rate(field, shown) {
  const recent = rates(field).at(-1);
  return recent === undefined ? "–" : shown(recent);
}

function tile(name, value, note, drawing) {
  return h(
    "div",
    { class: "tile" },
    h("dt", null, name),
    h("dd", null, h("span", { class: "value" }, value), h("span", { class: "note" }, note), drawing),
  );
}

function sparkline(name, values) {
  const [width, height] = [120, 26];
  const max = Math.max(...values, 0);
  const step = width / Math.max(30, values.length - 1);
  const left = width - Math.max(0, values.length - 1) * step;
  const points = values.map((value, index) =>
    (left + index * step).toFixed(1) + "," + (height - 1 - (max > 0 ? value / max : 0) * (height - 3)).toFixed(1)
  );
  const line = points.length < 2 ? null : [
    svg("polygon", {
      class: "area",
      points: left + "," + height + " " + points.join(" ") + " " + width + "," + height,
    }),
    svg("polyline", { class: "line", points: points.join(" ") }),
  ];
  return svg("svg", {
    class: "spark",
    viewBox: "0 0 " + width + " " + height,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": name + " a second, lately: at most " + digits(max),
  }, line);
}
`;
