/**
 * The pages of a search, as lenses: each strip is a page with its cells, and the cell that was taken opens into the
 * page below.
 * @module
 */

/** Served at `/ui/tree.js`. */
export const treeJs: string = String.raw`import { count, counted, h, svg } from "./dom.js";

const WIDTH = 260;
const LEVEL = 58;
const STRIP = 16;

const SOURCES = { sidecar: "in the sidecar", cache: "read before", get: "fetched" };

export function treeDrawing({ steps, pageCount, pageSizeBytes }, isFound) {
  const height = steps.length * LEVEL + 8;
  const parts = steps.flatMap((step, index) => level(step, index, steps[index + 1] !== undefined));
  const pages = counted(steps.length, "page");
  return [
    h("p", { class: "big" }, pages, h("span", { class: "quiet" }, " of " + count(pageCount))),
    svg("svg", {
      class: "tree",
      viewBox: "0 0 " + WIDTH + " " + height,
      role: "img",
      "aria-label": told(steps, isFound),
    }, parts),
    h(
      "p",
      { class: "key" },
      [...new Set(steps.map(({ from }) => from))].map((
        from,
      ) => [h("span", { class: "swatch " + from }), SOURCES[from] + " "]),
      h("span", { class: "quiet" }, count(pageSizeBytes) + " B a page"),
    ),
  ];
}

function level({ pageNumber, kind, cellCount, cellIndex, from }, index, isFollowed) {
  const top = index * LEVEL + 20;
  const slots = kind === "interior" ? cellCount + 1 : Math.max(1, cellCount);
  const slot = WIDTH / slots;
  const at = Math.min(cellIndex, slots - 1) * slot;
  const size = Math.max(3, slot);
  const left = Math.min(at, WIDTH - size);
  const lines = slots > WIDTH / 3
    ? []
    : Array.from({ length: slots - 1 }, (_, n) =>
      svg("line", { class: "cell", x1: (n + 1) * slot, x2: (n + 1) * slot, y1: top, y2: top + STRIP }));
  const place = kind === "interior"
    ? "child " + count(cellIndex + 1) + " of " + count(slots)
    : "cell " + count(Math.min(cellIndex + 1, cellCount)) + " of " + count(cellCount);
  return [
    isFollowed
      ? svg("polygon", {
        class: "lens",
        points: [
          left + "," + (top + STRIP),
          left + size + "," + (top + STRIP),
          WIDTH + "," + (top + LEVEL),
          "0," + (top + LEVEL),
        ].join(" "),
      })
      : null,
    svg(
      "text",
      { class: "page", x: 0, y: top - 6 },
      (kind === "interior" ? "interior" : "leaf") + " page " + count(pageNumber),
    ),
    svg("text", { class: "tick", x: WIDTH, y: top - 6, "text-anchor": "end" }, place),
    svg("rect", { class: "sheet " + from, x: 0, y: top, width: WIDTH, height: STRIP, rx: 2 }),
    lines,
    svg("rect", { class: "taken " + from, x: left, y: top - 1, width: size, height: STRIP + 2, rx: 1 }),
  ];
}

function told(steps, isFound) {
  const way = steps.map(({ pageNumber, kind, from, cellIndex, cellCount }) =>
    kind + " page " + pageNumber + ", " + SOURCES[from] + ", " + (kind === "interior" ? "child " : "cell ") +
    (cellIndex + 1) + " of " + (kind === "interior" ? cellCount + 1 : cellCount)
  );
  return "The search goes by " + way.join("; then ") + (isFound ? ", where the row is." : ", where no such row is.");
}
`;
