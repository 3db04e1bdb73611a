/**
 * What a command is: one file in `commands/` each, listed in `commands.ts`.
 * @module
 */
import type { Command } from "commander";
import type { Clock } from "../clock.ts";
import type { EventSink } from "../events.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import type { Location } from "./location.ts";
import type { LoadedManifest } from "../read/load_manifest.ts";
import type { Printable } from "./json_text.ts";
import type { OptionTexts } from "./option_values.ts";
import type { ValueEncoding } from "./key_text.ts";
import type { CliResult, OutputFormat } from "./result.ts";
import type { SnapshotSession } from "./snapshot_session.ts";

/** What a command line is connected to. */
export interface CliIo {
  /** Without the names of the runtime and of the script. */
  readonly args: readonly string[];
  /** Variables of the environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Read only by commands that ask for it. */
  readonly stdin: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Takes results. */
  readonly stdout: (text: string) => void;
  /** Takes results that are no text; the next ones wait for it. Undefined: commands that have some fail. */
  readonly stdoutBytes?: ((bytes: Uint8Array) => Promise<void>) | undefined;
  /** Takes errors and progress. */
  readonly stderr: (text: string) => void;
  /** Lines typed at a terminal; undefined: what comes over stdin. */
  readonly readLines?: ((options: LineOptions) => AsyncIterable<string>) | undefined;
  /** Whether stderr is a terminal. @default {false} */
  readonly isTerminal?: boolean | undefined;
  /** Aborts the command; it ends with exit code 130. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** How lines are asked for. */
export interface LineOptions {
  readonly prompt: string;
  /** What a line that was begun may go on with, and the word at its end that this replaces. */
  readonly complete: (line: string) => [candidates: string[], word: string];
}

/** What a running command works with. */
export interface CommandContext {
  /** The place and the snapshot; disposed by whoever began the command. */
  readonly session: SnapshotSession;
  readonly io: CliIo;
  readonly clock: Clock;
  /** Never undefined, so that it can be handed on. */
  readonly signal: AbortSignal;
  /** Positional arguments, as declared. */
  readonly args: readonly string[];
  readonly options: OptionTexts;
  readonly format: OutputFormat;
  readonly valueEncoding: ValueEncoding;
  /** What is printed for a key that does not exist. */
  readonly nullText: string;
  print(result: CliResult): void;
  /** The place that `--current-url` names. @throws {CliError} when there is none. */
  location(): Promise<Location>;
  /**
   * Another place, with the same configuration; whoever asks for it disposes it.
   *
   * @param onEvent Is told of requests that are sent again.
   * @throws {CliError}
   */
  locationAt(currentUrl: string, onEvent?: EventSink): Promise<Location>;
  /**
   * The snapshot of `--ref` or `--offset`, or the current one, with all shards; the same one at each call. It is closed
   * at the end.
   *
   * @throws {CliError}
   */
  openReader(): Promise<SnapshotReader>;
  /** The manifest of the same snapshot, without touching a shard. @throws {CliError} */
  loadManifest(): Promise<LoadedManifest>;
}

/** One command of `shardy`. */
export interface CliCommand {
  readonly name: string;
  /** What follows the options in the usage line: `KEY`. */
  readonly usage: string;
  /** One sentence for the list of commands. */
  readonly summary: string;
  /** What help says below the options: more sentences, if one is not enough. */
  readonly details?: string;
  /** Command lines that help shows, without `shardy`, each with what it does. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Whether `--ref` and `--offset` may follow the name of the command too. */
  readonly readsSnapshot: boolean;
  /** Exit code after an error while it ran. @default {1} */
  readonly errorExitCode?: number;
  /** Exit code after this error; goes before {@linkcode errorExitCode}. */
  exitCodeOf?(error: unknown): number;
  /** Declares arguments and options. */
  declare(command: Command): void;
  /** What is known about a failed call, for the error result. */
  errorFields?(args: readonly string[]): { readonly [name: string]: Printable };
  /** @returns The exit code. */
  run(context: CommandContext): Promise<number>;
}
