/**
 * Bytes from a file or from stdin, and the text in them.
 * @module
 */
import { open } from "node:fs/promises";
import process from "node:process";
import { CliError } from "./cli_errors.ts";

/** Read from a file at a time. */
const CHUNK_BYTES = 1 << 18;

/** Bytes that come in, and how many there will be. */
export interface Input {
  /** What errors call it: its path, or `stdin`. */
  readonly name: string;
  /** Of a file that can be read at any place; undefined for what only comes once. */
  readonly path?: string | undefined;
  readonly bytes: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** How much of it was read, from 0 to 1; null for what is no file of a known size. */
  fractionRead(): number | null;
}

/**
 * A file as a stream; it is closed at the end, on errors, and when the stream is cancelled.
 *
 * @throws {CliError} when it cannot be opened.
 */
export async function fileInput(path: string): Promise<Input> {
  const file = await open(path).catch((cause) => {
    throw new CliError(`Cannot read '${path}': ${reasonOf(cause)}`, { cause });
  });
  const entry = await file.stat();
  if (entry.isDirectory()) {
    await file.close();
    throw new CliError(`Cannot read '${path}': it is a folder`);
  }
  let readBytes = 0;
  const bytes = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
      readBytes += bytesRead;
      if (bytesRead > 0) return controller.enqueue(chunk.subarray(0, bytesRead));
      await file.close();
      controller.close();
    },
    cancel: () => file.close(),
  }, { highWaterMark: 0 });
  const isSized = entry.isFile() && entry.size > 0;
  return {
    name: path,
    path: entry.isFile() ? path : undefined,
    bytes,
    fractionRead: () => isSized ? Math.min(1, readBytes / entry.size) : null,
  };
}

/** The stdin of this process; not touched before it is read, as that would keep the process alive. */
export function stdinBytes(): ReadableStream<Uint8Array<ArrayBuffer>> {
  let chunks: AsyncIterator<Uint8Array> | undefined;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      chunks ??= process.stdin[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      const { value, done } = await chunks.next();
      if (done) return controller.close();
      // Chunks are not shared memory; Node's types allow for that.
      controller.enqueue(new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength));
    },
    cancel: () => void process.stdin.destroy(),
  }, { highWaterMark: 0 });
}

/** Text of UTF-8 bytes; fails at bytes that are none, and at once when the signal is aborted. */
export function decodedText(
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal,
): ReadableStream<string> {
  return bytes.pipeThrough(new TextDecoderStream("utf-8", { fatal: true }), { signal });
}

function reasonOf(cause: unknown): string {
  const code = (cause as { code?: unknown }).code;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  return cause instanceof Error ? cause.message : String(cause);
}
