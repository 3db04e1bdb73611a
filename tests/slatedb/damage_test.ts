// Damaged databases. Judge: what SlateDB 0.13.1 read from them before.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { SlateDatabase } from "../../src/slatedb/database.ts";
import { bytesOf, filesOf, folderOf, hexOf, madeDatabases, scanned } from "./made_databases.ts";

/** What lookups of all keys and a scan come to: right, refused by our errors, or wrong. */
async function outcomeOf(name: string, files: ReturnType<typeof filesOf>): Promise<string> {
  const rows = madeDatabases[name]!.rows!;
  const expected = new Map(rows);
  const outcomes = new Set<string>();
  for (const way of ["get", "scan"] as const) {
    const database = new SlateDatabase(folderOf(files, { gapBytes: way === "get" ? 0 : 1 << 16 }));
    try {
      if (way === "get") {
        const values = await database.getMany(rows.map(([key]) => bytesOf(key)));
        for (const [i, [, value]] of rows.entries()) {
          const found = values[i] ?? null;
          if (found === null) outcomes.add("lost");
          else if (hexOf(found) !== value) outcomes.add("wrong");
        }
      } else {
        const found = await scanned(database);
        if (found.length < rows.length) outcomes.add("lost");
        if (found.some(([key, value]) => expected.get(key) !== value)) outcomes.add("wrong");
      }
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (!["CORRUPT_FILE", "DB_ADAPTER", "OBJECT_NOT_FOUND"].includes(code!)) throw error;
      outcomes.add("refused");
    }
  }
  return ["wrong", "lost", "refused"].find((outcome) => outcomes.has(outcome)) ?? "right";
}

/** Changes one byte after the other, at most so many of each object, and counts what comes of it. */
async function outcomesOf(
  name: string,
  { objects, changesMax }: { readonly objects: RegExp; readonly changesMax: number },
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [object, bytes] of filesOf(name)) {
    if (!objects.test(object)) continue;
    for (let at = 0; at < bytes.length; at += Math.max(1, Math.floor(bytes.length / changesMax))) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << at % 8;
      const outcome = await outcomeOf(name, filesOf(name).set(object, changed)).catch((error: Error) => {
        throw new Error(`byte ${at} of ${object} of ${name}`, { cause: error });
      });
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    }
  }
  return counts;
}

const soak = process.env["SHARDYFUSION_SOAK"] === "1";

function onlyRightOrRefused(counts: Record<string, number>): void {
  deepEqual(Object.keys(counts).filter((outcome) => outcome !== "right" && outcome !== "refused"), []);
  ok(counts["refused"]! > 15, JSON.stringify(counts));
}

for (
  const name of [
    "codec_zstd",
    "codec_zlib",
    "codec_lz4",
    "codec_snappy",
    "overwritten",
    "large",
    "old",
    "v17_codec_lz4",
  ]
) {
  test(`SlateDatabase takes no changed byte of a table or the log of ${name} for a value (P7)`, async () => {
    // Blocks, filters and indexes have checksums of their own; what tables say at their ends stands in manifests, too.
    const objects = name === "old" ? /^wal/ : /^compacted/;
    onlyRightOrRefused(await outcomesOf(name, { objects, changesMax: soak ? Infinity : 25 }));
  });
}

for (const name of ["log_only", "log_and_tables"]) {
  test(`SlateDatabase takes no changed byte of the log of ${name} for a value (P7)`, async () => {
    onlyRightOrRefused(await outcomesOf(name, { objects: /^wal/, changesMax: soak ? Infinity : 120 }));
  });
}

test("SlateDatabase may miss rows by a changed byte of a manifest, which has no checksum, but invents none", async () => {
  for (const name of ["codec_lz4", "expiring"]) {
    const counts = await outcomesOf(name, { objects: /^manifest\/0+4\.manifest/, changesMax: soak ? Infinity : 90 });
    equal(counts["wrong"], undefined);
    ok((counts["lost"] ?? 0) < 0.1 * counts["refused"]! + 5, JSON.stringify(counts));
  }
});
