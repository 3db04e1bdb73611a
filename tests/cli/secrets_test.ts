// Judge: a search for sentinels in both outputs, while a server repeats in its answers what it was told.
import { ok } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Outputs } from "../secret_search.ts";
import { type EchoedAnswer, startEchoServer } from "../servers/echo_server.ts";
import { shardy, withFolder } from "./run_shardy.ts";

const ID = "AKIASENTINELSENTINEL";
const SECRET = "SENTINELsecret/0123456789+abcdefghijklmn";
const TOKEN = "SENTINELtoken//////////0123456789abcdefghijklmnopqrstuvwxyz==";
const PLACE = ["--current-url", "s3://bucket/prefix/_CURRENT"];
const DATABASE = "postgres://me:SENTINEL@127.0.0.1:1/db";

const ANSWERS: readonly EchoedAnswer[] = [{ status: 403 }, { status: 400 }, { status: 404 }];

/** What was typed, and in which environment. */
interface Typed {
  readonly args: string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs what must fail, and notes what it says. */
async function noteFailures(outputs: Outputs, typed: Readonly<Record<string, Typed>>): Promise<void> {
  for (const [name, { args, env = {} }] of Object.entries(typed)) {
    const { exitCode, ...texts } = await shardy(args, { input: '{"id":1,"v":"a"}', env });
    ok(exitCode > 0, name);
    ok(texts.stdout + texts.stderr !== "", name);
    for (const [output, text] of Object.entries(texts)) outputs.add(`shardy, ${name}, ${output}`, text);
  }
}

test("shardy: neither output tells credentials that were typed", async () => {
  const outputs = new Outputs();
  await using server = await startEchoServer();
  const settings = [
    ...["--s3-option", `access_key_id=${ID}`, "--s3-option", `secret_access_key=${SECRET}`],
    ...["--s3-option", `session_token=${TOKEN}`, "--s3-option", `endpoint_url=${server.url}`],
    ...["--s3-option", "max_attempts=1"],
  ];
  for (const answer of ANSWERS) {
    server.answer = answer;
    await noteFailures(outputs, {
      "a look-up": { args: [...settings, ...PLACE, "get", "1"] },
      "history": { args: [...settings, ...PLACE, "history"] },
      "building": { args: [...settings, ...PLACE, "build", "--key", "id", "--value", "v", "--shards", "2"] },
      "cleaning up": { args: [...settings, ...PLACE, "cleanup"] },
      "verifying": { args: [...settings, ...PLACE, "verify"] },
      "no command": { args: [...settings, ...PLACE, "look-up"] },
      "no such setting": { args: ["--s3-option", `secret=${SECRET}`, ...PLACE, "info"] },
      "half of the keys": { args: ["--s3-option", `secret_access_key=${SECRET}`, ...PLACE, "info"] },
      "a query": { args: ["--current-url", `${server.url}/x/_CURRENT?token=${TOKEN}`, "get", "1"] },
    });
  }
  ok(server.log.some(({ headers }) => headers["x-amz-security-token"] === TOKEN));
  outputs.requireClean();
});

test("shardy: neither output tells users and passwords in URLs", async () => {
  const outputs = new Outputs();
  const endpoint = "endpoint_url=http://SENTINEL:SENTINEL@127.0.0.1:1";
  const pointer = (url: string): Typed => ({ args: ["--current-url", `${url}/x/_CURRENT`, "get", "1"] });
  await noteFailures(outputs, {
    "a user": pointer("https://SENTINEL:SENTINEL@127.0.0.1:1"),
    "a user at S3": pointer("s3://SENTINEL:SENTINEL@bucket"),
    "another scheme": pointer("gs://SENTINEL:SENTINEL@bucket"),
    "a user at the endpoint": { args: ["--s3-option", endpoint, ...PLACE, "info"] },
    "a database": { args: ["--manifest-store", DATABASE, ...PLACE, "info"] },
    "no database": { args: ["--manifest-store", DATABASE.replace("postgres", "mysql"), ...PLACE, "info"] },
    "a damaged database": { args: ["--manifest-store", "postgres://me:SENTINEL@[wrong/db", ...PLACE, "info"] },
  });
  outputs.requireClean();
});

test("shardy: neither output tells what stands in credentials.toml, reader.toml and the environment", async () => {
  const outputs = new Outputs();
  await using server = await startEchoServer();
  await withFolder(async (folder) => {
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    const keys = `access_key_id = "${ID}"\nsecret_access_key = "${SECRET}"\nsession_token = "${TOKEN}"\n`;
    const good = await file("good.toml", `[default]\nendpoint_url = "${server.url}"\nmax_attempts = 1\n${keys}`);
    const reader = await file("reader.toml", `[manifest_store]\nbackend = "postgres"\ndsn = "${DATABASE}"\n`);
    const byVariable = await file("variable.toml", `[manifest_store]\nbackend = "postgres"\n`);
    const broken = {
      "no TOML": `[default]\nsecret_access_key = "${SECRET}`,
      "no quotes": `[default]\nsecret_access_key = ${SECRET}\n`,
      "a setting that is misspelt": `[default]\nsecret_acess_key = "${SECRET}"\n`,
      "a setting of another type": `[default]\nsecret_access_key = ["${SECRET}"]\n`,
      "half of the keys": `[default]\nsecret_access_key = "${SECRET}"\n`,
      "no profile": keys,
      "another profile": `[other]\n${keys}`,
    };
    for (const [name, text] of Object.entries(broken)) {
      const path = await file("broken.toml", text);
      await noteFailures(outputs, { [name]: { args: ["--credentials", path, ...PLACE, "get", "1"] } });
    }
    const environment = { "SHARDY_CREDENTIALS": good };
    await noteFailures(outputs, {
      "a file": { args: ["--credentials", good, ...PLACE, "get", "1"] },
      "a file by its variable": { args: [...PLACE, "history"], env: environment },
      "a database": { args: ["--config", reader, "--credentials", good, ...PLACE, "get", "1"] },
      "a database by its variable": {
        args: ["--config", byVariable, ...PLACE, "get", "1"],
        env: { ...environment, "SHARDY_MANIFEST_DSN": DATABASE },
      },
      "no database": {
        args: ["--config", byVariable, ...PLACE, "get", "1"],
        env: { ...environment, "SHARDY_MANIFEST_DSN": "SENTINEL" },
      },
    });
  });
  ok(server.log.some(({ headers }) => headers["authorization"]?.includes(ID)));
  outputs.requireClean();
});
