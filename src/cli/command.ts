/**
 * What a command is: one file in `commands/` each, listed in `commands.ts`.
 * @module
 */
import type { Command } from "commander";
import type { Clock } from "../clock.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import type { Location } from "./location.ts";
import type { LoadedManifest } from "../read/load_manifest.ts";
import type { Printable } from "./json_text.ts";
import type { OptionTexts } from "./option_values.ts";
import type { CliResult, OutputFormat } from "./result.ts";

/** What a command line is connected to. */
export interface CliIo {
  /** Without the names of the runtime and of the script. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Read only by commands that ask for it. */
  readonly stdin: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Takes results. */
  readonly stdout: (text: string) => void;
  /** Takes errors and progress. */
  readonly stderr: (text: string) => void;
  /** Whether stderr is a terminal. @default {false} */
  readonly isTerminal?: boolean | undefined;
  /** Aborts the command; it ends with exit code 130. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** What a running command works with. */
export interface CommandContext {
  readonly io: CliIo;
  readonly clock: Clock;
  /** Never undefined, so that it can be handed on. */
  readonly signal: AbortSignal;
  /** Positional arguments, as declared. */
  readonly args: readonly string[];
  readonly options: OptionTexts;
  readonly format: OutputFormat;
  print(result: CliResult): void;
  /** The place that `--current-url` names. @throws {CliError} when there is none. */
  location(): Promise<Location>;
  /** The snapshot of `--ref` or `--offset`, or the current one, with all shards. @throws {CliError} */
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
  /** Whether `--ref` and `--offset` may follow the name of the command too. */
  readonly readsSnapshot: boolean;
  /** Exit code after an error while it ran. @default {1} */
  readonly errorExitCode?: number;
  /** Declares arguments and options. */
  declare(command: Command): void;
  /** What is known about a failed call, for the error result. */
  errorFields?(args: readonly string[]): { readonly [name: string]: Printable };
  /** @returns The exit code. */
  run(context: CommandContext): Promise<number>;
}
