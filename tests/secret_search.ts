/**
 * Looks for secrets in whatever comes out of a program: texts, errors, objects, the console.
 * @module
 */
import { equal, ok } from "node:assert/strict";
import process from "node:process";
import { inspect } from "node:util";

/** What no output may contain, in any spelling that a URL, JSON or a header could give it. */
const TRACE = /sentinel/i;

/** What was put out, with where it came from. */
export class Outputs {
  readonly #texts: [origin: string, text: string][] = [];

  add(origin: string, value: unknown): void {
    this.#texts.push([origin, everythingOf(value)]);
  }

  /** Fails with the first text that tells something. */
  requireClean(): void {
    ok(this.#texts.length > 0);
    for (const [origin, text] of this.#texts) {
      const at = text.search(TRACE);
      equal(at, -1, `${origin} tells a secret: …${text.slice(Math.max(0, at - 200), at + 40)}`);
    }
  }
}

/** All that can be made visible of a value: as people print it, as programs walk through it. */
export function everythingOf(value: unknown): string {
  if (typeof value === "string") return value;
  const { Deno, Bun } = globalThis as {
    readonly Deno?: { inspect(value: unknown, options: object): string };
    readonly Bun?: { inspect(value: unknown, options: object): string };
  };
  const texts = [
    inspect(value, { depth: 12, showHidden: true, showProxy: true, maxStringLength: null, maxArrayLength: null }),
    Deno?.inspect(value, { depth: 12, showHidden: true, showProxy: true }),
    Bun?.inspect(value, { depth: 12 }),
    String(value),
    walked(value, new Set()),
  ];
  return texts.join("\n");
}

/** Every own property, enumerable or not, of everything that is reachable, causes of errors and lists of errors too. */
function walked(value: unknown, seen: Set<unknown>): string {
  if (typeof value !== "object" || value === null) return typeof value === "function" ? "" : String(value);
  if (seen.has(value) || value instanceof Uint8Array) return "";
  seen.add(value);
  const names = Reflect.ownKeys(value);
  return names.map((name) => {
    const { value: member } = Reflect.getOwnPropertyDescriptor(value, name) ?? {};
    return `${String(name)}: ${walked(member, seen)}`;
  }).join("\n");
}

/** Runs `work` and gives what it throws. */
export async function failureOf(work: () => Promise<unknown> | unknown, title: string = "the work"): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error(`nothing was thrown by ${title}`);
}

/** Notes all that is written to the console and to the process's outputs meanwhile. */
export async function withConsole(outputs: Outputs, work: () => Promise<void>): Promise<void> {
  const methods = ["log", "info", "warn", "error", "debug", "trace"] as const;
  const originals = methods.map((method) => console[method]);
  const warned = (warning: Error): void => outputs.add("process warning", warning);
  process.on("warning", warned);
  for (const method of methods) console[method] = (...values: unknown[]) => outputs.add(`console.${method}`, values);
  try {
    await work();
  } finally {
    for (const [index, method] of methods.entries()) console[method] = originals[index]!;
    process.off("warning", warned);
  }
}
