// A job on a real S3 server, by the commands, with SlateDB's databases as shards and the job in a variable.
import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { shardy } from "../cli/run_shardy.ts";
import { findMinio, startMinio } from "../servers/minio.ts";
import { arrowStream } from "./arrow_tables.ts";

for (const backend of ["sqlite", "slatedb"]) {
  test(`shardy plan, worker and publish on S3, with ${backend}`, async (t) => {
    if (findMinio() === null) {
      console.log("left out: there is no minio");
      return t.skip("there is no minio");
    }
    await using minio = await startMinio("engine-tests");
    const { accessKeyId, secretAccessKey } = minio.credentials;
    const settings = [
      ...[`endpoint_url=${minio.endpoint}`, "region_name=us-east-1", "addressing_style=path"],
      ...[`access_key_id=${accessKeyId}`, `secret_access_key=${secretAccessKey}`],
    ];
    const options = settings.flatMap((setting) => ["--s3-option", setting]);
    const place = ["--current-url", "s3://engine-tests/a/_CURRENT"];
    const planned = await shardy([
      ...[...options, ...place, "plan", "--key", "name", "--key-encoding", "utf8", "--value", "json:n"],
      ...["--shards", "2", "--backend", backend],
    ]);
    equal(planned.exitCode, 0, planned.stderr);
    equal(planned.stdout.includes(secretAccessKey), false);
    const job = { env: { "SHARDY_JOB": planned.stdout } };
    const keys = Array.from({ length: 500 }, (_, row) => `key ${row}`);
    const input = arrowStream({ name: keys, n: keys.map((_, row) => BigInt(row)) });

    // Rows that nobody has routed; two attempts, neither of which is told to the publisher.
    for (const attempt of ["0", "1"]) {
      const args = [...options, "worker", "build", "--attempt", attempt, "--task-attempt-id", "7", "--quiet"];
      const { exitCode, stdout, stderr } = await shardy(args, { ...job, input });
      deepEqual([exitCode, stderr, stdout.trimEnd().split("\n").length], [0, "", 2]);
    }
    const again = await shardy([...options, "worker", "build"], { ...job, input });
    equal(again.exitCode, 6, again.stderr);
    const short = await shardy([...options, "publish", "--rows", "501"], job);
    equal(short.exitCode, 5);
    match(short.stderr, /have 500 rows together, and 501 were given/);
    const published = await shardy([...options, "publish", "--rows", "500", "--verify"], job);
    equal(published.exitCode, 0, published.stderr);
    const got = await shardy([
      ...[...options, ...place, "--output-format", "text", "get", "key 77", "--value-encoding", "utf8"],
    ]);
    equal(got.stdout, 'key 77={"n":77}\n', got.stderr);
    const { stdout, exitCode } = await shardy([...options, ...place, "cleanup", "--dry-run"]);
    deepEqual([exitCode, JSON.parse(stdout).total_prefixes_removed], [0, 0], "nothing is left");
  });
}

test("shardy plan, worker and publish on S3, with vectors by hyperplanes", { timeout: 60_000 }, async (t) => {
  if (findMinio() === null) {
    console.log("left out: there is no minio");
    return t.skip("there is no minio");
  }
  await using minio = await startMinio("engine-vectors");
  const { accessKeyId, secretAccessKey } = minio.credentials;
  const options = [
    ...[`endpoint_url=${minio.endpoint}`, "region_name=us-east-1", "addressing_style=path"],
    ...[`access_key_id=${accessKeyId}`, `secret_access_key=${secretAccessKey}`],
  ].flatMap((setting) => ["--s3-option", setting]);
  const place = ["--current-url", "s3://engine-vectors/a/_CURRENT"];
  const planned = await shardy([
    ...[...options, ...place, "plan", "--key", "id", "--key-encoding", "u64be", "--vector", "vector"],
    ...["--vector-dim", "2", "--vector-metric", "l2", "--sharding", "lsh", "--shards", "3", "--probes", "3"],
  ]);
  equal(planned.exitCode, 0, planned.stderr);
  const job = { env: { "SHARDY_JOB": planned.stdout } };
  const ids = Array.from({ length: 300 }, (_, row) => BigInt(row));
  const input = arrowStream({ id: ids, vector: ids.map((id) => [Math.sin(Number(id)), Number(id) / 100 - 1]) });
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const stdoutBytes = (piece: Uint8Array): Promise<void> => Promise.resolve(void pieces.push(new Uint8Array(piece)));
  const route = await shardy([...options, "worker", "route", "--task", "0"], { ...job, input, stdoutBytes });
  equal(route.exitCode, 0, route.stderr);
  const routed = new Uint8Array(await new Blob(pieces).arrayBuffer());
  const built = await shardy([...options, "worker", "build", "--quiet"], { ...job, input: routed });
  equal(built.exitCode, 0, built.stderr);
  const published = await shardy([...options, "publish", "--verify"], job);
  equal(published.exitCode, 0, published.stderr);
  const found = await shardy([...options, ...place, "search", "--top-k", "1", "--", `${Math.sin(44)},-0.56`]);
  equal(JSON.parse(found.stdout).results[0].id, 44, found.stderr);
});

test("shardy worker says which version is which, and refuses what is no job", async () => {
  const env = (text: string) => ({ env: { "SHARDY_JOB": text } });
  const old = await shardy(["worker", "build"], env('{"format": 1, "packageVersion": "0.0.1"}'));
  equal(old.exitCode, 2);
  match(old.stderr, /SHARDY_JOB as it was planned by version 0\.0\.1 .* and this worker is version \d/);
  equal((await shardy(["worker", "build"], env("{"))).exitCode, 2);
  equal((await shardy(["worker", "build"])).exitCode, 2);
  match((await shardy(["worker", "sort"])).stderr, /STAGE must be route, build or values/);
  const missing = await shardy(["worker", "build", "--job", "no-such-job.json"]);
  match(missing.stderr, /^Error: Cannot read 'no-such-job.json'/);
});
