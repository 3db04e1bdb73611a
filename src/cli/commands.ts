/**
 * All commands of `shardy`, in the order in which help shows them.
 * @module
 */
import type { CliCommand } from "./command.ts";
import { buildCommand } from "./commands/build.ts";
import { cleanupCommand } from "./commands/cleanup.ts";
import { completionsCommand } from "./commands/completions.ts";
import { diffCommand } from "./commands/diff.ts";
import { execCommand } from "./commands/exec.ts";
import { getCommand } from "./commands/get.ts";
import { healthCommand } from "./commands/health.ts";
import { historyCommand } from "./commands/history.ts";
import { infoCommand } from "./commands/info.ts";
import { multigetCommand } from "./commands/multiget.ts";
import { pinCommand, unpinCommand } from "./commands/pin.ts";
import { planCommand } from "./commands/plan.ts";
import { publishCommand } from "./commands/publish.ts";
import { rollbackCommand } from "./commands/rollback.ts";
import { routeCommand } from "./commands/route.ts";
import { searchCommand } from "./commands/search.ts";
import { serveCommand } from "./commands/serve.ts";
import { shardsCommand } from "./commands/shards.ts";
import { verifyCommand } from "./commands/verify.ts";
import { workerCommand } from "./commands/worker.ts";

/** The list. */
export const COMMANDS: readonly CliCommand[] = Object.freeze([
  buildCommand,
  planCommand,
  workerCommand,
  publishCommand,
  getCommand,
  multigetCommand,
  searchCommand,
  infoCommand,
  shardsCommand,
  routeCommand,
  execCommand,
  healthCommand,
  serveCommand,
  verifyCommand,
  historyCommand,
  diffCommand,
  rollbackCommand,
  pinCommand,
  unpinCommand,
  cleanupCommand,
  completionsCommand,
]);
