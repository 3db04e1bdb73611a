/**
 * `shardy verify`: whether the snapshot is what was published, to its last byte.
 * @module
 */
import { ConfigValidationError } from "../../errors.ts";
import { verifySnapshot } from "../../verify/verify_snapshot.ts";
import type { VerifyProgress } from "../../verify/verify_options.ts";
import type { SnapshotProblem, SnapshotReport } from "../../verify/verify_report.ts";
import { UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { integerOption, listOption, repeated } from "../option_values.ts";
import { count } from "../progress_line.ts";
import { chosenSnapshot, refAtOffset } from "../session.ts";

/** Back to the first column, and clear the line. */
const ERASE = "\r\x1b[K";

/** Reads all shards, or some, and tells what is wrong with them. */
export const verifyCommand: CliCommand = {
  name: "verify",
  usage: "",
  summary: "Check every byte, key and count of the snapshot: exits with 0 when it is sound, else with 1",
  examples: [
    ["verify --shard 0 --shard 3 --output-format text", "two shards, with a report for people"],
  ],
  details: "Reads every object of the snapshot once.",
  readsSnapshot: true,
  declare(command) {
    command.option("--shard <n>", "check this shard only; may be repeated", repeated);
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { options, signal } = context;
  const chosen = chosenSnapshot(options);
  const shards = shardsOf(listOption(options, "--shard"));
  const location = await context.location();
  const { store, manifestStore, pointerKey } = location;
  const ref = chosen !== undefined && "offset" in chosen
    ? await refAtOffset(location, chosen.offset, signal)
    : chosen?.ref;
  const line = progressLine(context);
  try {
    const place = { ref, manifestStore, pointerKey };
    const report = await verifySnapshot(store, { ...place, shards, signal, onProgress: line.show });
    line.clear();
    print(context, report);
    return report.isSound ? 0 : 1;
  } catch (error) {
    if (error instanceof ConfigValidationError && error.path === "shards") throw new UsageError(error.message);
    throw error;
  } finally {
    line.clear();
  }
}

function shardsOf(texts: readonly string[]): readonly number[] | undefined {
  if (texts.length === 0) return undefined;
  return texts.map((text) => integerOption({ shard: text }, "--shard", 0)!);
}

/** One line on a terminal, nothing elsewhere. */
function progressLine(
  { io }: CommandContext,
): { show: ((progress: VerifyProgress) => void) | undefined; clear: () => void } {
  if (io.isTerminal !== true) return { show: undefined, clear: () => {} };
  let isOpen = false;
  return {
    show({ shardsDone, shards, bytesRead }) {
      io.stderr(`${ERASE}${shardsDone} of ${shards} shards, ${count(bytesRead / 1e6)} MB`);
      isOpen = true;
    },
    clear() {
      if (isOpen) io.stderr(ERASE);
      isOpen = false;
    },
  };
}

function print(context: CommandContext, report: SnapshotReport): void {
  const { isSound, manifestRef, runId, shardCount, rowCount, bytesRead, problems, problemCount, unchecked } = report;
  context.print({
    fields: {
      op: "verify",
      "is_sound": isSound,
      "run_id": runId,
      "manifest_ref": manifestRef,
      "num_dbs": shardCount,
      "row_count": rowCount,
      "bytes_read": bytesRead,
      "problem_count": problemCount,
      problems: problems.map(({ shardId, object, kind, message, byteOffset }) => ({
        "db_id": shardId,
        object,
        kind,
        message,
        "byte_offset": byteOffset ?? null,
      })),
      unchecked,
    },
    text: () => reportText(report),
    table: () => reportText(report),
  });
}

function reportText(report: SnapshotReport): string {
  const { isSound, manifestRef, runId, shardCount, rowCount, bytesRead, problems, problemCount, unchecked } = report;
  const lines = [
    isSound ? "sound" : `NOT SOUND: ${count(problemCount)} ${problemCount === 1 ? "problem" : "problems"}`,
    `run_id=${runId ?? "None"}  shards=${shardCount}  rows=${rowCount}  bytes_read=${bytesRead}`,
    `manifest_ref=${manifestRef ?? "None"}`,
    ...problems.flatMap(problemLines),
    ...(problemCount > problems.length ? [`and ${count(problemCount - problems.length)} more problems`] : []),
    ...unchecked.map((text) => `not checked: ${text}`),
  ];
  return lines.join("\n");
}

function problemLines({ shardId, object, kind, message, byteOffset }: SnapshotProblem): string[] {
  const place = byteOffset === undefined ? "" : ` at byte ${byteOffset}`;
  return [`${shardId === null ? "snapshot" : `shard ${shardId}`}  ${kind}: ${message}`, `    ${object}${place}`];
}
