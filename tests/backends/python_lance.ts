/**
 * LanceDB in Python: a judge of whole snapshot series, of composite ones too.
 * @module
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";
import type { JudgeProgram } from "./python_vectors.ts";

const script = fileURLToPath(new URL("judge_lance.py", import.meta.url));
let found: JudgeProgram | null | undefined;

/** The judge: by `python3`, or by what `SHARDYFUSION_LANCE_PYTHON` names; null without one, and then it says so. */
export function lanceJudge(context: TestContext): JudgeProgram | null {
  found ??= findJudge();
  if (found !== null) return found;
  const reason = "what LanceDB finds from Python: it is missing (pip install lancedb sqlite-vec apsw)";
  console.log(`LEFT OUT: ${reason}`);
  context.skip(reason);
  return null;
}

function findJudge(): JudgeProgram | null {
  const python = process.env["SHARDYFUSION_LANCE_PYTHON"] || "python3";
  try {
    execFileSync(python, ["-c", "import lancedb, sqlite_vec"], { stdio: "ignore" });
    return { python, script };
  } catch {
    return null;
  }
}
