/**
 * The command `shardy`, bound to the process that runs it.
 *
 * ```sh
 * deno run -A jsr:@shardyfusion/shardyfusion/cli --help
 * ```
 * @module
 */
import process from "node:process";
import { runCli } from "./run_cli.ts";
import { stdinBytes } from "./input.ts";
import { terminalLines } from "./terminal_lines.ts";

export type { LineOptions } from "./command.ts";
export { type CliIo, runCli } from "./run_cli.ts";

if (import.meta.main) await runProcess();

async function runProcess(): Promise<void> {
  const controller = new AbortController();
  const interrupt = (): void => {
    // The second time nobody wants to wait for anything to be tidied up.
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Error("Interrupted"));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  // A reader that has seen enough, such as `head`, is no failure of ours; but a task's result got lost.
  const lostExitCode = process.argv.includes("worker") ? 1 : 0;
  process.stdout.on("error", () => process.exit(lostExitCode));
  const exitCode = await runCli({
    args: process.argv.slice(2),
    env: process.env,
    stdin: stdinBytes(),
    stdout: (text) => process.stdout.write(text),
    stdoutBytes: (bytes) => new Promise((resolve) => process.stdout.write(bytes, () => resolve())),
    stderr: (text) => process.stderr.write(text),
    readLines: process.stdin.isTTY === true && process.stdout.isTTY === true
      ? (options) => terminalLines(options, process.env)
      : undefined,
    isTerminal: process.stderr.isTTY === true,
    signal: controller.signal,
  });
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  // Explicitly, as connections that are kept alive, or a stdin that nobody closes, would hold the process.
  process.exit(exitCode);
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
