/**
 * What begins when the page is there: reading, asking again, keys, the theme.
 * @module
 */

/** Served at `/ui/app.js`, as the module that the page loads. */
export const appJs: string = String
  .raw`import { announce, ask, byId, drawTimes, h, replace, shortId, timeAgo } from "./dom.js";
import { beginHistory, showHistory } from "./history.js";
import { addSample, drawFigures } from "./live.js";
import { beginLookUp, showKeyForm } from "./look_up.js";
import { beginShards, setShardRequests, showShards } from "./shards.js";

const EVERY_MS = 2000;
const THEMES = ["auto", "light", "dark"];

let snapshot = null;
let reading = null;

beginTheme();
beginKeys();
beginLookUp();
beginShards();
beginHistory(readSnapshot);
await readSnapshot();
await poll();
setInterval(() => document.hidden || poll(), EVERY_MS);
document.addEventListener("visibilitychange", () => document.hidden || poll());

// Reads all that changes when another snapshot is served; at the same time only once.
function readSnapshot() {
  reading = reading || readNow().finally(() => reading = null);
  return reading;
}

async function readNow() {
  try {
    const next = await ask("ui/snapshot");
    const isOther = snapshot !== null && snapshot.id !== next.id;
    snapshot = next;
    document.title = next.title + " · snapshot";
    byId("title").textContent = next.title;
    drawHeadline();
    showKeyForm(next);
    showShards(next);
    drawFigures(next);
    showProblems(next.warnings);
    if (isOther) announce("Now serving run " + next.runId);
  } catch (error) {
    showProblems([error.message]);
  }
  await showHistory();
}

async function poll() {
  try {
    const live = await ask("ui/live");
    addSample(live);
    byId("status").dataset.status = live.status;
    byId("status-text").textContent = live.status;
    setShardRequests(live.shardRequests);
    drawTimes();
    if (snapshot !== null) drawFigures(snapshot);
    if (snapshot === null || live.id !== snapshot.id) await readSnapshot();
  } catch {
    byId("status").dataset.status = "unreachable";
    byId("status-text").textContent = "unreachable";
  }
}

function drawHeadline() {
  const { runId, publishedAtMs, generation } = snapshot;
  replace(
    byId("headline"),
    h("span", { class: "mono", title: runId }, "run " + shortId(runId)),
    " · published ",
    timeAgo(publishedAtMs),
    generation === null ? null : " · generation " + generation,
  );
}

function showProblems(problems) {
  const box = byId("problem");
  const text = problems.join(" · ");
  if (box.textContent !== text) box.textContent = text;
  box.hidden = problems.length === 0;
}

function beginKeys() {
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "radio";
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      event.preventDefault();
      byId("key").focus();
      byId("key").select();
    } else if (event.key === "t" || event.key === "T") nextTheme();
  });
}

function beginTheme() {
  byId("theme").addEventListener("click", nextTheme);
  drawTheme();
}

function themeNow() {
  return document.documentElement.dataset.theme || "auto";
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(themeNow()) + 1) % THEMES.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("shardy-theme", next);
  } catch {
    // It holds for this page, then.
  }
  drawTheme();
  announce("Theme: " + next);
}

function drawTheme() {
  const signs = { auto: "◐", light: "☀", dark: "☾" };
  const theme = themeNow();
  replace(byId("theme"), h("span", { "aria-hidden": "true" }, signs[theme] + " "), "Theme: " + theme);
}
`;
