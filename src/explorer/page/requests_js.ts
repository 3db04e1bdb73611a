/**
 * The GETs of a look-up over ranges, as a table with the time of each as a bar.
 * @module
 */

/** Served at `/ui/requests.js`. */
export const requestsJs: string = String.raw`import { bytes, count, counted, duration, h, svg } from "./dom.js";

const WIDTH = 400;

// GETs that went out together count as one round.
export function roundsOf(requests) {
  let [rounds, endMs] = [0, -Infinity];
  for (const { startedMs, durationMs } of requests) {
    if (startedMs >= endMs - 0.001) {
      rounds++;
      endMs = startedMs + durationMs;
    } else endMs = Math.max(endMs, startedMs + durationMs);
  }
  return rounds;
}

export function requestTable({ opening, requests, isCold, durationMs, isFiltered }) {
  const all = [...opening.map((request) => [request, "open"]), ...requests.map((request) => [request, "look-up"])];
  const state = isCold ? "with nothing in memory" : "with what earlier look-ups left in memory";
  const caption = h(
    "caption",
    null,
    h("strong", null, "Over ranges"),
    " " + state + ": ",
    counted(all.length, "GET") + ", " + duration(durationMs),
  );
  if (all.length === 0) {
    const why = isFiltered
      ? "The filter was in memory, and knows that the key is absent."
      : "All that it took was in memory.";
    return h("div", { class: "gets" }, h("table", null, caption), h("p", { class: "quiet" }, why));
  }
  const endMs = Math.max(durationMs, ...all.map(([request]) => request.startedMs + request.durationMs));
  return h(
    "div",
    { class: "gets" },
    h(
      "table",
      null,
      caption,
      h(
        "thead",
        { class: "unseen-narrow" },
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "GET"),
          h("th", { scope: "col" }, "of"),
          h("th", { scope: "col", class: "number" }, "bytes"),
          h("th", { scope: "col", class: "number" }, "time"),
          h("th", { scope: "col", class: "bar-head" }, h("span", { class: "unseen" }, "when")),
        ),
      ),
      h("tbody", null, all.map(([request, phase]) => row(request, phase, endMs))),
    ),
  );
}

function row(request, phase, endMs) {
  const { what, name, sizeBytes, startedMs, durationMs, isFailed } = request;
  const x = startedMs / endMs * WIDTH;
  const width = Math.max(2, durationMs / endMs * WIDTH);
  return h(
    "tr",
    { class: isFailed ? "failed" : null },
    h("th", { scope: "row" }, h("span", { class: "swatch get-" + what }), what),
    h(
      "td",
      { class: "of" },
      isFailed ? name + ", failed" : placeOf(request),
      phase === "open" ? h("span", { class: "quiet" }, " to open") : null,
    ),
    h("td", { class: "number" }, bytes(sizeBytes)),
    h("td", { class: "number" }, duration(durationMs)),
    h(
      "td",
      { class: "bar-cell" },
      svg(
        "svg",
        {
          viewBox: "0 0 " + WIDTH + " 10",
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": "from " + duration(startedMs) + " to " + duration(startedMs + durationMs),
        },
        svg("rect", { class: "rail", x: 0, y: 4.5, width: WIDTH, height: 1 }),
        svg("rect", { class: "get-" + what, x, y: 0, width, height: 10, rx: 1.5 }),
      ),
    ),
  );
}

function placeOf({ what, name, firstPage, pageCount, offset }) {
  if (what === "pages" && firstPage !== null) {
    const last = firstPage + pageCount - 1;
    return pageCount === 1 ? "page " + count(firstPage) : "pages " + count(firstPage) + " to " + count(last);
  }
  if (offset === null) return what === "object" ? name : "whole object";
  return name + " from " + count(offset);
}
`;
