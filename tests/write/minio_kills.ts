/**
 * Builds in processes of their own, killed at chosen moments.
 * @module
 */
import { equal } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { openSnapshot, sqliteBackend } from "../../mod.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import type { SeededRandom } from "../../src/testing/seeded_random.ts";
import type { Minio } from "../servers/minio.ts";
import type { ThreadDeath } from "./mortal_backend.ts";

const KEYS_READ = 2000;

/** What `minio_build.ts` does. */
export interface BuildJob extends Pick<Minio, "endpoint" | "credentials"> {
  readonly url: string;
  readonly rowCount: number;
  readonly shards: number;
  /** Begins every value. */
  readonly generation: number;
  /** Threads that build shards; 0: none. */
  readonly workers: number;
  /** When one of the threads ends. */
  readonly threadDeath?: ThreadDeath;
  /** Whether lost shards are built again. */
  readonly hasRetry?: boolean;
  /** By what the clock of the clean-up is ahead; its grace period is 0. */
  readonly laterMs: number;
}

/** What a build is doing, in this order; before the first one the process starts. */
export const PHASES = ["rows", "shards", "publish", "cleanup"] as const;

/** One of them. */
export type Phase = typeof PHASES[number];

/** When to kill: this long after a phase began. */
export interface Moment {
  readonly phase: Phase;
  readonly delayMs: number;
}

/** How a build went. */
export interface Outcome {
  /** The last thing that it said it was doing. */
  readonly reached: string;
  readonly isKilled: boolean;
  /** Whether the write failed by itself. */
  readonly hasFailed: boolean;
  /** On standard error. */
  readonly output: string;
  /** When each phase began, in milliseconds since the process was started; `done` at last. */
  readonly beganMs: ReadonlyMap<string, number>;
}

/**
 * Runs a build, and kills it.
 *
 * @param moment Undefined: lets it end.
 * @param strike Ends the process.
 */
export async function build(
  job: BuildJob,
  moment?: Moment,
  strike: (child: ChildProcess) => void | Promise<void> = (child) => void child.kill("SIGKILL"),
): Promise<Outcome> {
  const script = fileURLToPath(new URL("minio_build.ts", import.meta.url));
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check", script] : [script];
  const startedMs = performance.now();
  const child = spawn(process.execPath, [...args, JSON.stringify(job)], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stderr!.setEncoding("utf8").on("data", (text) => output += text);
  const exited = new Promise<number | string>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? code ?? -1));
  });
  const beganMs = new Map<string, number>();
  let reached = "start";
  let rest = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  child.stdout!.setEncoding("utf8");
  child.stdout!.on("data", (text: string) => {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop()!;
    for (const word of lines) {
      reached = word;
      beganMs.set(word, performance.now() - startedMs);
      if (moment?.phase === word) timer = setTimeout(() => strike(child), moment.delayMs);
    }
  });
  const exit = await exited;
  clearTimeout(timer);
  return { reached, isKilled: exit === "SIGKILL", hasFailed: exit !== 0 && exit !== "SIGKILL", output, beganMs };
}

/** Builds differ, and the end of a phase is to be met rather than missed. */
const HASTE = 0.85;

/**
 * Moments of all phases in random order: of long phases more, of each one some. The moments of a phase are spread over
 * the time that it took in a build that was left alone.
 */
export function moments(undisturbed: Outcome, count: number, random: SeededRandom): Moment[] {
  const shares = { rows: 0.25, shards: 0.35, publish: 0.15, cleanup: 0.2 };
  const chosen: Moment[] = [];
  for (const [index, phase] of PHASES.entries()) {
    const began = undisturbed.beganMs.get(phase)!;
    const ended = undisturbed.beganMs.get(PHASES[index + 1] ?? "done")!;
    const share = Math.max(1, Math.round(shares[phase] * count));
    for (let step = 0; step < share; step++) {
      chosen.push({ phase, delayMs: HASTE * (ended - began) * (step + random.next()) / share });
    }
  }
  for (let last = chosen.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [chosen[last], chosen[other]] = [chosen[other]!, chosen[last]!];
  }
  return chosen.slice(0, count);
}

/** The generation that all values have that are read; fails when some are missing, wrong, or of another one. */
export async function generationRead(store: ObjectStore, rowCount: number, random: SeededRandom): Promise<number> {
  await using reader = await openSnapshot({ store, backend: sqliteBackend() });
  const keys = Array.from({ length: KEYS_READ }, () => random.below(rowCount));
  const generations = new Set<string>();
  for (const [key, value] of await reader.getMany([0, rowCount - 1, ...keys])) {
    const [generation, row] = new TextDecoder().decode(value!).split(":");
    equal(row, String(key));
    generations.add(generation!);
  }
  equal(generations.size, 1, "P1: one snapshot, not a mixture");
  equal(await reader.get(rowCount), null);
  return Number([...generations][0]);
}
