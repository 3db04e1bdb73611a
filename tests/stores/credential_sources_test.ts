// Judge: what requests are signed with, as a server sees it.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  awsCredentialChain,
  credentialsFromEnvironment,
  credentialsFromFile,
  looseFileWarning,
  s3OptionsFromFile,
} from "../../src/stores/credential_sources.ts";
import { s3FetchStore } from "../../src/stores/s3_fetch_store.ts";
import { type CredentialProvider, s3Store, type S3StoreOptions } from "../../src/stores/s3_store.ts";
import { type EchoServer, startEchoServer } from "../servers/echo_server.ts";

const SECRET = "the-secret-that-nobody-sees";

/** Key and session token that the last request was signed with. */
function signedWith(server: EchoServer): readonly [key: string | undefined, token: string | undefined] {
  const { headers } = server.log.at(-1)!;
  return [/Credential=([^/]+)\//.exec(headers["authorization"] ?? "")?.[1], headers["x-amz-security-token"]];
}

/** Asks once through each of the two stores, and checks that both sign with the same. */
async function requestWith(
  credentials: Exclude<S3StoreOptions["credentials"], undefined>,
): Promise<ReturnType<typeof signedWith>> {
  await using server = await startEchoServer();
  const place = { url: "s3://bucket/prefix", endpoint: server.url, attemptsMax: 1 };
  await rejects(s3Store({ ...place, credentials }).get("object"), { code: "STORE" });
  equal(server.log.length, 1);
  const signed = signedWith(server);
  if (typeof credentials === "function") {
    await rejects(s3FetchStore({ ...place, credentials }).get("object"), { code: "STORE" });
    deepEqual(signedWith(server), signed);
  }
  return signed;
}

/** Runs `work` with a file of this name and content. */
async function withFile(name: string, text: string, work: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(`${tmpdir()}/shardyfusion-`);
  try {
    writeFileSync(`${folder}/${name}`, text, { mode: 0o600 });
    await work(`${folder}/${name}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs `work` with these variables and none of the others that credentials are looked for in. */
async function withEnvironment(variables: Readonly<Record<string, string>>, work: () => Promise<void>): Promise<void> {
  const before = { ...process.env };
  for (const name of Object.keys(before)) if (/^(?:AWS|S3)_/.test(name)) delete process.env[name];
  Object.assign(process.env, variables);
  try {
    await work();
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

test("s3Store(): keys, with and without a session token", async () => {
  deepEqual(await requestWith({ accessKeyId: "STATIC", secretAccessKey: SECRET }), ["STATIC", undefined]);
  const withToken = { accessKeyId: "STATIC", secretAccessKey: SECRET, sessionToken: "T" };
  deepEqual(await requestWith(withToken), ["STATIC", "T"]);
});

test("credentialsFromEnvironment() takes S3_… before AWS_…, each for itself, and the first that is not empty", async () => {
  const aws = { AWS_ACCESS_KEY_ID: "AWS", AWS_SECRET_ACCESS_KEY: SECRET, AWS_SESSION_TOKEN: "T" };
  await withEnvironment(aws, async () => deepEqual(await requestWith(credentialsFromEnvironment()), ["AWS", "T"]));
  const both = { ...aws, S3_ACCESS_KEY_ID: "S3", S3_SECRET_ACCESS_KEY: "", S3_SESSION_TOKEN: "U" };
  await withEnvironment(both, async () => {
    deepEqual(await requestWith(credentialsFromEnvironment()), ["S3", "U"]);
    equal((await credentialsFromEnvironment()()).secretAccessKey, SECRET);
    // The store looks there by itself.
    await using server = await startEchoServer();
    await rejects(s3Store({ url: "s3://bucket/prefix", endpoint: server.url, attemptsMax: 1 }).get("object"));
    deepEqual(signedWith(server), ["S3", "U"]);
  });
  await withEnvironment({ AWS_ACCESS_KEY_ID: "AWS" }, async () => {
    await rejects(credentialsFromEnvironment()(), { code: "CONFIG_VALIDATION" });
  });
  const given = credentialsFromEnvironment({ AWS_ACCESS_KEY_ID: "GIVEN", AWS_SECRET_ACCESS_KEY: SECRET });
  deepEqual(await requestWith(given), ["GIVEN", undefined]);
});

const TOML = `
[default]
access_key_id = "DEFAULT"
secret_access_key = "${SECRET}"

[staging]
endpoint_url = "https://minio.example.org:9000"
region = "eu-central-1"
access_key_id = "STAGING"
secret_access_key = "${SECRET}"
session_token = "T"
addressing_style = "virtual"
signature_version = "s3v4"
verify_ssl = false
connect_timeout = 2
read_timeout = 2.5
max_attempts = 0

[place]
endpoint_url = "https://minio.example.org"

[half]
access_key_id = "HALF"

[odd]
access_key_id = 5
secret_access_key = "${SECRET}"

[typo]
secret_acess_key = "${SECRET}"

[misplaced]
max_attempts = "${SECRET}"

[empty]
access_key_id = ""
secret_access_key = ""
endpoint_url = ""
`;

test("credentialsFromFile() takes a profile of a file of TOML or JSON", async () => {
  await withFile("credentials.toml", TOML, async (path) => {
    deepEqual(await requestWith(credentialsFromFile({ path })), ["DEFAULT", undefined]);
    deepEqual(await requestWith(credentialsFromFile({ path: pathToFileURL(path), profile: "staging" })), [
      "STAGING",
      "T",
    ]);
  });
  const json = JSON.stringify({
    default: { "access_key_id": "JSON", "secret_access_key": SECRET, "session_token": "" },
  });
  for (const [text, key] of [[json, "JSON"], [TOML, "DEFAULT"]]) {
    // Secrets are often mounted as files whose names have no ending.
    await withFile("credentials", text!, async (path) => {
      deepEqual(await requestWith(credentialsFromFile({ path })), [key, undefined]);
    });
  }
});

test("credentialsFromFile() says which file and profile are wrong, and nothing of what is in them", async () => {
  const refused = async (provider: CredentialProvider, expected: RegExp) =>
    await rejects(provider(), (error: Error & { readonly code?: string }) => {
      equal(error.code, "CONFIG_VALIDATION");
      match(error.message, expected);
      ok(!`${error.stack}${JSON.stringify(error.cause)}`.includes(SECRET));
      return true;
    });
  await withFile("credentials.toml", TOML, async (path) => {
    for (const profile of ["half", "odd", "place", "typo"]) {
      await refused(credentialsFromFile({ path, profile }), new RegExp(`"${path}" as profile "${profile}"`));
    }
    await refused(credentialsFromFile({ path, profile: "nobody" }), /must have a profile "nobody"/);
    await refused(credentialsFromFile({ path, profile: "toString" }), /must have a profile "toString"/);
    await refused(credentialsFromFile({ path: `${path}.gone` }), /must be a file that can be read/);
  });
  for (const [begin, language] of [["[", "TOML"], [" {", "JSON"]]) {
    await withFile("broken", `${begin}default\nsecret_access_key = "${SECRET}`, async (path) => {
      await refused(credentialsFromFile({ path }), new RegExp(`as it must be ${language}$`));
    });
  }
});

test("credentialsFromFile() reads the file again when it is told to", async () => {
  const text = (key: string) => JSON.stringify({ default: { "access_key_id": key, "secret_access_key": SECRET } });
  await withFile("credentials.json", text("OLD"), async (path) => {
    await using server = await startEchoServer();
    const place = { url: "s3://bucket/prefix", endpoint: server.url, attemptsMax: 1 };
    const forEver = s3Store({ ...place, credentials: credentialsFromFile({ path }) });
    const renewed = s3Store({ ...place, credentials: credentialsFromFile({ path, maxAgeMs: 1 }) });
    const byFetch = s3FetchStore({ ...place, credentials: credentialsFromFile({ path, maxAgeMs: 1 }) });
    for (const key of ["OLD", "NEW"]) {
      writeFileSync(path, text(key));
      for (const [store, expected] of [[forEver, "OLD"], [renewed, key], [byFetch, key]] as const) {
        await rejects(store.get("object"));
        equal(signedWith(server)[0], expected);
      }
    }
  });
});

test("s3OptionsFromFile() takes all that a profile says, with the defaults of the command line", async () => {
  await withFile("credentials.toml", TOML, async (path) => {
    deepEqual(await s3OptionsFromFile({ path, profile: "staging" }), {
      endpoint: "https://minio.example.org:9000",
      region: "eu-central-1",
      addressingStyle: "virtual",
      signatureVersion: "s3v4",
      verifyTls: false,
      connectTimeoutMs: 2000,
      readTimeoutMs: 2500,
      attemptsMax: 1,
      credentials: { accessKeyId: "STAGING", secretAccessKey: SECRET, sessionToken: "T" },
    });
    deepEqual(await s3OptionsFromFile({ path, profile: "place" }), {
      endpoint: "https://minio.example.org",
      connectTimeoutMs: 10_000,
      readTimeoutMs: 30_000,
      attemptsMax: 3,
    });
    await rejects(s3OptionsFromFile({ path, profile: "nobody" }), /must have a profile "nobody": it has "default", /);
    const { credentials, endpoint } = await s3OptionsFromFile({ path, profile: "empty" });
    deepEqual([credentials, endpoint], [undefined, undefined]);
    for (const profile of ["half", "odd", "typo", "misplaced", "nobody"]) {
      await rejects(s3OptionsFromFile({ path, profile }), (error: Error & { readonly code?: string }) => {
        ok(!`${error.stack}`.includes(SECRET));
        return error.code === "CONFIG_VALIDATION";
      });
    }
    const store = s3Store({ url: "s3://bucket/prefix", ...await s3OptionsFromFile({ path, profile: "staging" }) });
    equal(store.url, "s3://bucket/prefix");
  });
});

test("looseFileWarning() warns of files that others may read or write", async (t) => {
  if (process.platform === "win32") {
    console.log("LEFT OUT: files have no permission bits here");
    return t.skip("files have no permission bits here");
  }
  await withFile("credentials.toml", TOML, async (path) => {
    for (const [mode, bits] of [[0o600, null], [0o400, null], [0o640, "0640"], [0o604, "0604"], [0o620, "0620"]]) {
      chmodSync(path, mode as number);
      const warning = await looseFileWarning(path);
      if (bits === null) equal(warning, null);
      else equal(warning, `Others may use the credentials in "${path}" as its mode is ${bits}: run chmod 600 on it`);
    }
    equal(await looseFileWarning(`${path}.gone`), null);
  });
});

test("s3Store() and awsCredentialChain() take a profile of the files of the AWS command line", async () => {
  const keys = (id: string) => `aws_access_key_id = ${id}\naws_secret_access_key = ${SECRET}\n`;
  await withFile("credentials", `[default]\n${keys("INI")}[other]\n${keys("OTHER")}`, async (path) => {
    deepEqual(await requestWith({ path }), ["INI", undefined]);
    deepEqual(await requestWith({ path, profile: "other" }), ["OTHER", undefined]);
    const variables = {
      AWS_SHARED_CREDENTIALS_FILE: path,
      AWS_CONFIG_FILE: `${path}.gone`,
      AWS_EC2_METADATA_DISABLED: "true",
    };
    await withEnvironment(variables, async () => {
      deepEqual(await requestWith(awsCredentialChain()), ["INI", undefined]);
      deepEqual(await requestWith(awsCredentialChain({ profile: "other" })), ["OTHER", undefined]);
    });
  });
});

test("awsCredentialChain(): the role of a container, which s3Store also finds by itself", async () => {
  const answer = { AccessKeyId: "ROLE", SecretAccessKey: SECRET, Token: "T", Expiration: "2099-01-01T00:00:00Z" };
  let asked = 0;
  const container = createServer((request, response) => {
    asked++;
    response.writeHead(request.headers.authorization === "a token" ? 200 : 401, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => container.listen(0, "127.0.0.1", resolve));
  const variables = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${(container.address() as AddressInfo).port}/role`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: "a token",
    AWS_SHARED_CREDENTIALS_FILE: "/nowhere",
    AWS_CONFIG_FILE: "/nowhere",
  };
  try {
    await withEnvironment(variables, async () => {
      const chain = awsCredentialChain();
      deepEqual(await requestWith(chain), ["ROLE", "T"]);
      equal(asked, 1);
      await using server = await startEchoServer();
      await rejects(s3Store({ url: "s3://bucket/prefix", endpoint: server.url, attemptsMax: 1 }).get("object"));
      deepEqual(signedWith(server), ["ROLE", "T"]);
    });
  } finally {
    container.closeAllConnections();
    container.close();
  }
});
