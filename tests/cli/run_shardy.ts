/**
 * Runs the command line inside the test's own process.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CliIo, runCli } from "../../src/cli/run_cli.ts";

/** What a command did. */
export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs one command; `stdin` is text or bytes. */
export async function shardy(
  args: string[],
  options: Partial<Omit<CliIo, "stdin">> & { input?: string | Uint8Array<ArrayBuffer> } = {},
): Promise<Outcome> {
  const { input = "", ...io } = options;
  const outcome = { exitCode: -1, stdout: "", stderr: "" };
  outcome.exitCode = await runCli({
    args,
    env: {},
    stdin: streamOf(typeof input === "string" ? new TextEncoder().encode(input) : input),
    stdout: (text) => outcome.stdout += text,
    stderr: (text) => outcome.stderr += text,
    ...io,
  });
  return outcome;
}

/** Serves while `use` asks; what it gives is complete after that. */
export async function serving(
  args: string[],
  use: (url: string) => Promise<void>,
  env: Record<string, string> = {},
): Promise<Outcome> {
  const end = new AbortController();
  const listening = Promise.withResolvers<string>();
  const running = shardy(["serve", "--port", "0", ...args], {
    env,
    signal: end.signal,
    stdout: (text) => listening.resolve(JSON.parse(text).url),
  });
  running.then(({ stderr }) => listening.reject(new Error(stderr)));
  try {
    await use(await listening.promise);
  } finally {
    end.abort();
  }
  return await running;
}

/** Bytes in small pieces, so that lines and characters are cut. */
export function streamOf(bytes: Uint8Array<ArrayBuffer>, pieceBytes = 1021): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.byteLength) return controller.close();
      controller.enqueue(bytes.subarray(at, at + pieceBytes));
      at += pieceBytes;
    },
  }, { highWaterMark: 0 });
}

/** Gives a folder to `use`, and removes it. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "shardy-test-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
