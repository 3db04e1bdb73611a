/**
 * Lines typed at a terminal, with completion and with a history that outlives the session.
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { CliIo, LineOptions } from "./command.ts";

const HISTORY_LINES_MAX = 1000;

/** Where lines are kept: `SHARDY_HISTORY`, or a file in the user's folder for such; undefined: nowhere. */
export function historyPath(env: CliIo["env"]): string | undefined {
  const named = env["SHARDY_HISTORY"];
  if (named !== undefined) return named === "" ? undefined : named;
  const home = env["HOME"] ?? env["USERPROFILE"];
  const state = env["XDG_STATE_HOME"] || (home && join(home, ".local", "state"));
  return state ? join(state, "shardy", "history") : undefined;
}

/** Asks for lines until Ctrl-D; Ctrl-C clears the line, or ends when it is empty. */
export async function* terminalLines(
  { prompt, complete }: LineOptions,
  env: CliIo["env"],
): AsyncGenerator<string, void, undefined> {
  const path = historyPath(env);
  const history = path === undefined ? [] : await loadHistory(path);
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: true,
    prompt,
    completer: complete,
    history,
    historySize: HISTORY_LINES_MAX,
    removeHistoryDuplicates: true,
  });
  terminal.on("history", (lines: string[]) => history.splice(0, Infinity, ...lines));
  terminal.on("SIGINT", () => {
    if (terminal.line === "") return terminal.close();
    process.stdout.write("^C\n");
    terminal.write(null, { ctrl: true, name: "e" });
    terminal.write(null, { ctrl: true, name: "u" });
    terminal.prompt();
  });
  // What Ctrl-D leaves on the screen is the prompt.
  let isAsked = true;
  terminal.once("close", () => isAsked && process.stdout.write("\n"));
  try {
    terminal.prompt();
    for await (const line of terminal) {
      isAsked = false;
      yield line;
      isAsked = true;
      terminal.prompt();
    }
  } finally {
    terminal.close();
    if (path !== undefined) await saveHistory(path, history);
  }
}

/** Newest first, as the terminal wants them. */
async function loadHistory(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "").slice(-HISTORY_LINES_MAX).reverse();
}

/** Keys may be private, so that nobody else may read them. A history that cannot be kept is no reason to fail. */
async function saveHistory(path: string, history: readonly string[]): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, [...history].reverse().map((line) => `${line}\n`).join(""), { mode: 0o600 });
  } catch {
    // Such as a folder that cannot be written to.
  }
}
