/**
 * SQLite and the extension sqlite-vec in Python: a judge of whole snapshot series.
 * @module
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The interpreter that has it: `python3`, or what `SHARDYFUSION_VECTOR_PYTHON` names. */
const python = process.env["SHARDYFUSION_VECTOR_PYTHON"] || "python3";
const script = fileURLToPath(new URL("judge_vectors.py", import.meta.url));

/** A search to make. */
export interface JudgedSearch {
  readonly query: Float32Array;
  readonly topK: number;
  /** Default: what the snapshot records. */
  readonly probes?: number;
}

/** What Python reads of a series. */
export interface JudgedSeries {
  readonly shards: readonly {
    readonly shard: number;
    /** What SQLite's integrity check finds. */
    readonly problems: readonly string[];
    /** Keys and values, in hex. */
    readonly rows: readonly [key: string, value: string][];
    /** Indexes of LanceDB and their columns. */
    readonly indexes?: readonly [type: string, columns: readonly string[]][];
    /** Ids and vectors, as the hex of their float32. */
    readonly vectors: readonly [id: number | string, vector: string][];
  }[];
  readonly searches: readonly {
    readonly asked: number;
    readonly hits: readonly [id: number | string, score: number, payload: unknown][];
  }[];
}

/** Why it cannot be asked; null when it can. */
export const pythonVectorsMissing: string | null = findSqliteVec();

function findSqliteVec(): string | null {
  const program = "import sqlite3, sqlite_vec\n" +
    "if not hasattr(sqlite3.Connection, 'enable_load_extension'): import apsw";
  try {
    execFileSync(python, ["-c", program], { stdio: "ignore" });
    return null;
  } catch {
    return "what sqlite-vec finds from Python: it is missing (pip install sqlite-vec apsw)";
  }
}

/** A program that judges series. */
export interface JudgeProgram {
  readonly python: string;
  readonly script: string;
}

/** Shows it, or another judge, a series in a folder. */
export function judgedSeries(
  folder: string,
  searches: readonly JudgedSearch[],
  judge: JudgeProgram = { python, script },
): JudgedSeries {
  const input = JSON.stringify({
    folder,
    searches: searches.map(({ query, topK, probes }) => ({
      query: Buffer.from(query.buffer, query.byteOffset, query.byteLength).toString("hex"),
      k: topK,
      probes: probes ?? null,
    })),
  });
  const limits = { maxBuffer: 1 << 28, timeout: 60_000 };
  return JSON.parse(execFileSync(judge.python, [judge.script], { input, encoding: "utf8", ...limits }));
}
