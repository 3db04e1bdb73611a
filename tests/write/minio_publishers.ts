/**
 * Processes that publish at the same instant, on all runtimes that are there.
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Minio } from "../servers/minio.ts";

/** What `minio_publisher.ts` is told when it starts. */
export interface PublisherJob extends Pick<Minio, "endpoint" | "credentials"> {
  readonly url: string;
  /** Begins every value. */
  readonly name: string;
  readonly rowCount: number;
}

/** What it is told for each round. */
export interface Round {
  readonly roundIndex: number;
  readonly onConflict: "fail" | "replace";
}

/** What became of it. */
export interface RoundOutcome {
  readonly manifestRef: string;
  /** Where it was published. */
  readonly replaced?: readonly string[];
  /** Where it was not: who was faster. */
  readonly conflictWith?: string | null;
}

/** How to run a program: command and arguments before the script. */
export interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
}

/** The runtime that runs this, and those that `SHARDYFUSION_DENO`, `…_BUN`, `…_NODE` or the PATH name. */
export function runtimesHere(): Runtime[] {
  const versions = process.versions as Record<string, string | undefined>;
  const own = versions["deno"] !== undefined ? "deno" : versions["bun"] !== undefined ? "bun" : "node";
  const wanted = { deno: /^deno 2\./, bun: /^1\.[4-9]/, node: /^v(?:2[4-9]|[3-9]\d)\./ };
  return Object.entries(wanted).flatMap(([name, version]) => {
    const path = name === own ? process.execPath : process.env[`SHARDYFUSION_${name.toUpperCase()}`] ?? name;
    if (name !== own && !version.test(spawnSync(path, ["--version"], { encoding: "utf8" }).stdout ?? "")) return [];
    return [{ name, command: name === "deno" ? [path, "run", "-A", "--no-check"] : [path] }];
  });
}

/** One process. */
export class Publisher {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #said: AsyncIterator<string>;
  readonly #exited: Promise<unknown>;

  constructor({ command: [path, ...args] }: Runtime, job: PublisherJob) {
    this.name = job.name;
    const script = fileURLToPath(new URL("minio_publisher.ts", import.meta.url));
    this.#child = spawn(path!, [...args, script, JSON.stringify(job)], { stdio: ["pipe", "pipe", "inherit"] });
    this.#exited = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#said = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** What it says next. */
  async next(): Promise<unknown> {
    const { value, done } = await this.#said.next();
    if (done) throw new Error(`Process "${this.name}" has ended`);
    return JSON.parse(value);
  }

  tell(message: Round | number): void {
    this.#child.stdin!.write(`${JSON.stringify(message)}\n`);
  }

  async end(): Promise<void> {
    this.#child.stdin!.end();
    this.#child.kill("SIGKILL");
    await this.#exited;
  }
}

/** Between the word and the instant: time for it to arrive everywhere. */
const LEAD_MS = 50;

/** Lets all of them publish at once. */
export async function publishAtOnce(publishers: readonly Publisher[], round: Round): Promise<RoundOutcome[]> {
  for (const publisher of publishers) publisher.tell(round);
  for (const publisher of publishers) await publisher.next();
  const startAtMs = Date.now() + LEAD_MS;
  for (const publisher of publishers) publisher.tell(startAtMs);
  return await Promise.all(publishers.map(async (publisher) => await publisher.next() as RoundOutcome));
}
