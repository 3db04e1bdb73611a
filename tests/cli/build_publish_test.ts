// `shardy build`: options about threads, failures and other writers; judged by what is published then, and by messages.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Row } from "../../src/cli/row_shape.ts";
import { RowSample } from "../../src/cli/row_sample.ts";
import { type Outcome, shardy, withFolder } from "./run_shardy.ts";

type On = (args: string, input?: string) => Promise<Outcome>;

async function withSeries(use: (on: On) => Promise<void>): Promise<void> {
  await withFolder((folder) =>
    use((args, input = "") => {
      return shardy(["--current-url", join(folder, "series", "_CURRENT"), ...args.split(" ")], { input });
    })
  );
}

const lines = (count: number, value = "v") =>
  Array.from({ length: count }, (_, id) => `{"id":${id},"name":"${value} ${id}"}`).join("\n");
const BUILD = "build --key id --shards 4 --quiet";

function succeeded({ exitCode, stdout, stderr }: Outcome): Record<string, unknown> {
  equal(exitCode, 0, stderr);
  equal(stderr, "");
  return JSON.parse(stdout);
}

test("shardy build with threads, retries, limits and checks publishes the same as without", async () => {
  await withSeries(async (on) => {
    const plain = succeeded(await on(BUILD, lines(1000)));
    const all = "--workers 2 --retries 2 --request-attempts 3 --request-timeout 60 --upload-bytes-per-second 1e9 " +
      "--fence run --on-conflict replace --preconditions assume --max-drift 0.1 --sample 100 --verify";
    const built = succeeded(await on(`${BUILD} ${all}`, lines(1000)));
    deepEqual([built["bytes"], built["rows_written"]], [plain["bytes"], plain["rows_written"]]);
    const info = succeeded(await on("info"));
    equal(info["run_id"], built["run_id"]);
    equal(succeeded(await on("verify"))["is_sound"], true);
  });
});

test("shardy build --reuse uploads only what has changed", async () => {
  await withSeries(async (on) => {
    succeeded(await on(BUILD, lines(1000)));
    for (const mode of ["copy", "reference"]) {
      succeeded(await on(`${BUILD} --reuse ${mode} --verify`, lines(1000)));
      equal(succeeded(await on("verify"))["row_count"], 1000);
    }
    const { shards } = succeeded(await on("shards")) as { shards: { db_url: string }[] };
    const { run_id: runId } = succeeded(await on("info"));
    ok(shards.every(({ db_url: url }) => !url.includes(`run_id=${runId}`)), "the last one refers to the one before");
  });
});

test("shardy build --max-drift keeps a snapshot from being published that lost its rows", async () => {
  await withSeries(async (on) => {
    const first = succeeded(await on(`${BUILD} --max-drift 0.2`, lines(100)));
    const refused = await on(`${BUILD} --max-drift 0.2`, lines(79));
    equal(refused.exitCode, 1);
    match(refused.stderr, /it has 79 rows and the one before 100/);
    equal(succeeded(await on("info"))["run_id"], first["run_id"]);
    succeeded(await on(`${BUILD} --max-drift 0.2`, lines(80)));
  });
});

test("shardy build --sample goes by the last row of each key, in all formats", async () => {
  await withSeries(async (on) => {
    const twice = `${lines(300, "old")}\n${lines(300, "new")}`;
    succeeded(await on(`${BUILD} --sample 50 --value name`, twice));
    const csv = `id,name\n${Array.from({ length: 50 }, (_, id) => `${id},name ${id}`).join("\n")}\n`;
    succeeded(await on(`${BUILD} --format csv --sample 1000`, csv));
    succeeded(await on(`${BUILD} --format csv --key-encoding u64be --sample 10`, csv));
  });
});

test("RowSample has as many rows as it is to have, from all over the input, and the last of each key", async () => {
  for (const [rows, rowsMax] of [[10_000, 100], [100, 100], [5, 100], [1000, 1]] as const) {
    const sample = new RowSample(rowsMax);
    const source = new ReadableStream<Row[]>({
      start(controller) {
        for (const value of ["first", "last"]) {
          for (let key = 0; key < rows; key++) controller.enqueue([{ key, value, columns: {} }]);
        }
        controller.close();
      },
    });
    let passed = 0;
    for await (const group of source.pipeThrough(sample.watcher())) passed += group.length;
    equal(passed, 2 * rows);
    const chosen = [...sample];
    equal(chosen.length, Math.min(rows, rowsMax));
    ok(chosen.every(({ value }) => value === "last"));
    equal(new Set(chosen.map(({ key }) => key)).size, chosen.length);
    if (rows < 10_000) continue;
    const halves = chosen.filter(({ key }) => Number(key) < rows / 2).length;
    ok(halves > 25 && halves < 75, `${halves} of 100 in the first half`);
  }
});

test("shardy rollback and cleanup take --preconditions, too", async () => {
  await withSeries(async (on) => {
    for (const name of ["old", "new"]) succeeded(await on(`${BUILD} --run-id ${name}`, lines(10)));
    equal((await on("rollback --run-id old --preconditions warn")).exitCode, 0);
    equal(succeeded(await on("info"))["run_id"], "old");
    succeeded(await on("cleanup --keep-last 1 --preconditions assume"));
    for (const command of ["rollback --offset 0", "cleanup"]) {
      const { exitCode, stderr } = await on(`${command} --preconditions no`);
      equal(exitCode, 2);
      match(stderr, /'no' is not one of/);
    }
  });
});

test("shardy build refuses wrong values of these options", async () => {
  await withSeries(async (on) => {
    const wrong: [args: string, message: RegExp][] = [
      ["--workers many", /Invalid value for '--workers'/],
      ["--retries -1", /--retries must be >= 0/],
      ["--request-attempts 0", /--request-attempts must be >= 1/],
      ["--request-timeout 0", /timeoutMs/],
      ["--upload-bytes-per-second 0", /uploadBytesPerSecond/],
      ["--fence always", /'always' is not one of 'publish', 'run'/],
      ["--on-conflict win", /'win' is not one of 'fail', 'replace'/],
      ["--preconditions no", /'no' is not one of 'require', 'warn', 'assume'/],
      ["--reuse all", /'all' is not one of 'copy', 'reference'/],
      ["--max-drift much", /Invalid value for '--max-drift'/],
      ["--sample 0", /--sample must be >= 1/],
    ];
    for (const [args, message] of wrong) {
      const { exitCode, stderr } = await on(`${BUILD} ${args}`, lines(1));
      equal(exitCode, 2, args);
      match(stderr, message);
    }
  });
});
