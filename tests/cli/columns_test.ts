// Building from Arrow and Parquet. Judge: the same rows as lines of JSON; all files were made by pyarrow.
import { deepEqual, equal, match } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeLz4Frame } from "../../src/engine/lz4_frame.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { shardy, withFolder } from "./run_shardy.ts";

const fixtures = fileURLToPath(new URL("../fixtures/columns/", import.meta.url));
const FILES = [
  ...["rows.arrows", "rows.arrow", "rows_zstd.arrow", "rows_lz4.feather"],
  ...["rows_snappy.parquet", "rows_zstd.parquet", "rows_gzip.parquet"],
];
const lines = readFileSync(`${fixtures}rows.ndjson`, "utf8").trimEnd().split("\n");
const BLOB_KEYS = ["--value", "blob", "--key-encoding", "u64be"];

async function built(folder: string, args: string[], input?: Uint8Array<ArrayBuffer>): Promise<void> {
  const { exitCode, stderr } = await shardy(
    ["--current-url", join(folder, "_CURRENT"), "build", "--quiet", "--key", "id", "--shards", "2", ...args],
    input === undefined ? {} : { input },
  );
  equal(exitCode, 0, stderr);
}

async function valuesOf(folder: string): Promise<Map<number, Uint8Array>> {
  await using reader = await openSnapshot({ store: fsStore(folder) });
  const ids = lines.map((line) => JSON.parse(line).id as number);
  return await reader.getMany(ids) as Map<number, Uint8Array>;
}

for (const file of FILES) {
  test(`shardy build reads ${file}: whole rows as JSON, and bytes as they are`, async () => {
    await withFolder(async (folder) => {
      await built(folder, [join(fixtures, file)]);
      const values = await valuesOf(folder);
      for (const line of lines) {
        const row = JSON.parse(line);
        const text = new TextDecoder().decode(values.get(row.id));
        deepEqual(JSON.parse(text), row);
        equal(/"big":(\d+)/.exec(text)![1], /"big":(\d+)/.exec(line)![1], "all digits");
      }
      await built(folder, [join(fixtures, file), ...BLOB_KEYS]);
      const blobs = await valuesOf(folder);
      deepEqual(blobs.get(3), Uint8Array.of(1, 255, 0));
    });
  });
}

test("shardy build reads Arrow and Parquet from stdin, keys of bytes, and chosen columns", async () => {
  await withFolder(async (folder) => {
    for (const [file, format] of [["rows.arrow", "arrow"], ["rows_zstd.parquet", "parquet"]] as const) {
      await built(
        folder,
        ["--format", format, "--value", "json:flag,tags"],
        new Uint8Array(readFileSync(fixtures + file)),
      );
      const values = await valuesOf(folder);
      equal(new TextDecoder().decode(values.get(3)), '{"flag":false,"tags":["t1",null]}');
    }
    const url = join(folder, "_CURRENT");
    const args = ["build", join(fixtures, "rows_snappy.parquet"), "--key", "blob", "--value", "name", "--quiet"];
    const { exitCode, stderr } = await shardy(["--current-url", url, ...args, "--single-shard"]);
    equal(exitCode, 0, stderr);
    await using reader = await openSnapshot({ store: fsStore(folder) });
    equal(reader.info.keyEncoding, "raw");
    equal(
      new TextDecoder().decode((await reader.get(Uint8Array.of(2, 255, 0)))!),
      "né 514",
      "the last one of this key",
    );
  });
});

test("shardy build names the row of text that is no UTF-8, and takes one stream", async () => {
  await withFolder(async (folder) => {
    const streams = JSON.parse(readFileSync(`${fixtures}types.json`, "utf8"));
    const cases = [
      ["field string_broken", /column .*field.* as text as it must be UTF-8: .* fffe.*\(row 2 of stdin\)/],
      ["stream two_streams", /bytes follow the end of the stream: give one stream to each process/],
      ["stream without_end", /the stream is cut short, or its writer was not closed/],
    ] as const;
    for (const [name, message] of cases) {
      const place = ["--current-url", join(folder, "_CURRENT")];
      const args = ["build", "--key", "id", "--shards", "2", "--format", "arrow", "-"];
      const { exitCode, stderr } = await shardy([...place, ...args], { input: Uint8Array.fromBase64(streams[name]) });
      equal(exitCode, 1, name);
      match(stderr, message);
    }
  });
});

test("shardy build takes vectors of Arrow and Parquet", async () => {
  await withFolder(async (folder) => {
    for (const file of ["rows_zstd.arrow", "rows_snappy.parquet"]) {
      await built(folder, [
        join(fixtures, file),
        "--vector",
        "embedding",
        "--vector-dim",
        "4",
        "--vector-metric",
        "l2",
      ]);
      const found = await shardy(["--current-url", join(folder, "_CURRENT"), "search", "4,0,1,2", "--top-k", "1"]);
      equal(JSON.parse(found.stdout).results[0].score, 0, found.stderr);
    }
  });
});

test("shardy build says what is wrong with files of columns, without a stack", async () => {
  await withFolder(async (folder) => {
    const random = new SeededRandom(7);
    const path = join(folder, "broken");
    for (const [file, format] of [["rows_lz4.feather", "arrow"], ["rows_snappy.parquet", "parquet"]] as const) {
      const whole = new Uint8Array(readFileSync(fixtures + file));
      for (let round = 0; round < 15; round++) {
        const bytes = whole.slice(0, round < 8 ? random.below(whole.byteLength) : whole.byteLength);
        for (let flips = round < 8 ? 0 : 40; flips > 0; flips--) bytes[random.below(bytes.byteLength)]! ^= 0x55;
        await writeFile(path, bytes);
        const args = ["build", path, "--format", format, "--key", "id", "--shards", "2", "--quiet"];
        const { exitCode, stderr } = await shardy(["--current-url", join(folder, "out", "_CURRENT"), ...args]);
        // Neither format has checksums everywhere: some changes only change values.
        if (exitCode === 0 && round >= 8) continue;
        equal(exitCode, 1);
        match(stderr, /^\{"op": "build", "error": "Cannot /);
        equal(/\n\s+at /.test(stderr), false, stderr);
      }
    }
    const args = ["build", join(fixtures, "rows_gzip.parquet"), "--key", "nope", "--value", "id", "--shards", "1"];
    const { exitCode, stderr } = await shardy(["--current-url", join(folder, "_CURRENT"), ...args]);
    equal(exitCode, 1);
    match(stderr, /Cannot find column \\"nope\\" in .*rows_gzip.parquet: it has the columns id, name, kind/);
  });
});

test("decodeLz4Frame() refuses what is cut or changed, or gives bytes", () => {
  // "abcabcabcabc…": literals, then a match that reaches into itself. Made by the lz4 program.
  const frame = Uint8Array.from(
    [
      0x04,
      0x22,
      0x4d,
      0x18,
      0x60,
      0x40,
      0x82,
      0x09,
      0,
      0,
      0,
      0x3a,
      0x61,
      0x62,
      0x63,
      0x03,
      0x00,
      0x50,
      0x63,
      0x61,
      0x62,
    ],
  );
  for (let size = 0; size < frame.byteLength; size++) {
    try {
      decodeLz4Frame(frame.subarray(0, size));
    } catch (error) {
      equal(error instanceof RangeError, true, String(error));
    }
  }
});
