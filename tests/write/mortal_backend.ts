/**
 * Our own engine, whose first thread that is old enough ends without a word.
 * @module
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { type Backend, sqliteBackend } from "../../mod.ts";

/** When a thread ends. */
export type ThreadDeath = {
  /** Since the thread made its engine. */
  readonly delayMs: number;
  /** A file that the thread creates that ends: of several only one does. */
  readonly flag: string;
};

/** For the main thread, which lives on. */
export function mortalBackend(options: ThreadDeath): Backend {
  const spec = { name: "mortal", options };
  return { ...sqliteBackend(), spec, module: { url: import.meta.url, factory: "mortalThreadBackend" } };
}

/** What threads make. */
export function mortalThreadBackend(options: ThreadDeath): Backend {
  setTimeout(() => {
    try {
      writeFileSync(options.flag, "", { flag: "wx" });
    } catch {
      return; // Another one was first.
    }
    process.exit(3);
  }, options.delayMs);
  return mortalBackend(options);
}
