// Judge: a search for sentinels in all that comes out, while a server repeats in its answers what it was told.
import { equal, ok, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import {
  hashSharding,
  memoryStore,
  openSnapshot,
  type ShardyfusionEvent,
  snapshotSink,
  type Tracer,
  writeSnapshot,
} from "../mod.ts";
import { logEvents } from "../src/metrics/log.ts";
import { otelTracer } from "../src/metrics/otel.ts";
import { postgresManifestStore } from "../src/snapshots/postgres_manifest_store.ts";
import { awsCredentialChain, credentialsFromFile, s3OptionsFromFile } from "../src/stores/credential_sources.ts";
import { snapshotHandler } from "../src/serve/mod.ts";
import { httpStore } from "../src/stores/http_store.ts";
import { s3FetchStore } from "../src/stores/s3_fetch_store.ts";
import { s3Store, type S3StoreOptions } from "../src/stores/s3_store.ts";
import type { ObjectStore, ReadableStore } from "../src/stores/store.ts";
import { failureOf, Outputs, withConsole } from "./secret_search.ts";
import { startCountingProxy } from "./servers/counting_proxy.ts";
import { type EchoedAnswer, startEchoServer } from "./servers/echo_server.ts";

const ID = "AKIASENTINELSENTINEL";
const SECRET = "SENTINELsecret/0123456789+abcdefghijklmn";
const TOKEN = "SENTINELtoken//////////0123456789abcdefghijklmnopqrstuvwxyz==";
const credentials = { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: TOKEN };

const ANSWERS: readonly EchoedAnswer[] = [
  { status: 403 },
  { status: 400 },
  { status: 404 },
  { status: 500 },
  { status: 503 },
  { status: 200, page: (echo) => `<not-what-was-asked-for>${echo}` },
  { status: 401, page: (echo) => `<html>Not authorized: ${echo}</html>`, contentType: "text/html" },
  { status: 502, page: (echo) => `Bad gateway ${echo}`, contentType: "text/plain" },
];

/** Each request that a store knows, with what may make it fail. */
function requestsOf(store: ReadableStore & Partial<ObjectStore>): Record<string, () => Promise<unknown>> {
  return {
    get: async () => await (await store.get("a")).bytes(),
    getIfChanged: async () => await (await store.getIfChanged!("a", '"x"'))?.bytes(),
    getRanges: () => store.getRanges("a", [{ offset: 0, lengthBytes: 4 }]),
    ...(store.put === undefined ? {} : {
      put: () => store.put!("a", Uint8Array.of(1)),
      putIfAbsent: () => store.put!("a", Uint8Array.of(1), { precondition: { ifAbsent: true } as never }),
      list: async () => await Array.fromAsync(store.list!("")),
      listFolders: () => store.listFolders!(""),
      delete: () => store.delete!(["a"] as never),
      deletePrefix: () => store.deletePrefix!("a"),
      upload: async () => {
        await using upload = await store.upload!("a", { headBytes: 0 });
        await upload.finish(new Uint8Array());
      },
    }),
  };
}

type Credentials = Exclude<S3StoreOptions["credentials"], undefined>;

/** All stores that have secrets, at a server. */
function storesAt(endpoint: string, given: Credentials): Record<string, ReadableStore> {
  const place = { url: "s3://bucket/prefix", endpoint, attemptsMax: 1 };
  const byFetch = typeof given === "function" || "accessKeyId" in given ? given : credentials;
  return {
    s3Store: s3Store({ ...place, credentials: given }),
    s3FetchStore: s3FetchStore({ ...place, credentials: byFetch }),
    httpStore: httpStore({
      url: `${endpoint}/folder?X-Amz-Security-Token=${encodeURIComponent(TOKEN)}&sig=SENTINEL`,
      headers: { authorization: `Bearer ${TOKEN}`, "x-api-key": SECRET },
      attemptsMax: 1,
    }),
  };
}

async function withFiles(work: (files: { toml: string; ini: string }) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(`${tmpdir()}/shardyfusion-`);
  const files = { toml: `${folder}/credentials.toml`, ini: `${folder}/credentials` };
  try {
    const toml = [["access_key_id", ID], ["secret_access_key", SECRET], ["session_token", TOKEN]];
    writeFileSync(files.toml, `[default]\n${toml.map(([name, value]) => `${name} = "${value}"`).join("\n")}\n`);
    writeFileSync(files.ini, `[default]\n${toml.map(([name, value]) => `aws_${name} = ${value}`).join("\n")}\n`);
    await work(files);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const sources: Readonly<Record<string, (files: { toml: string; ini: string }) => Credentials>> = {
  "keys": () => credentials,
  "a provider": () => () => Promise.resolve(credentials),
  "a file": ({ toml }) => credentialsFromFile({ path: toml }),
  "a file of the AWS command line": ({ ini }) => ({ path: ini }),
};

for (const [source, given] of Object.entries(sources)) {
  test(`Stores: no error, rendering or line of the console tells what ${source} gave, whatever servers say`, async () => {
    const outputs = new Outputs();
    await using server = await startEchoServer();
    await withFiles((files) =>
      withConsole(outputs, async () => {
        for (const [kind, store] of Object.entries(storesAt(server.url, given(files)))) {
          outputs.add(kind, store);
          for (const answer of ANSWERS) {
            server.answer = answer;
            for (const [name, request] of Object.entries(requestsOf(store))) {
              const outcome = await request().catch((error) => error);
              // The bytes themselves are what was asked for.
              if (!(outcome instanceof Uint8Array)) outputs.add(`${kind}.${name} at ${answer.status}`, outcome);
            }
          }
          outputs.add(`${kind}, used`, store);
        }
      })
    );
    ok(server.log.some(({ headers }) => headers["authorization"]?.includes(ID)));
    ok(server.log.some(({ headers }) => headers["x-amz-security-token"] === TOKEN));
    outputs.requireClean();
  });
}

test("Stores: nobody is told credentials when there is no server, or a request is aborted", async () => {
  const outputs = new Outputs();
  for (const [kind, store] of Object.entries(storesAt("http://127.0.0.1:1", credentials))) {
    for (const [name, request] of Object.entries(requestsOf(store))) {
      outputs.add(`${kind}.${name} without a server`, await failureOf(request, `${kind}.${name}`));
    }
    const signal = AbortSignal.abort(new Error("enough"));
    outputs.add(`${kind} aborted`, await failureOf(() => store.get("a", { signal })));
  }
  outputs.requireClean();
});

test("Options: what is refused shows no credentials", async () => {
  const outputs = new Outputs();
  const url = "s3://bucket/prefix";
  const wrong: Record<string, () => unknown> = {
    "keys in the URL": () => s3Store({ url: `s3://${ID}:${SECRET.replaceAll("/", "%2F")}@bucket/prefix` }),
    "keys in the query": () => s3Store({ url: `${url}?X-Amz-Signature=SENTINEL&secret=SENTINEL` }),
    "keys in the endpoint": () => s3Store({ url, endpoint: `https://me:SENTINEL@host` }),
    "no URL as endpoint": () => s3Store({ url, endpoint: `me:SENTINEL@host` }),
    "half of the keys": () => s3Store({ url, credentials: { secretAccessKey: SECRET } as never }),
    "keys of another type": () => s3Store({ url, credentials: { ...credentials, accessKeyId: 5 } as never }),
    "keys as a string": () => s3Store({ url, credentials: `${ID}:${SECRET}` as never }),
    "keys as options": () => s3Store({ url, secretAccessKey: SECRET } as never),
    "keys in the URL, by fetch": () => s3FetchStore({ url: `s3://${ID}:x@bucket/prefix`, credentials }),
    "keys as a string, by fetch": () => s3FetchStore({ url, credentials: SECRET as never }),
    "keys in the endpoint, by fetch": () => s3FetchStore({ url, credentials, endpoint: "https://me:SENTINEL@host" }),
    "user in a URL of HTTP": () => httpStore("https://SENTINEL:SENTINEL@host/folder"),
    "no URL of HTTP": () => httpStore(`https//host/?token=${TOKEN}`),
    "credentials as store": () => openSnapshot({ store: credentials as never }),
    "password in a wrong URL of a database": () => postgresManifestStore({ connection: 5, password: SECRET } as never),
  };
  for (const [name, work] of Object.entries(wrong)) outputs.add(name, await failureOf(work, name));
  const badProvider = s3Store({
    url,
    endpoint: "http://127.0.0.1:1",
    credentials: () => Promise.resolve(SECRET as never),
  });
  outputs.add("a provider of something else", await failureOf(() => badProvider.get("a")));
  outputs.requireClean();
});

test("Credentials: providers show nothing of what they know, nor do their failures", async () => {
  const outputs = new Outputs();
  await withFiles(async ({ toml }) => {
    const provider = credentialsFromFile({ path: toml });
    equal((await provider()).secretAccessKey, SECRET);
    outputs.add("provider", provider);
    outputs.add("chain", awsCredentialChain());
    for (const text of [`access_key_id = ${SECRET}`, `[default]\nsecret_access_key = "${SECRET}"`, `"${SECRET}`]) {
      writeFileSync(toml, text);
      outputs.add("broken file", await failureOf(credentialsFromFile({ path: toml })));
      outputs.add("broken file", await failureOf(() => s3OptionsFromFile({ path: toml })));
    }
  });
  outputs.requireClean();
});

test("Writers, readers: events, logs, spans and renderings of them tell no credentials", async () => {
  const outputs = new Outputs();
  await using server = await startEchoServer();
  const lines: string[] = [];
  const log = logEvents((line) => lines.push(line));
  const onEvent = (event: ShardyfusionEvent): void => {
    outputs.add(`event ${event.name}`, event);
    log(event);
  };
  const tracer: Tracer = (span, work) => {
    outputs.add("span", span);
    return otelTracer()(
      span,
      async (note) => await work((attributes) => (outputs.add("span", attributes), note(attributes))),
    );
  };
  const sharding = hashSharding({ shards: 2 });
  const row = { sharding, key: (id: number) => id, value: (id: number) => `${id}`, onEvent, tracer };
  await withConsole(outputs, async () => {
    for (const answer of ANSWERS) {
      server.answer = answer;
      for (const [kind, store] of Object.entries(storesAt(server.url, credentials))) {
        const opened = await failureOf(() => openSnapshot({ store, onEvent, tracer }));
        outputs.add(`openSnapshot() on ${kind}`, opened);
        if (kind !== "s3Store") continue;
        const options = { ...row, store: store as ObjectStore, requestRetry: { attemptsMax: 2, initialBackoffMs: 1 } };
        outputs.add(`writeSnapshot() on ${kind}`, await failureOf(() => writeSnapshot([1, 2, 3], options)));
        const sink = snapshotSink(options);
        outputs.add("snapshotSink()", sink);
        outputs.add("snapshotSink(), failed", await failureOf(() => ReadableStream.from([1, 2]).pipeTo(sink)));
        outputs.add("snapshotSink(), after", sink);
      }
    }
  });
  ok(lines.length > 0);
  outputs.add("log", lines.join("\n"));
  outputs.requireClean();
});

test("Writers, readers: nothing that is stored tells credentials, nor does a reader that is looked at", async () => {
  const outputs = new Outputs();
  const objects = new Map<string, Uint8Array>();
  const memory = memoryStore();
  await writeSnapshot([1, 2, 3], {
    store: memory,
    sharding: hashSharding({ shards: 2 }),
    key: (id) => id,
    value: (id) => `${id}`,
  });
  for (const { key } of (await Array.fromAsync(memory.list(""))).flat()) {
    objects.set(key, await (await memory.get(key)).bytes());
  }
  await using server = await startCountingProxy({ objects });
  const store = httpStore({ url: `${server.url}/?token=${TOKEN}`, headers: { authorization: `Bearer ${TOKEN}` } });
  await using reader = await openSnapshot({ store });
  equal(new TextDecoder().decode((await reader.get(2))!), "2");
  ok(server.log.every(({ headers }) => headers["authorization"] === `Bearer ${TOKEN}`));
  outputs.add("reader", reader);
  outputs.add("info", [reader.info, reader.shards, reader.stats(), reader.health()]);
  outputs.add("handle", reader.borrow(1));
  outputs.requireClean();
});

test("postgresManifestStore(): no error or rendering tells the password", async () => {
  const outputs = new Outputs();
  const connections = [
    "postgres://me:SENTINEL@127.0.0.1:1/db",
    { host: "127.0.0.1", port: 1, user: "me", password: "SENTINEL" },
    "postgres://me:SENTINEL@[wrong/db",
    "postgres://127.0.0.1:1/db?user=me&password=SENTINEL",
    "host=127.0.0.1 user=me password=SENTINEL",
    "SENTINEL",
  ];
  for (const connection of connections) {
    const failed = await failureOf(async () => {
      await using store = postgresManifestStore({ connection, attemptsMax: 1 });
      outputs.add("postgresManifestStore()", store);
      await store.loadCurrent({});
    });
    outputs.add("postgresManifestStore(), failed", failed);
  }
  outputs.requireClean();
});

test("snapshotHandler(): no answer or rendering tells the token, or what other requests brought", async () => {
  const outputs = new Outputs();
  const store = memoryStore();
  await writeSnapshot([1], { store, sharding: hashSharding({ shards: 1 }), key: (id) => id, value: (id) => `${id}` });
  await using reader = await openSnapshot({ store });
  await using handler = snapshotHandler(reader, { token: TOKEN.replaceAll("=", "") });
  outputs.add("handler", handler);
  const paths = ["/v1/get/1", "/v1/get/x", "/v1/openapi.json", "/v1/health", "/v1/info", "/nowhere", "/metrics"];
  for (const token of [undefined, `${TOKEN}x`, "SENTINELother", TOKEN.replaceAll("=", "")]) {
    for (const path of paths) {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}`, "x-api-key": SECRET };
      const answer = await handler(new Request(`http://localhost${path}?token=SENTINEL`, { headers }));
      outputs.add(
        `answer at ${path}`,
        `${answer.status} ${JSON.stringify([...answer.headers])} ${await answer.text()}`,
      );
    }
  }
  outputs.requireClean();
});

test("Sentinels are found where they are: the search of this file works", () => {
  const hidden = Object.defineProperty({}, "hidden", { value: new Error(`GET ?token=${TOKEN}`), enumerable: false });
  const telling = [
    SECRET,
    { cause: hidden },
    { a: [new Map([["k", SECRET]])] },
    new Error("a", { cause: credentials }),
  ];
  for (const value of telling) {
    const outputs = new Outputs();
    outputs.add("a value", value);
    throws(() => outputs.requireClean(), /a value tells a secret/);
  }
  throws(() => new Outputs().requireClean());
});
