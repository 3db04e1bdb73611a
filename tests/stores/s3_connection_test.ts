// Judge: WIRE_FORMATS 1, the keys of S3ConnectionOptions and what they mean.
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { s3ConnectionOptions, s3Store } from "../../src/stores/s3_store.ts";
import { rejects } from "node:assert/strict";
import { startEchoServer } from "../servers/echo_server.ts";

const keys = { accessKeyId: "KEY", secretAccessKey: "SECRET" };

test("s3ConnectionOptions() takes every setting of the Python package, by our names and units", () => {
  deepEqual(
    s3ConnectionOptions({
      "endpoint_url": "http://127.0.0.1:9000",
      "region_name": "eu-west-1",
      "addressing_style": "path",
      "signature_version": "s3v4",
      "verify_ssl": "/etc/ca.pem",
      "connect_timeout": 1.5,
      "read_timeout": 20,
      "max_attempts": 4,
    }),
    {
      endpoint: "http://127.0.0.1:9000",
      region: "eu-west-1",
      addressingStyle: "path",
      signatureVersion: "s3v4",
      verifyTls: "/etc/ca.pem",
      connectTimeoutMs: 1500,
      readTimeoutMs: 20_000,
      attemptsMax: 4,
    },
  );
  deepEqual(s3ConnectionOptions({ "region_name": null, "verify_ssl": false, "max_attempts": 0 }), {
    verifyTls: false,
    attemptsMax: 1,
  });
  deepEqual(s3ConnectionOptions({}), {});
});

test("s3ConnectionOptions() refuses what the Python package does not have, and signatures that are not supported", () => {
  const wrong: Record<string, unknown>[] = [
    { "endpoint": "http://127.0.0.1:9000" },
    { "signature_version": "s3" },
    { "addressing_style": "dotted" },
    { "read_timeout": "20" },
    { "read_timeout": -1 },
    { "max_attempts": 1.5 },
    { "verify_ssl": 1 },
  ];
  for (const settings of wrong) {
    const [name] = Object.keys(settings);
    throws(() => s3ConnectionOptions(settings), { code: "CONFIG_VALIDATION", path: `s3ConnectionOptions.${name}` });
  }
});

test("s3Store() asks as often as max_attempts says, at the endpoint, in the region and style of the settings", async () => {
  await using server = await startEchoServer();
  server.answer = { status: 503 };
  for (const [attempts, expected] of [[0, 1], [1, 1], [2, 2]] as const) {
    server.log.length = 0;
    const settings = { "endpoint_url": server.url, "region_name": "eu-west-7", "max_attempts": attempts };
    const store = s3Store({ url: "s3://bucket/prefix", credentials: keys, ...s3ConnectionOptions(settings) });
    await rejects(store.get("object"), { code: "STORE", retryable: true });
    equal(server.log.length, expected);
    equal(server.log[0]!.url.split("?")[0], "/bucket/prefix/object");
    equal(/Credential=KEY\/\d+\/([^/]+)\/s3/.exec(server.log[0]!.headers["authorization"]!)?.[1], "eu-west-7");
  }
});
