// `shardy build`: rows in, values out again by `shardy get`; wrong input publishes nothing.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { type Outcome, shardy, withFolder } from "./run_shardy.ts";

const NDJSON = '{"id": 1, "name": "Ada"}\n\n{"id": 2, "name": "Grace \\u00e9", "n": 1.50}\r\n{"name": "日本", "id": 3}';
const CSV = 'id,name,note\n1,Ada,"a ""b"", c"\n2,Grace,"two\nlines"\n\n3,日本,\n';

/** One command on the series in `folder`. */
type On = (args: string[], input?: string | Uint8Array<ArrayBuffer>) => Promise<Outcome>;

async function withSeries(use: (on: On, folder: string) => Promise<void>): Promise<void> {
  await withFolder((folder) =>
    use((args, input = "") => shardy(["--current-url", join(folder, "series", "_CURRENT"), ...args], { input }), folder)
  );
}

async function valueOf(on: On, key: string): Promise<string | null> {
  const { exitCode, stdout, stderr } = await on(["get", key, "--value-encoding", "utf8"]);
  equal(exitCode, 0, stderr);
  const { found, value } = JSON.parse(stdout);
  return found ? value : null;
}

test("shardy build from NDJSON on stdin stores whole lines by default", async () => {
  await withSeries(async (on) => {
    const { exitCode, stdout, stderr } = await on(["build", "--key", "id", "--shards", "4", "--quiet"], NDJSON);
    equal(exitCode, 0, stderr);
    equal(stderr, "");
    const result = JSON.parse(stdout);
    deepEqual(Object.keys(result), ["op", "run_id", "manifest_ref", "num_dbs", "rows_written", "bytes", "elapsed_ms"]);
    equal(result.op, "build");
    equal(result.num_dbs, 4);
    equal(result.rows_written, 3);
    ok(result.bytes > 0);
    equal(await valueOf(on, "1"), '{"id": 1, "name": "Ada"}');
    equal(await valueOf(on, "2"), '{"id": 2, "name": "Grace \\u00e9", "n": 1.50}');
    equal(await valueOf(on, "3"), '{"name": "日本", "id": 3}');
    equal(await valueOf(on, "4"), null);
    const info = JSON.parse((await on(["info"])).stdout);
    equal(info.run_id, result.run_id);
    equal(info.manifest_ref, result.manifest_ref);
    equal(info.key_encoding, "u64be");
    equal(info.row_count, 3);
  });
});

test("shardy build from a CSV file stores a JSON object of all columns by default", async () => {
  await withSeries(async (on, folder) => {
    const path = join(folder, "rows.csv");
    await writeFile(path, `\ufeff${CSV}`);
    const { exitCode, stderr } = await on(["build", path, "--key", "id", "--single-shard", "--quiet"]);
    equal(exitCode, 0, stderr);
    equal(await valueOf(on, "1"), '{"id":"1","name":"Ada","note":"a \\"b\\", c"}');
    equal(await valueOf(on, "2"), '{"id":"2","name":"Grace","note":"two\\nlines"}');
    equal(await valueOf(on, "3"), '{"id":"3","name":"日本","note":""}');
    equal(JSON.parse((await on(["info"])).stdout).key_encoding, "utf8");
  });
});

test("shardy build takes one column, or some of them, as the value", async () => {
  await withSeries(async (on) => {
    const cases: [format: string, input: string, value: string, expected: string][] = [
      ["ndjson", NDJSON, "name", "Ada"],
      ["ndjson", NDJSON, "id", "1"],
      ["ndjson", NDJSON, "json:name,id", '{"name":"Ada","id":1}'],
      ["csv", CSV, "note", 'a "b", c'],
      ["csv", CSV, "json:name,id", '{"name":"Ada","id":"1"}'],
    ];
    for (const [format, input, value, expected] of cases) {
      const options = ["--key", "id", "--key-encoding", "u32be", "--value", value, "--shards", "2", "--quiet"];
      const { exitCode, stderr } = await on(["build", "-", "--format", format, ...options], input);
      equal(exitCode, 0, stderr);
      equal(await valueOf(on, "1"), expected);
    }
    equal(JSON.parse((await on(["history"])).stdout).manifests.length, cases.length);
  });
});

test("shardy build keeps whole numbers beyond 2^53 exact, as keys and in values", async () => {
  await withSeries(async (on) => {
    const keys = ["9007199254740993", "9007199254740992", "9223372036854775807", "0"];
    const lines = keys.map((key) => `{"id":${key},"again":${key},"far":-1${key}}`).join("\n");
    const built = await on(["build", "--key", "id", "--value", "json:again,far", "--shards", "3", "--quiet"], lines);
    equal(built.exitCode, 0, built.stderr);
    for (const key of keys) equal(await valueOf(on, key), `{"again":${key},"far":-1${key}}`);
    equal(await valueOf(on, "9007199254740991"), null);

    const csv = `id\n${keys.join("\n")}\n`;
    await on(["build", "--format", "csv", "--key", "id", "--key-encoding", "u64be", "--shards", "3", "--quiet"], csv);
    for (const key of keys) equal(await valueOf(on, key), `{"id":"${key}"}`);
  });
});

test("shardy build passes its options on to the writer", async () => {
  await withSeries(async (on) => {
    const lines = Array.from({ length: 100 }, (_, id) => `{"id":"key ${id}"}`).join("\n");
    const { exitCode, stdout, stderr } = await on([
      ..."build --key id --keys-per-shard 30 --page-size 8192 --memory-bytes 1000000 --key-encoding raw".split(" "),
      ..."--run-id my-run --shard-prefix parts --db-path-template part-{db_id:03d} --rows-per-second 1e6".split(" "),
      ...["--custom", '{"made": {"by": "a test"}}', "--output-format", "text"],
    ], lines);
    equal(exitCode, 0, stderr);
    match(stdout, /^run_id=my-run\nmanifest_ref=file:.*\nnum_dbs=4\nrows_written=100\nbytes=65536\nelapsed_ms=\d+\n$/);
    const { shards } = JSON.parse((await on(["shards"])).stdout);
    match(shards[0].db_url, /^file:.*\/parts\/run_id=my-run\/part-000\/attempt=00$/);
    equal(await valueOf(on, "key 99"), '{"id":"key 99"}');
  });
});

test("shardy build and rollback: the pointer goes back and forth", async () => {
  await withSeries(async (on) => {
    for (const value of ["old", "new"]) {
      const input = `{"k":"a","v":"${value}"}`;
      await on(["build", "--key", "k", "--value", "v", "--single-shard", "--quiet", "--run-id", value], input);
    }
    equal(await valueOf(on, "a"), "new");
    const back = await on(["--output-format", "json", "rollback", "--offset", "1"]);
    match(back.stdout, /^Rolled back _CURRENT to: file:.*_run_id=old\/manifest\n$/);
    equal(back.exitCode, 0);
    equal(await valueOf(on, "a"), "old");
    equal((await on(["rollback", "--run-id", "new"])).exitCode, 0);
    equal(await valueOf(on, "a"), "new");
    const { manifests } = JSON.parse((await on(["history"])).stdout);
    equal((await on(["rollback", "--ref", manifests[1].ref])).exitCode, 0);
    equal(await valueOf(on, "a"), "old");
  });
});

test("shardy build names the line of a wrong row, and publishes nothing", async () => {
  const good = '{"id": 1, "v": "a"}\n';
  const cases: [args: string[], input: string | Uint8Array<ArrayBuffer>, complaint: RegExp][] = [
    [[], `${good}\n{"id": 2,}\n`, /^Cannot read line 3 of stdin as JSON: /],
    [[], `${good}[1]\n`, /^Cannot read line 2 of stdin as a row as it must be a JSON object: .* an array of 1$/],
    [[], `${good}{"ID": 2}\n`, /^Cannot find column "id" in line 2 of stdin: it has the columns ID$/],
    [["--value", "w"], good, /^Cannot find column "w" in line 1 of stdin: it has the columns id, v$/],
    [
      [],
      `${good}{"id": "two"}\n`,
      /^Cannot use "two" as the key of line 2 of stdin as it must be a whole number from 0/,
    ],
    [[], `${good}{"id": -2}\n`, /^Cannot use -2 as the key of line 2 .* from 0 to 2\^63 - 1$/],
    [[], `${good}{"id": 2.5}\n`, /^Cannot use 2\.5 as the key of line 2 /],
    [[], `${good}{"id": 9223372036854775808}\n`, /^Cannot use 9223372036854775808 as the key of line 2 /],
    [["--key-encoding", "u32be"], '{"id": 4294967296}', /^Cannot use 4294967296 as the key of line 1 .* 2\^32 - 1$/],
    [[], `{"id": "a\\ud800"}`, /^Cannot use "a.*" as the key of line 1 of stdin as it must be a string without lone/],
    [["--value", "v"], '{"id": 1, "v": "\\ud800"}', /^Cannot store the value of line 1 of stdin as UTF-8 /],
    [[], Uint8Array.of(0x7b, 0xff, 0x7d), /^Cannot read stdin as it is not UTF-8: see after line 0/],
    [["--format", "csv"], "a,b\n1,2\n", /^Cannot find column "id" in line 1 of stdin: it has the columns a, b$/],
    [["--format", "csv"], "id,id\n1,2\n", /^Cannot tell which column "id" is meant: line 1 of stdin has it twice$/],
    [["--format", "csv"], 'id,b\n1,"2\n3"\n4\n', /^Cannot read line 4 of stdin as it must have 2 fields .*: it has 1$/],
    [["--format", "csv"], 'id,b\n1,2"\n', /^Cannot read line 2 of stdin as CSV: bare "/],
    [["--format", "csv", "--key-encoding", "u64be"], "id\n1\nx\n", /^Cannot use "x" as the key of line 3 of stdin /],
  ];
  await withSeries(async (on, folder) => {
    for (const [args, input, complaint] of cases) {
      const { exitCode, stdout, stderr } = await on(
        ["build", "--key", "id", "--shards", "2", "--quiet", ...args],
        input,
      );
      equal(exitCode, 1);
      equal(stdout, "");
      const { op, error } = JSON.parse(stderr);
      equal(op, "build");
      match(error, complaint);
    }
    const left = await readdir(folder, { recursive: true, withFileTypes: true });
    // Records of the runs that failed.
    deepEqual(left.filter((entry) => entry.isFile() && entry.name !== "run.yaml").map(({ name }) => name), []);
  });
});

test("shardy build says which file cannot be read", async () => {
  await withSeries(async (on, folder) => {
    const options = ["--key", "id", "--shards", "2"];
    const missing = await on(["build", join(folder, "none.csv"), ...options]);
    equal(missing.exitCode, 1);
    match(missing.stderr, /^Error: Cannot read '.*none\.csv': there is no such file\n$/);
    match((await on(["build", folder, ...options])).stderr, /^Error: Cannot read '.*': it is a folder\n$/);
  });
});

test("shardy build shows progress on stderr: lines, one overwritten line on a terminal, or nothing", async () => {
  await withFolder(async (folder) => {
    const clock = systemClock();
    // A second passes with each look at the clock.
    const hasty = { ...clock, monotonicMs: () => clock.monotonicMs() * 1e6 };
    const lines = Array.from({ length: 5000 }, (_, id) => `{"id":${id}}`).join("\n");
    const options = ["--current-url", join(folder, "_CURRENT"), "build", "--key", "id", "--shards", "2"];
    const plain = await shardy(options, { input: lines, clock: hasty });
    equal(plain.exitCode, 0, plain.stderr);
    match(
      plain.stderr,
      /^([\d,]+ rows, [\d,]+ rows\/s\n)+.*1 of 2 shards built\n.*2 of 2 shards built\npublishing\n$/s,
    );
    const onTerminal = await shardy(options, { input: lines, clock: hasty, isTerminal: true });
    const overwritten = onTerminal.stderr.replaceAll("\r\x1b[K", "|");
    match(overwritten, /^\|[\d,]+ rows, [^\n]*\|publishing\|$/);
    equal((await shardy([...options, "--quiet"], { input: lines, clock: hasty, isTerminal: true })).stderr, "");
  });
});

test("shardy build of 100,000 rows keeps them all", async () => {
  await withSeries(async (on, folder) => {
    const path = join(folder, "many.ndjson");
    const lines = Array.from({ length: 100_000 }, (_, id) => `{"id":${id},"text":"value of ${id}"}`);
    await writeFile(path, lines.join("\n"));
    const { exitCode, stdout, stderr } = await on(["build", path, "--key", "id", "--value", "text", "--shards", "8"]);
    equal(exitCode, 0, stderr);
    equal(JSON.parse(stdout).rows_written, 100_000);
    const wanted = Array.from({ length: 1000 }, (_, i) => String(i * 101));
    const found = await on(["multiget", "-", "--value-encoding", "utf8"], wanted.join("\n"));
    deepEqual(
      JSON.parse(found.stdout).results,
      wanted.map((key) =>
        Number(key) < 100_000 ? { key, found: true, value: `value of ${key}` } : { key, found: false }
      ),
    );
  });
});

test("shardy build --backend slatedb makes shards that get and verify read; wrong settings publish nothing", async () => {
  await withSeries(async (on, folder) => {
    const slatedb = ["--backend", "slatedb", "--slatedb-settings", '{"compression_codec":"Lz4","wal_enabled":true}'];
    const built = await on(["build", "--key", "id", "--shards", "2", "--quiet", ...slatedb], NDJSON);
    equal(built.exitCode, 0, built.stderr);
    equal(await valueOf(on, "2"), '{"id": 2, "name": "Grace \\u00e9", "n": 1.50}');
    equal(await valueOf(on, "4"), null);
    const verified = await on(["verify"]);
    equal(verified.exitCode, 0, verified.stdout + verified.stderr);
    const files = await readdir(join(folder, "series", "shards"), { recursive: true });
    ok(files.some((file) => /compacted\/.*\.sst$/.test(file)) && !files.some((file) => file.endsWith("shard.db")));
    const wrong: [string[], RegExp][] = [
      [["--backend", "slatedb", "--slatedb-settings", '{"default_ttl":1}'], /default_ttl/],
      [["--backend", "slatedb", "--page-size", "8192"], /--page-size is not for/],
      [["--slatedb-settings", "{}"], /needs --backend slatedb/],
      [["--backend", "rocksdb"], /sqlite.*slatedb/],
    ];
    for (const [options, message] of wrong) {
      const { exitCode, stderr } = await on(["build", "--key", "id", "--shards", "2", ...options], NDJSON);
      equal(exitCode, 2);
      match(stderr, message);
    }
  });
});
