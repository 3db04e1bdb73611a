/**
 * How the page makes elements, writes figures and asks the server.
 * @module
 */

/** Served at `/ui/dom.js`. */
export const domJs: string = String.raw`const SVG = "http://www.w3.org/2000/svg";

export function byId(id) {
  return document.getElementById(id);
}

// Texts become text nodes and nothing else, whatever stands in them.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

export function announce(text) {
  byId("announcer").textContent = text;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value) {
  return value === null || value === undefined ? "–" : whole.format(value);
}

export function counted(value, one, many) {
  return count(value) + " " + (value === 1 ? one : many || one + "s");
}

export function brief(value) {
  return value < 10000 ? digits(value) : short.format(value);
}

export function digits(value) {
  if (value === 0 || Math.abs(value) >= 100) return whole.format(value);
  return value.toFixed(Math.abs(value) < 10 ? 2 : 1).replace(/\.?0+$/, "");
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return (unit === 0 ? whole.format(value) : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)) + " " + units[unit];
}

export function duration(ms) {
  if (ms < 1) return Math.max(1, Math.round(ms * 1000)) + " µs";
  return ms < 1000 ? ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0) + " ms" : (ms / 1000).toFixed(2) + " s";
}

const STEPS = [[60, "s"], [60, "min"], [24, "h"], [Infinity, "d"]];

function ago(thenMs, nowMs) {
  let value = Math.max(0, (nowMs - thenMs) / 1000);
  for (const [size, unit] of STEPS) {
    if (value < size) return unit === "s" && value < 10 ? "just now" : Math.floor(value) + " " + unit + " ago";
    value /= size;
  }
}

// A time that goes on being right: drawTimes writes it anew.
export function timeAgo(ms) {
  const date = new Date(ms).toISOString();
  return h("time", { datetime: date, title: when(ms), "data-ms": ms }, ago(ms, Date.now()));
}

export function drawTimes() {
  for (const element of document.querySelectorAll("time[data-ms]")) {
    const text = ago(Number(element.dataset.ms), Date.now());
    if (element.textContent !== text) element.textContent = text;
  }
}

export function when(ms) {
  return new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
}

export function shortId(id) {
  return id.length > 14 ? id.slice(0, 12) + "…" : id;
}

let readToken = null;
let asking = null;

// Asks the server; asks for the token first where it wants one.
export async function ask(path, options) {
  const headers = { accept: "application/json", ...(options && options.headers) };
  if (readToken !== null && headers.authorization === undefined) headers.authorization = "Bearer " + readToken;
  const response = await fetch(path, { ...options, headers, credentials: "same-origin" });
  const isRead = options === undefined || options.method !== "POST";
  if (response.status === 401 && isRead) {
    asking = asking || signIn(readToken !== null).finally(() => asking = null);
    await asking;
    return await ask(path, options);
  }
  let data = null;
  try {
    data = await response.json();
  } catch {
    // Said below.
  }
  if (response.ok && data !== null) return data;
  const error = new Error((data && data.error && data.error.message) || "The server answers with " + response.status);
  error.status = response.status;
  throw error;
}

function signIn(wasWrong) {
  const dialog = byId("sign-in");
  byId("sign-in-problem").textContent = wasWrong ? "The token is wrong" : "";
  dialog.showModal();
  return new Promise((resolve) => {
    byId("sign-in-form").addEventListener("submit", () => {
      readToken = byId("sign-in-token").value;
      byId("sign-in-token").value = "";
      resolve();
    }, { once: true });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
  });
}
`;
