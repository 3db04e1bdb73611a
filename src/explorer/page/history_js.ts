/**
 * The history, and going back in it.
 * @module
 */

/** Served at `/ui/history.js`. */
export const historyJs: string = String
  .raw`import { announce, ask, byId, bytes, count, counted, h, replace, shortId, timeAgo, when } from "./dom.js";

let view = null;
let wanted = null;
let afterwards = () => {};

export function beginHistory(onChange) {
  afterwards = onChange;
  byId("roll-back-cancel").addEventListener("click", () => byId("roll-back").close());
  byId("roll-back-form").addEventListener("submit", (event) => {
    event.preventDefault();
    rollBack();
  });
  byId("roll-back").addEventListener("close", () => byId("roll-back-token").value = "");
}

export async function showHistory() {
  try {
    view = await ask("ui/history");
  } catch (error) {
    byId("history-note").textContent = error.message;
    return replace(byId("history-list"));
  }
  drawHistory();
}

function drawHistory() {
  const { entries, problem, canRollBack, reason } = view;
  byId("history-note").textContent = problem !== null
    ? problem + "."
    : canRollBack
    ? counted(entries.length, "snapshot") + ", newest first"
    : "Roll back is off: " + reason.charAt(0).toLowerCase() + reason.slice(1) + ".";
  replace(byId("history-list"), entries.map((entry, index) => item(entry, entries[index + 1])));
}

function item(entry, older) {
  const { runId, publishedAtMs, isCurrent, isServed, rowCount, sizeBytes, shardCount, problem } = entry;
  const badges = [
    isCurrent ? h("span", { class: "badge current" }, "current") : null,
    isServed && !isCurrent ? h("span", { class: "badge" }, "served here") : null,
  ];
  const content = problem !== null ? h("p", { class: "wrong" }, problem) : h(
    "p",
    { class: "content" },
    counted(rowCount, "row"),
    difference(rowCount, older),
    " · " + bytes(sizeBytes) + " · " + counted(shardCount, "shard"),
  );
  return h(
    "li",
    { class: isCurrent ? "entry is-current" : "entry" },
    h(
      "p",
      { class: "entry-head" },
      timeAgo(publishedAtMs),
      badges,
    ),
    h("p", { class: "mono run", title: runId }, "run " + shortId(runId)),
    content,
    view.canRollBack && !isCurrent
      ? h("button", {
        type: "button",
        class: "small",
        "aria-label": "Roll back to run " + runId,
        onclick: () => openDialog(entry),
      }, "Roll back to this")
      : null,
  );
}

function difference(rowCount, older) {
  if (older === undefined || older.rowCount === null || rowCount === null || older.rowCount === rowCount) return null;
  const more = rowCount - older.rowCount;
  return h("span", { class: "quiet" }, " (" + (more > 0 ? "+" : "−") + count(Math.abs(more)) + ")");
}

function openDialog(entry) {
  wanted = entry;
  byId("roll-back-problem").textContent = "";
  byId("roll-back-text").textContent = "Run " + entry.runId + ", published " + when(entry.publishedAtMs) +
    ", becomes the current snapshot for every reader of this series at its next refresh. Nothing is removed, so that " +
    "one can go forward again in the same way.";
  byId("roll-back").showModal();
  byId("roll-back-token").focus();
}

async function rollBack() {
  const current = view.entries.find((entry) => entry.isCurrent);
  const submit = byId("roll-back-form").querySelector("[type=submit]");
  submit.disabled = true;
  try {
    await ask("ui/rollback", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer " + byId("roll-back-token").value },
      body: JSON.stringify({ id: wanted.id, current: current === undefined ? "" : current.id }),
    });
    byId("roll-back").close();
    await afterwards();
    // The button that opened the dialog is gone.
    byId("history-title").focus();
    announce("Run " + wanted.runId + " is current now");
  } catch (error) {
    byId("roll-back-problem").textContent = error.message;
    if (error.status === 409) await showHistory();
  } finally {
    submit.disabled = false;
  }
}
`;
