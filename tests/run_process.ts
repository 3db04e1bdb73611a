/**
 * Runs one command to its end, or to a limit, and takes everything with it that it started.
 * @module
 */

/** What a command did. */
export interface Outcome {
  /** What it printed on both channels, without colours. */
  output: string;
  /** 124, as `timeout` has it, when the limit was reached. */
  exitCode: number;
}

const LIMIT_EXIT_CODE = 124;
// Long enough for what was printed to arrive, short enough not to wait for a server that nobody stopped.
const DRAIN_MS = 2_000;
const running = new Set<number>();

/** Runs a command in a process group of its own; the group is killed when the command ends or the limit is reached. */
export async function runProcess(command: string[], env: Record<string, string>, limitMs: number): Promise<Outcome> {
  const [path = "", ...args] = command;
  const options = { args, env, stdin: "null", stdout: "piped", stderr: "piped", detached: true } as const;
  const child = new Deno.Command(path, options).spawn();
  running.add(child.pid);
  let limitReached = false;
  const timer = setTimeout(() => {
    limitReached = true;
    killGroup(child.pid);
  }, limitMs);

  const printed = { out: "", err: "" };
  const stop = new AbortController();
  const drained = Promise.all([
    collect(child.stdout, (text) => printed.out += text, stop.signal),
    collect(child.stderr, (text) => printed.err += text, stop.signal),
  ]);
  const { code } = await child.status;
  clearTimeout(timer);
  killGroup(child.pid);
  running.delete(child.pid);
  const drainTimer = setTimeout(() => stop.abort(), DRAIN_MS);
  await drained;
  clearTimeout(drainTimer);

  const limitLine = limitReached ? `\nKilled after ${limitMs / 1000} s\n` : "";
  return { output: printed.out + printed.err + limitLine, exitCode: limitReached ? LIMIT_EXIT_CODE : code };
}

/** Kills whatever still runs: for when the runner itself is interrupted. */
export function killAll(): void {
  for (const pid of running) killGroup(pid);
}

async function collect(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  add: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const sink = new WritableStream<string>({ write: add });
  await stream.pipeThrough(new TextDecoderStream()).pipeTo(sink, { signal }).catch(() => {});
}

function killGroup(pid: number): void {
  try {
    Deno.kill(-pid, "SIGKILL");
  } catch {
    // Nothing of the group is left.
  }
}
