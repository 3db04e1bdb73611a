/**
 * SlateDB from PyPI as a judge of databases that we wrote.
 * @module
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The interpreter that has it: `python3`, or what `SHARDYFUSION_SLATEDB_PYTHON` names. */
const python = process.env["SHARDYFUSION_SLATEDB_PYTHON"] || "python3";
const script = fileURLToPath(new URL("judge_slatedb.py", import.meta.url));

/** What SlateDB reads from a database. */
export interface JudgedDatabase {
  /** By a scan: keys and values in hex. */
  readonly rows: [key: string, value: string][];
  /** Keys of these that lookups do not find, or with another value. */
  readonly lost: string[];
  /** Keys that lookups find though they are not there. */
  readonly invented: string[];
}

/** Why it cannot be asked; null when it can. */
export const slatedbMissing: string | null = findSlatedb();

function findSlatedb(): string | null {
  try {
    execFileSync(python, ["-c", "import slatedb.uniffi"], { stdio: "ignore" });
    return null;
  } catch {
    return "what SlateDB itself reads: Python has no slatedb (pip install slatedb)";
  }
}

/** Shows databases to SlateDB, which changes them: give copies. */
export function judged(folders: readonly string[]): JudgedDatabase[] {
  const options = { encoding: "utf8", maxBuffer: 1 << 28, timeout: 60_000 } as const;
  const output = execFileSync(python, [script, ...folders], options);
  return output.trim().split("\n").map((line) => JSON.parse(line));
}
