// The command line on a real S3 server.
import { equal, match } from "node:assert/strict";
import { test } from "node:test";
import { findMinio, startMinio } from "../servers/minio.ts";
import { shardy } from "./run_shardy.ts";

test("shardy builds to S3 and reads from it, with the server given by --s3-option", async (t) => {
  if (findMinio() === null) {
    console.log("left out: there is no minio");
    return t.skip("there is no minio");
  }
  await using minio = await startMinio("cli-tests");
  const { accessKeyId, secretAccessKey } = minio.credentials;
  const settings = [
    `endpoint_url=${minio.endpoint}`,
    "region_name=us-east-1",
    "addressing_style=path",
    `access_key_id=${accessKeyId}`,
    `secret_access_key=${secretAccessKey}`,
  ];
  const options = ["--current-url", "s3://cli-tests/a/series/_CURRENT", ...settings.flatMap((s) => ["--s3-option", s])];
  const input = Array.from({ length: 1000 }, (_, id) => `{"id":${id},"v":"value ${id}"}`).join("\n");
  const built = await shardy([...options, "build", "--key", "id", "--value", "v", "--shards", "3", "--quiet"], {
    input,
  });
  equal(built.exitCode, 0, built.stderr);
  match(JSON.parse(built.stdout).manifest_ref, /^s3:\/\/cli-tests\/a\/series\/manifests\//);

  const got = await shardy([...options, "--output-format", "text", "get", "999", "--value-encoding", "utf8"]);
  equal(got.stdout, "999=value 999\n");
  const { manifests } = JSON.parse((await shardy([...options, "history"])).stdout);
  equal(manifests.length, 1);

  const elsewhere = options.map((option) => option.replace("/a/series/", "/b/"));
  const missing = await shardy([...elsewhere, "get", "1"]);
  equal(missing.exitCode, 1);
  match(missing.stderr, /^Error: Failed to initialise reader: /);
  const denied = await shardy([...options, "--s3-option", "secret_access_key=wrong-secret", "get", "1"]);
  equal(denied.exitCode, 1);
  match(denied.stderr, /^Error: Failed to initialise reader: /);
  equal(denied.stderr.includes("wrong-secret"), false);
});

test("shardy refuses S3 settings that it would have to ignore", async () => {
  const options = ["--current-url", "s3://bucket/prefix/_CURRENT"];
  for (const setting of ["signature_version=s3", "read_timeout=soon", "access_key_id=a", "nope=1"]) {
    const { exitCode, stderr } = await shardy([...options, "--s3-option", setting, "info"]);
    equal(exitCode, 2, stderr);
  }
  const { exitCode, stderr } = await shardy(["--current-url", "s3://bucket/_CURRENT", "info"]);
  equal(exitCode, 1);
  match(stderr, /^Error: Cannot use option "s3Store\.url"/);
});
