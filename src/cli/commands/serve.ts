/**
 * `shardy serve`: the snapshot over HTTP.
 * @module
 */
import { type Command, Option } from "commander";
import { ConfigValidationError } from "../../errors.ts";
import type { EventSink } from "../../events.ts";
import { openSnapshot } from "../../read/open_snapshot.ts";
import type { SnapshotReader } from "../../read/snapshot_reader.ts";
import { snapshotHandler, type SnapshotHandlerOptions } from "../../serve/mod.ts";
import { CliError, messageOf, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { startHttpServer } from "../http_server.ts";
import type { Location } from "../location.ts";
import {
  choiceOption,
  integerOption,
  listOption,
  numberOption,
  type OptionTexts,
  repeated,
  switchOption,
  textOption,
} from "../option_values.ts";

const ACCESS_MODES = ["auto", "memory", "download", "range", "hydrate"] as const;
const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 8080;
const DEFAULT_REFRESH_SECONDS = 30;
/** How long answers that are under way may take when the server ends. */
const END_MS = 10_000;

/** Answers requests until it is interrupted; then those that are under way are answered, and the exit code is 0. */
export const serveCommand: CliCommand = {
  name: "serve",
  usage: "",
  summary: "Answer HTTP requests from the snapshot, until interrupted",
  details:
    "Values are at /v1/get/{key}; /v1/openapi.json describes the rest. Without --access and --cache-dir shards " +
    "are read as the configuration says.",
  examples: [
    ["serve --current-url ./data/cities/_CURRENT", "serve a folder on this machine, at http://127.0.0.1:8080"],
    ["serve --access memory --refresh 10 --metrics", "from memory, with figures for Prometheus"],
    ["serve --ui", "with a page that shows the snapshot"],
  ],
  readsSnapshot: true,
  declare(command) {
    command.addOption(sameAsCurrentUrl(command))
      .option("--host <host>", `address to listen on (${DEFAULT_HOST})`)
      .option("--port <port>", `port to listen on (${DEFAULT_PORT}); 0 takes a free one`)
      .option("--token <token>", "what requests must bring as a bearer token; better by SHARDY_TOKEN")
      .option("--token-path <path>", "only this path and what is below it needs the token; repeatable", repeated)
      .option("--refresh <seconds>", `look for newer snapshots so often (${DEFAULT_REFRESH_SECONDS}); 0 for never`)
      .option("--stale-after <seconds>", "answer 503 to health checks from this age of the snapshot on")
      .option("--access <mode>", `how shards are read: ${ACCESS_MODES.join(", ")}`)
      .option("--cache-dir <folder>", "keep downloaded shards here")
      .option("--content-type <type>", "type of the values (application/octet-stream)")
      .option("--cors <origin>", "let pages of this origin read answers; * for all; repeatable", repeated)
      .option("--metrics", "measure, for Prometheus at /metrics; needs the package prom-client")
      .option("--grace <seconds>", "when interrupted, answer so long while health checks are told 503 (0)")
      .option("--ui", "show the snapshot as a page at /")
      .option("--ui-token <token>", "what a roll back on the page must bring; better by SHARDY_UI_TOKEN");
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { options, signal, io } = context;
  const served = servedOptions(context);
  const host = textOption(options, "--host") ?? DEFAULT_HOST;
  const port = integerOption(options, "--port", 0) ?? DEFAULT_PORT;
  if (port > 65_535) throw new UsageError("--port must be <= 65535");
  const graceMs = (numberOption(options, "--grace") ?? 0) * 1000;
  const open = openOptions(options);
  const location = await context.location();
  const measured = switchOption(options, "--metrics") ? await measuring() : null;
  const isConfigured = open.access === undefined && open.cacheDir === undefined && measured === null;
  await using reader = isConfigured
    ? await context.openReader()
    : await opened(location, { ...open, signal, ...(measured && { onEvent: measured.onEvent }) });
  const onError = (error: unknown): void => io.stderr(`Error: ${messageOf(error)}\n`);
  const routes = await uiOf(context, { ...location, reader }, onError);
  const handler = snapshotHandler(reader, {
    ...served,
    ...measured,
    ...(routes && { routes }),
    onError,
  });
  const server = await startHttpServer((request) => handler(request), { host, port });
  if (served.token === undefined && !isLoopback(host)) {
    io.stderr(`Warning: everybody who reaches ${server.url} can read the snapshot, as there is no --token\n`);
  }
  const { runId, shardCount } = reader.info;
  context.print({
    fields: { op: "serve", url: server.url, "run_id": runId, "num_shards": shardCount },
    text: () => `Listening on ${server.url}`,
  });
  await aborted(signal);
  await handler.close({ graceMs, timeoutMs: END_MS });
  await server.close(END_MS);
  return 0;
}

/** An option that sets another one. */
function sameAsCurrentUrl(command: Command): Option {
  return new Option("--url <url>", "the same as --current-url").argParser((value: string) => {
    command.setOptionValue("currentUrl", value);
    return value;
  });
}

function servedOptions({ options, io }: CommandContext): SnapshotHandlerOptions {
  const token = textOption(options, "--token") ?? (io.env["SHARDY_TOKEN"] || undefined);
  const tokenPaths = listOption(options, "--token-path");
  if (tokenPaths.length > 0 && token === undefined) throw new UsageError("--token-path needs --token");
  const refreshSeconds = numberOption(options, "--refresh") ?? DEFAULT_REFRESH_SECONDS;
  const staleSeconds = numberOption(options, "--stale-after");
  const origins = listOption(options, "--cors");
  return {
    token,
    contentType: textOption(options, "--content-type"),
    tokenPaths: tokenPaths.length === 0 ? undefined : tokenPaths,
    refreshEvery: refreshSeconds === 0 ? undefined : refreshSeconds * 1000,
    staleAfterMs: staleSeconds === undefined ? undefined : staleSeconds * 1000,
    cors: origins.length === 0 ? undefined : { origins: origins.includes("*") ? "*" : origins },
  };
}

type Routes = NonNullable<SnapshotHandlerOptions["routes"]>;
type OpenOptions = Omit<Parameters<typeof openSnapshot>[0], "store" | "pointerKey">;

function openOptions(options: OptionTexts): OpenOptions {
  const ref = textOption(options, "--ref");
  const offset = integerOption(options, "--offset", 0);
  if (ref !== undefined && offset !== undefined) throw new UsageError("--ref and --offset are mutually exclusive");
  return {
    pin: offset === undefined ? ref : { offset },
    access: choiceOption(options, "--access", ACCESS_MODES),
    cacheDir: textOption(options, "--cache-dir"),
  };
}

async function opened(location: Location, options: OpenOptions): Promise<SnapshotReader> {
  try {
    return await openSnapshot({ ...location, ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new CliError(`Failed to initialise reader: ${messageOf(error)}`, { cause: error });
  }
}

async function measuring(): Promise<{ onEvent: EventSink; metrics: () => Promise<string> }> {
  try {
    const { Registry } = await import("prom-client");
    const { prometheusMetrics } = await import("../../metrics/prometheus.ts");
    const registry = new Registry();
    return { onEvent: prometheusMetrics({ registry }), metrics: () => registry.metrics() };
  } catch (cause) {
    throw new CliError("Cannot measure as the package prom-client is not installed: npm install prom-client", {
      cause,
    });
  }
}

/** The page; what shows data there needs the token of the service, and a roll back one of its own. */
async function uiOf(
  { options, io }: CommandContext,
  { reader, store, manifestStore, pointerKey }: Location & { readonly reader: SnapshotReader },
  onError: (error: unknown) => void,
): Promise<Routes | null> {
  const typed = textOption(options, "--ui-token");
  if (!switchOption(options, "--ui")) {
    if (typed !== undefined) throw new UsageError("--ui-token needs --ui");
    return null;
  }
  const token = typed ?? (io.env["SHARDY_UI_TOKEN"] || undefined);
  const readToken = textOption(options, "--token") ?? (io.env["SHARDY_TOKEN"] || undefined);
  const { explorerHandler } = await import("../../explorer/explorer_handler.ts");
  try {
    return explorerHandler({ reader, store, manifestStore, pointerKey, token, readToken, onError });
  } catch (error) {
    if (!(error instanceof ConfigValidationError && error.path === "token")) throw error;
    throw new UsageError("--ui-token must be a text of 16 or more ASCII characters without spaces");
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
