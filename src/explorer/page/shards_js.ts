/**
 * The shards: a chart that can be gone through by keys, and a table.
 * @module
 */

/** Served at `/ui/shards.js`. */
export const shardsJs: string = String.raw`import { byId, bytes, count, counted, h, replace, svg } from "./dom.js";
import { keyScale } from "./key_scale.js";

const HEIGHT = 168;
const MARGIN = { top: 10, right: 4, bottom: 20, left: 52 };
const ROWS_AT_ONCE = 50;

const MEASURES = {
  rows: { of: (shard) => shard.rows, shown: count, name: "Rows" },
  bytes: { of: (shard) => shard.bytes, shown: bytes, name: "Bytes" },
  beside: {
    of: (shard) => (shard.guardBytes || 0) + (shard.sidecarBytes || 0),
    shown: bytes,
    name: "Guard and sidecar",
  },
  requests: { of: (shard) => requests.get(shard.id) || 0, shown: count, name: "GETs" },
};

let shards = null;
let snapshot = null;
let requests = new Map();
let measure = "rows";
let chosen = 0;
let sorting = { field: "id", isDown: false };
let shownRows = ROWS_AT_ONCE;

export function beginShards() {
  byId("measure").addEventListener("change", (event) => {
    measure = event.target.value;
    drawChart();
  });
  new ResizeObserver(drawChart).observe(byId("shards-chart"));
}

export function showShards(next) {
  const isOther = snapshot === null || snapshot.id !== next.id;
  snapshot = next;
  shards = next.shards;
  if (isOther) chosen = Math.min(chosen, next.shardCount - 1);
  byId("shards-note").textContent = noteOf(next);
  byId("measure").hidden = shards === null;
  if (shards === null) byId("shards-readout").textContent = "";
  drawChart();
  drawTable();
}

export function setShardRequests(entries) {
  requests = new Map(entries);
  if (measure === "requests") drawChart();
}

export function chooseShard(id) {
  chosen = id;
  drawChart();
}

export function shardsNow() {
  return shards;
}

function noteOf({ sharding, expr, keyEncoding, engine, access, shards: list }) {
  const how = sharding === "hash" ? "Keys are spread by their hash" : "Keys are sharded by " + expr;
  const many = list === null ? ". There are too many to be listed; the look-up shows them one by one" : "";
  return how + ", stored as " + keyEncoding + " · " + engine + " · read from " + placeOf(access) + many;
}

function placeOf(access) {
  return {
    memory: "memory",
    download: "disk",
    range: "the store, by ranges",
    hydrate: "the store, then disk",
  }[access] ||
    access;
}

function drawChart() {
  const box = byId("shards-chart");
  if (shards === null || shards.length === 0) return replace(box);
  const width = Math.max(260, box.clientWidth);
  const { of, shown, name } = MEASURES[measure];
  const values = shards.map(of);
  const max = values.reduce((most, value) => Math.max(most, value), 0);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const [plotWidth, plotHeight] = [width - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
  const top = niceMax(max);
  const y = (value) => MARGIN.top + plotHeight - (top > 0 ? value / top : 0) * plotHeight;
  const columns = columnsOf(values, Math.max(1, Math.floor(plotWidth / 4)));
  const step = plotWidth / columns.length;
  const gap = step > 6 ? Math.min(6, step * 0.22) : step > 3 ? 1 : 0;
  const drawing = svg(
    "svg",
    { viewBox: "0 0 " + width + " " + HEIGHT, "aria-hidden": "true", height: HEIGHT },
    [0, 0.5, 1].map((part) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(top * part), y2: y(top * part) }),
      svg("text", { class: "tick", x: MARGIN.left - 6, y: y(top * part) + 4, "text-anchor": "end" }, axis(top * part)),
    ]),
    columns.map((column, index) => {
      const isChosen = column.first <= chosen && chosen < column.end;
      const x = MARGIN.left + index * step + gap / 2;
      const size = Math.max(0.8, step - gap);
      return svg(
        "g",
        { class: isChosen ? "bar chosen" : "bar" },
        svg("rect", { class: "hit", x: MARGIN.left + index * step, y: MARGIN.top, width: step, height: plotHeight }),
        column.max > column.mean
          ? svg("rect", { class: "most", x, y: y(column.max), width: size, height: y(0) - y(column.max) })
          : null,
        svg("rect", { class: "fill", x, y: y(column.mean), width: size, height: y(0) - y(column.mean) }),
      );
    }),
    mean > 0
      ? svg("line", { class: "mean", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(mean), y2: y(mean) })
      : null,
    labels(columns, step).map(([x, text]) =>
      svg("text", { class: "tick", x: MARGIN.left + x, y: HEIGHT - 5, "text-anchor": "middle" }, text)
    ),
  );
  const shard = shards[chosen];
  const slider = h("div", {
    class: "chart",
    role: "slider",
    tabindex: "0",
    "aria-label": name + " of " + counted(shards.length, "shard") + ", " + shown(mean) +
      " each on average. Choose a shard",
    "aria-valuemin": "0",
    "aria-valuemax": String(shards.length - 1),
    "aria-valuenow": String(chosen),
    "aria-valuetext": sentence(shard),
    onkeydown: chartKey,
    onpointermove: (event) => pointAt(event, columns, step, width),
    onpointerdown: (event) => pointAt(event, columns, step, width),
  }, drawing);
  const hadFocus = document.activeElement && box.contains(document.activeElement);
  replace(box, slider);
  if (hadFocus) slider.focus({ preventScroll: true });
  byId("shards-readout").textContent = sentence(shard);
}

function sentence(shard) {
  if (shard.rows === 0) return "Shard " + shard.id + " is empty";
  const parts = [counted(shard.rows, "row"), bytes(shard.bytes)];
  if (shard.guardBytes !== null) parts.push("guard " + bytes(shard.guardBytes));
  if (shard.sidecarBytes !== null) parts.push("sidecar " + bytes(shard.sidecarBytes));
  if (shard.minKey !== null) parts.push("keys " + clipped(shard.minKey) + " … " + clipped(shard.maxKey));
  if (requests.has(shard.id)) parts.push(counted(requests.get(shard.id), "GET"));
  if (shard.reusedFrom !== null) parts.push("reused from run " + shard.reusedFrom);
  return "Shard " + shard.id + ": " + parts.join(" · ");
}

function clipped(key) {
  return key.length > 40 ? key.slice(0, 38) + "…" : key;
}

// As many columns as can be seen; each one stands for neighbouring shards where there are more of these.
function columnsOf(values, columnsMax) {
  const size = Math.ceil(values.length / columnsMax);
  const columns = [];
  for (let first = 0; first < values.length; first += size) {
    const part = values.slice(first, first + size);
    const sum = part.reduce((total, value) => total + value, 0);
    columns.push({ first, end: first + part.length, mean: sum / part.length, max: Math.max(...part) });
  }
  return columns;
}

function labels(columns, step) {
  const every = Math.ceil(34 / step);
  return columns.flatMap(({ first }, index) => index % every === 0 ? [[(index + 0.5) * step, String(first)]] : []);
}

const NICE = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40, 50, 60, 80];

// The top of the axis: a round number, of bytes in their unit.
function niceMax(max) {
  if (max <= 0) return 1;
  const unit = countsThings() ? 1 : 1024 ** Math.floor(Math.log2(max) / 10);
  for (let power = unit;; power *= 100) {
    const found = NICE.find((factor) => factor * power >= max);
    if (found !== undefined) return found * power;
  }
}

function countsThings() {
  return measure === "rows" || measure === "requests";
}

function axis(value) {
  if (countsThings()) {
    return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
  }
  return bytes(value).replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " ");
}

function chartKey(event) {
  const last = shards.length - 1;
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
  let next = chosen;
  if (event.key in steps) next += steps[event.key];
  else if (event.key === "Home") next = 0;
  else if (event.key === "End") next = last;
  else return;
  event.preventDefault();
  chosen = Math.max(0, Math.min(last, next));
  drawChart();
}

function pointAt(event, columns, step, width) {
  const box = event.currentTarget.getBoundingClientRect();
  const x = (event.clientX - box.left) * width / box.width - MARGIN.left;
  const column = columns[Math.floor(x / step)];
  if (column === undefined || (column.first <= chosen && chosen < column.end)) return;
  chosen = column.first;
  drawChart();
}

const FIELDS = [
  ["id", "Shard", count],
  ["rows", "Rows", count],
  ["bytes", "Bytes", bytes],
  ["guardBytes", "Guard", bytes, "wide"],
  ["sidecarBytes", "Sidecar", bytes, "wide"],
];

function drawTable() {
  const box = byId("shards-table");
  if (shards === null) return replace(box);
  const { field, isDown } = sorting;
  const sorted = [...shards].sort((one, other) => ((one[field] || 0) - (other[field] || 0)) * (isDown ? -1 : 1));
  const scale = keyScale(shards);
  const table = h(
    "table",
    { "aria-label": "Shards" },
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        FIELDS.map(([name, title, , className]) => headCell(name, title, className)),
        h("th", { scope: "col", class: "wide" }, "Smallest to largest key"),
      ),
    ),
    h("tbody", null, sorted.slice(0, shownRows).map((shard) => row(shard, scale))),
  );
  const rest = sorted.length - shownRows;
  const more = rest <= 0 ? null : h("button", {
    type: "button",
    class: "more",
    onclick: () => {
      shownRows += 200;
      drawTable();
    },
  }, "Show " + count(Math.min(200, rest)) + " more of " + count(rest));
  replace(
    box,
    h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of the shards" }, table),
    more,
  );
}

function headCell(name, title, className) {
  const isSorted = sorting.field === name;
  const button = h(
    "button",
    {
      type: "button",
      onclick: () => {
        sorting = { field: name, isDown: isSorted ? !sorting.isDown : name !== "id" };
        drawTable();
        byId("shards-table").querySelector("th[data-field='" + name + "'] button").focus();
      },
    },
    title,
    h("span", { "aria-hidden": "true" }, isSorted ? (sorting.isDown ? " ↓" : " ↑") : ""),
  );
  return h("th", {
    scope: "col",
    class: (className || "") + " number",
    "data-field": name,
    "aria-sort": isSorted ? (sorting.isDown ? "descending" : "ascending") : null,
  }, button);
}

function row(shard, scale) {
  const cells = FIELDS.slice(1).map(([name, , shown, className]) =>
    h("td", { class: (className || "") + " number" }, shard.rows === 0 ? "–" : shown(shard[name]))
  );
  return h(
    "tr",
    { onclick: () => chooseShard(shard.id) },
    h("th", { scope: "row", class: "number" }, String(shard.id)),
    cells,
    h(
      "td",
      { class: "wide keys" },
      shard.minKey === null ? "–" : [
        h("span", { class: "range" }, shard.minKey + " … " + shard.maxKey),
        scale(shard.minKey, shard.maxKey),
      ],
    ),
  );
}
`;
