/**
 * The look-up: the form, and the way of the key as a drawing.
 * @module
 */

/** Served at `/ui/look_up.js`. */
export const lookUpJs: string = String
  .raw`import { ask, byId, bytes, count, counted, duration, h, replace, svg } from "./dom.js";
import { requestTable, roundsOf } from "./requests.js";
import { chooseShard, shardsNow } from "./shards.js";
import { treeDrawing } from "./tree.js";

let keyEncoding = "";
let last = 0;

export function beginLookUp() {
  byId("look-up-form").addEventListener("submit", (event) => {
    event.preventDefault();
    lookUp();
  });
  byId("state").addEventListener("change", () => {
    if (byId("key").value !== "" && byId("look-up-result").hasChildNodes()) lookUp();
  });
}

export function showKeyForm(snapshot) {
  keyEncoding = snapshot.keyEncoding;
  const hints = { utf8: "text", raw: "bytes", u64be: "whole number", u32be: "whole number" };
  byId("key-hint").textContent = hints[keyEncoding] || "";
  byId("key").inputMode = keyEncoding === "u64be" || keyEncoding === "u32be" ? "numeric" : "text";
  byId("form").hidden = keyEncoding !== "raw";
  // The column "key" is the key itself.
  const columns = snapshot.columns.filter(({ name }) => name !== "key");
  const shown = columns.map(({ name }) => name).join();
  const box = byId("columns");
  if (box.dataset.names === shown) return;
  box.dataset.names = shown;
  replace(
    box,
    columns.map(({ name, type }, index) =>
      h(
        "div",
        { class: "field" },
        h("label", { for: "column-" + index }, name + " ", h("span", { class: "quiet" }, type)),
        h("input", {
          id: "column-" + index,
          type: "text",
          "data-column": name,
          spellcheck: "false",
          autocapitalize: "off",
        }),
      )
    ),
  );
}

function query() {
  const form = new FormData(byId("look-up-form"));
  const params = new URLSearchParams({ key: byId("key").value, state: form.get("state") });
  if (keyEncoding === "raw") params.set("form", form.get("form"));
  for (const input of byId("columns").querySelectorAll("input")) {
    if (input.value !== "") params.append("column", input.dataset.column + "=" + input.value);
  }
  return params;
}

async function lookUp() {
  const turn = ++last;
  const told = byId("look-up-told");
  const result = byId("look-up-result");
  result.setAttribute("aria-busy", "true");
  try {
    const trace = await ask("ui/trace?" + query());
    if (turn !== last) return;
    told.className = trace.value === null ? "told absent" : "told found";
    told.textContent = summary(trace);
    replace(result, drawing(trace));
    if (trace.routing.shardId !== null && shardsNow() !== null) chooseShard(trace.routing.shardId);
  } catch (error) {
    if (turn !== last) return;
    told.className = "told wrong";
    told.textContent = error.message;
    replace(result);
  } finally {
    if (turn === last) result.removeAttribute("aria-busy");
  }
}

function summary({ value, served, ranged }) {
  const found = value === null ? "No such key" : "Found, " + counted(value.sizeBytes, "byte");
  const here = "this server took " + duration(served.durationMs) + " " + servedHow(served);
  if (ranged.error !== null) return found + ": " + here + ".";
  const gets = ranged.opening.length + ranged.requests.length;
  const rounds = roundsOf([...ranged.opening, ...ranged.requests]);
  const way = gets === 0
    ? "no GET, " + duration(ranged.durationMs)
    : counted(gets, "GET") + (rounds > 1 ? " in " + rounds + " rounds" : "") + ", " + duration(ranged.durationMs);
  return found + ": " + here + "; a reader over ranges, " + (ranged.isCold ? "cold" : "warm") + ": " + way + ".";
}

function servedHow({ access, requests, isAlone }) {
  if (requests === 0) {
    return access === "memory" ? "from memory" : access === "download" ? "from disk" : "with no GET";
  }
  return "and " + counted(requests, "GET") + (isAlone ? "" : ", with other keys at the same time");
}

function drawing(trace) {
  const { ranged } = trace;
  return [
    h(
      "ol",
      { class: "way", "aria-label": "The way of the look-up" },
      step("Key", keyStep(trace)),
      step(trace.routing.strategy === "hash" ? "Hash" : "Expression", routingStep(trace)),
      step("Shard", shardStep(trace)),
      step("Pages", pagesStep(trace)),
      step("Value", valueStep(trace)),
    ),
    ranged.error === null ? requestTable(ranged) : h("p", { class: "wrong" }, "Not read over ranges: " + ranged.error),
  ];
}

function step(title, content) {
  return h("li", { class: "step" }, h("h3", null, title), content);
}

function keyStep({ key, routing }) {
  const isSame = key.storedHex === key.canonicalHex || routing.strategy !== "hash";
  return [
    h("p", { class: "mono big clip", title: key.text }, key.text === "" ? "(empty)" : key.text),
    facts([
      ["stored as", key.encoding],
      [isSame ? "bytes" : "stored bytes", hex(key.storedHex)],
      isSame ? null : ["hashed bytes", hex(key.canonicalHex)],
    ]),
  ];
}

function hex(digits) {
  return h("code", { class: "hex" }, digits === "" ? "none" : digits.replace(/(..)(?=.)/g, "$1 "));
}

function routingStep({ routing }) {
  if (routing.strategy === "hash") {
    return [
      h("p", { class: "mono big" }, routing.hashHex.slice(0, 8), h("wbr"), routing.hashHex.slice(8)),
      facts([["function", "XXH3-64"], ["remainder", "mod " + count(routing.shardCount) + " = " + routing.shardId]]),
    ];
  }
  return [
    h("p", { class: "mono big clip", title: routing.expr }, routing.expr),
    facts([["gives", routing.shardId === null ? "no shard" : "shard " + routing.shardId]]),
    routing.note === null ? null : h("p", { class: "wrong" }, routing.note),
  ];
}

function shardStep({ shard, routing }) {
  if (shard === null) return h("p", { class: "big" }, "none");
  return [
    h(
      "p",
      { class: "big" },
      "Shard " + shard.shardId,
      h("span", { class: "quiet" }, " of " + count(routing.shardCount)),
    ),
    strip(shard.shardId, routing.shardCount),
    facts([["rows", count(shard.rowCount)], ["size", bytes(shard.sizeBytes)]]),
  ];
}

function strip(shardId, shardCount) {
  const width = 200;
  const cells = Math.min(shardCount, 64);
  const at = Math.floor(shardId / shardCount * cells);
  const size = width / cells;
  return svg(
    "svg",
    { class: "strip", viewBox: "0 0 " + width + " 14", "aria-hidden": "true", preserveAspectRatio: "none" },
    Array.from({ length: cells }, (_, index) =>
      svg("rect", {
        class: index === at ? "here" : "rail",
        x: index * size,
        y: index === at ? 0 : 3,
        width: Math.max(1, size - (size > 4 ? 1.5 : 0.6)),
        height: index === at ? 14 : 8,
      })),
  );
}

function pagesStep({ shard, ranged, value }) {
  if (shard === null || shard.rowCount === 0) return h("p", null, "The shard is empty: nothing to read.");
  if (ranged.isFiltered) {
    return [
      h("p", { class: "big" }, "0 pages"),
      h("p", null, "The filter in the shard's guard knows that the key is absent."),
    ];
  }
  if (ranged.way === null || ranged.way.steps.length === 0) {
    return h(
      "p",
      null,
      ranged.error === null ? "Not drawn: of another engine, or read long ago." : "Not read over ranges.",
    );
  }
  return treeDrawing(ranged.way, value !== null);
}

function valueStep({ value, served }) {
  const took = facts([["this server", duration(served.durationMs) + ", " + counted(served.requests, "GET")]]);
  if (value === null) return [h("p", { class: "big" }, "No such key"), took];
  const kind = { json: "JSON, indented", text: "text", bytes: "bytes in hex" }[value.kind];
  return [
    h("p", { class: "big" }, counted(value.sizeBytes, "byte")),
    took,
    h(
      "pre",
      { class: "value-text", tabindex: "0", role: "region", "aria-label": "Value, " + kind },
      value.text + (value.isCut ? " …" : ""),
    ),
    value.isCut ? h("p", { class: "quiet" }, "The beginning of it.") : null,
  ];
}

function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs.filter((pair) => pair !== null).map(([name, value]) =>
      h("div", null, h("dt", null, name), h("dd", null, value))
    ),
  );
}
`;
