// Against a real server. Judges: plain SQL, rows laid down as the Python package lays them, a proxy that breaks commits.
import { deepEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { after, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { hashSharding } from "../../src/routing/sharding.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { history, rollBack } from "../../src/snapshots/history.ts";
import {
  postgresManifestStore,
  type PostgresManifestStoreOptions,
} from "../../src/snapshots/postgres_manifest_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { fullManifest, manifestStoreContract } from "../contracts/manifest_store_contract.ts";
import {
  findPostgres,
  NO_POSTGRES,
  type PostgresServer,
  startBreakingProxy,
  startPostgres,
} from "../servers/postgres.ts";
import { manifestOf, START } from "./publishing.ts";

const leaveOut = findPostgres() === null ? `manifests in PostgreSQL: ${NO_POSTGRES}` : null;
const ending: AsyncDisposable[] = [];
let server: Promise<PostgresServer> | undefined;

async function database(): Promise<string> {
  return await (await (server ??= startPostgres())).database();
}

function opened(options: PostgresManifestStoreOptions): ReturnType<typeof postgresManifestStore> {
  const manifests = postgresManifestStore(options);
  ending.push(manifests);
  return manifests;
}

after(async () => {
  await Promise.all(ending.map((resource) => resource[Symbol.asyncDispose]()));
  await (await server)?.[Symbol.asyncDispose]();
});

manifestStoreContract("postgresManifestStore()", async () => {
  const connection = await database();
  const proxy = await startBreakingProxy(connection);
  ending.push(proxy);
  const shared = opened({ connection });
  const other = opened({ connection });
  let turn = 0;
  return {
    open: (clock) => clock === undefined ? [shared, other][turn++ % 2]! : opened({ connection, clock }),
    failing: {
      client: opened({ connection: proxy.url }),
      failNext(when) {
        proxy.breakNext = when;
      },
    },
  };
}, { leaveOut });

/** A test with a database of its own, and plain SQL to judge by. */
function databaseTest(
  name: string,
  body: (place: { connection: string; sql: postgres.Sql; t: TestContext }) => Promise<void>,
): void {
  test(`postgresManifestStore() ${name}`, { timeout: 60_000 }, async (t) => {
    if (leaveOut !== null) {
      console.log(`LEFT OUT: ${leaveOut}`);
      return t.skip(leaveOut);
    }
    const connection = await database();
    const sql = postgres(connection, { max: 2, onnotice: () => {} });
    try {
      await body({ connection, sql, t });
    } finally {
      await sql.end({ timeout: 1 });
    }
  });
}

// WIRE_FORMATS 20, blank by blank: what the Python package sends.
const PYTHON_TABLES = [
  `CREATE TABLE IF NOT EXISTS shardyfusion_manifests_builds (
  run_id TEXT PRIMARY KEY, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), num_dbs INTEGER NOT NULL,
  s3_prefix TEXT NOT NULL, key_col TEXT NOT NULL DEFAULT '_key',
  db_path_template TEXT NOT NULL DEFAULT 'db={db_id:05d}', shard_prefix TEXT NOT NULL DEFAULT 'shards',
  key_encoding TEXT NOT NULL DEFAULT 'u64be', sharding JSONB NOT NULL, custom JSONB NOT NULL DEFAULT '{}')`,
  `CREATE TABLE IF NOT EXISTS shardyfusion_manifests_shards (
  run_id TEXT NOT NULL REFERENCES shardyfusion_manifests_builds(run_id), db_id INTEGER NOT NULL,
  db_url TEXT, attempt INTEGER NOT NULL DEFAULT 0, row_count INTEGER NOT NULL DEFAULT 0,
  db_bytes BIGINT NOT NULL DEFAULT 0, checkpoint_id TEXT, min_key JSONB, max_key JSONB, writer_info JSONB,
  PRIMARY KEY (run_id, db_id))`,
  `CREATE TABLE IF NOT EXISTS shardyfusion_pointer (
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), manifest_ref TEXT NOT NULL)`,
  "CREATE INDEX IF NOT EXISTS idx_shardyfusion_pointer_updated_at ON shardyfusion_pointer (updated_at DESC)",
];
const SHARDING = '{"cel_columns": null, "cel_expr": null, "hash_algorithm": "xxh3_64", "routing_values": null, ' +
  '"strategy": "hash"}';
const COLUMNS = `SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
  WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`;
const INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname";

databaseTest("creates the tables that the Python package creates", async ({ connection, sql }) => {
  const python = postgres(await database(), { max: 1, onnotice: () => {} });
  for (const statement of PYTHON_TABLES) await python.unsafe(statement);
  await opened({ connection }).publish(fullManifest("one", 1), null);
  for (const question of [COLUMNS, INDEXES]) {
    deepEqual([...await sql.unsafe(question)], [...await python.unsafe(question)]);
  }
  await python.end({ timeout: 1 });
});

databaseTest("stores the rows that section 20 describes", async ({ connection, sql }) => {
  const { publishedAtMicros } = await opened({ connection }).publish(fullManifest("one", 1), null);
  const [{ digest, ...build }] = await sql.unsafe(
    `SELECT run_id, extract(epoch FROM created_at)::text AS created, num_dbs, s3_prefix, key_col, db_path_template,
       shard_prefix, key_encoding, sharding, jsonb_typeof(custom) AS kind, custom->'mine' AS mine,
       custom #> '{shardyfusion,format_version}' AS version, custom #>> '{shardyfusion,postgres_xxh3_64}' AS digest
     FROM shardyfusion_manifests_builds`,
  ) as [Record<string, unknown>];
  deepEqual(build, {
    ...{ run_id: "one", created: String((START + 1_000_001) / 1e6), num_dbs: 3, s3_prefix: "memory:///series" },
    ...{ key_col: "_key", db_path_template: "db={db_id:05d}", shard_prefix: "shards", key_encoding: "utf8" },
    sharding: {
      cel_columns: { region: "string" },
      cel_expr: 'region + ""',
      hash_algorithm: "xxh3_64",
      routing_values: ["é\u{1f600}", "us", ""],
      strategy: "cel",
    },
    ...{ kind: "object", mine: [1, 0.1, -2.5e-7, true, null, "\u2028"], version: 1 },
  });
  match(String(digest), /^[0-9a-f]{16}$/);
  const shards = await sql.unsafe(
    `SELECT run_id, db_id, db_url, attempt, row_count, db_bytes, checkpoint_id, min_key::text AS min,
       max_key::text AS max, writer_info FROM shardyfusion_manifests_shards ORDER BY db_id`,
  );
  deepEqual(
    shards.map((row) => ({ ...row })),
    [0, 2].map((id) => ({
      ...{ run_id: "one", db_id: id, db_url: `memory:///series/shards/run_id=one/db=${id}/attempt=00`, attempt: id },
      ...{ row_count: 2_000_000_001, db_bytes: String(2 ** 45 + 1) },
      checkpoint_id: id === 0 ? null : "0123456789abcdef0123456789abcdef",
      min: id === 0 ? "9007199254740993" : null,
      max: id === 0 ? "9223372036854775807" : '"k\\"é\u{1f600}\\\\"',
      writer_info: { attempt: id, duration_ms: 12, shardyfusion: { xxh3_64: "00ff" } },
    })),
  );
  const moves = await sql.unsafe(
    "SELECT manifest_ref, (extract(epoch FROM updated_at) * 1000000)::bigint::text AS at FROM shardyfusion_pointer",
  );
  deepEqual(moves.map((row) => ({ ...row })), [{ manifest_ref: "one", at: String(publishedAtMicros) }]);
});

databaseTest("reads what SQL alone has laid down, before and after the first move", async ({ connection, sql }) => {
  for (const statement of PYTHON_TABLES) await sql.unsafe(statement);
  await sql.unsafe(
    `INSERT INTO shardyfusion_manifests_builds (run_id, created_at, num_dbs, s3_prefix, sharding, key_encoding)
     VALUES ('py1', '2026-01-02T03:04:05.5+02:00', 2, 's3://b/p', $1::text::jsonb, 'utf8'),
            ('py2', '2026-01-02T03:04:06Z', 1, 's3://b/p', $1::text::jsonb, 'u64be')`,
    [SHARDING],
  );
  await sql.unsafe(
    `INSERT INTO shardyfusion_manifests_shards (run_id, db_id, db_url, row_count, db_bytes, min_key, max_key)
     VALUES ('py1', 1, 's3://b/p/shards/x', 7, 4096, '"a"', '"k\\u00e98"')`,
  );
  const manifests = opened({ connection });
  const newest = await manifests.loadCurrent();
  equal(newest!.ref, "py2");
  deepEqual((await manifests.list(10)).map(({ ref }) => ref), ["py2", "py1"]);
  const manifest = await manifests.loadManifest("py1");
  deepEqual(manifest, {
    ...manifestOf("py1", { url: "s3://b/p" }),
    createdAtMicros: START - 7_200_000_000 + 500_000,
    shardCount: 2,
    keyEncoding: "utf8",
    shards: [{
      ...{ shardId: 1, dbUrl: "s3://b/p/shards/x", attempt: 0, rowCount: 7, dbBytes: 4096, minKey: "a", maxKey: "ké8" },
      ...{ checkpointId: null, writerInfo: {} },
    }],
  });
  // A loser may not become current for being the newest.
  await rejects(manifests.publish(fullManifest("ours", 1e8), null), { code: "PUBLISH_CONFLICT", winnerRef: "py2" });
  equal((await manifests.loadCurrent())!.ref, "py2");
  const back = await manifests.setCurrent("py1", await manifests.loadCurrent());
  deepEqual([back.ref, back.previous], ["py1", ["py2"]]);
  await sql.unsafe("INSERT INTO shardyfusion_pointer (manifest_ref) VALUES ('py2')");
  await rejects(manifests.publish(fullManifest("late", 3), back), { code: "PUBLISH_CONFLICT", winnerRef: "py2" });
});

databaseTest("waits for a publisher of the Python package that is about to commit", async ({ connection, sql }) => {
  const manifests = opened({ connection });
  await manifests.publish(fullManifest("one", 1), null);
  const seen = await manifests.loadCurrent();
  let publishing: Promise<unknown> | undefined;
  await sql.begin(async (python) => {
    await python.unsafe(
      `INSERT INTO shardyfusion_manifests_builds (run_id, num_dbs, s3_prefix, sharding) VALUES ('py', 1, 's3://b/p', $1::text::jsonb)`,
      [SHARDING],
    );
    await python.unsafe("INSERT INTO shardyfusion_pointer (manifest_ref) VALUES ('py')");
    publishing = manifests.publish(fullManifest("two", 2), seen).then(() => "ok", (error) => error.winnerRef);
    await new Promise((resolve) => setTimeout(resolve, 200));
  });
  equal(await publishing, "py");
});

databaseTest("P2 lets one of two processes win each time", async ({ connection, sql }) => {
  const program = fileURLToPath(new URL("./postgres_process.ts", import.meta.url));
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const printed = await Promise.all(["a", "b"].map(async (name) => {
    const child = spawn(process.execPath, [...args, program, connection, name, "30"], { stdio: ["ignore", "pipe", 2] });
    let output = "";
    child.stdout!.on("data", (bytes) => output += bytes);
    const [exitCode] = await once(child, "close");
    equal(exitCode, 0);
    return output.trim().split("\n").map((line) => JSON.parse(line));
  }));
  const won = printed.flat().filter((line) => "ref" in line) as { ref: string; over: string | null }[];
  const moves = await sql.unsafe("SELECT manifest_ref AS ref FROM shardyfusion_pointer ORDER BY updated_at");
  deepEqual(
    won.map(({ ref, over }) => `${over} ${ref}`).sort(),
    moves.map(({ ref }, index) => `${index === 0 ? null : moves[index - 1]!.ref} ${ref}`).sort(),
    "each winner replaced what it had seen",
  );
  equal(printed.flat().length, 60);
  equal((await sql.unsafe("SELECT FROM shardyfusion_manifests_builds")).length, 60, "losers' manifests stay");
});

databaseTest("refuses a manifest of which a row was lost or changed", async ({ connection, sql }) => {
  const manifests = opened({ connection });
  for (
    const [number, damage] of [
      "DELETE FROM shardyfusion_manifests_shards WHERE db_id = 2",
      "UPDATE shardyfusion_manifests_builds SET num_dbs = 4, sharding = jsonb_set(sharding, '{routing_values}', 'null')",
      "UPDATE shardyfusion_manifests_shards SET writer_info = '{}'",
      "UPDATE shardyfusion_manifests_shards SET min_key = '1' WHERE db_id = 0",
    ].entries()
  ) {
    const { ref } = await manifests.publish(fullManifest(`run${number}`, number), await manifests.loadCurrent());
    deepEqual(await manifests.loadManifest(ref), fullManifest(`run${number}`, number));
    await sql.unsafe(damage);
    await rejects(manifests.loadManifest(ref), { code: "MANIFEST_PARSE", ref });
  }
});

databaseTest("publishes no second manifest of a run", async ({ connection }) => {
  const manifests = opened({ connection });
  await manifests.publish(fullManifest("one", 1), null);
  const changed = { ...fullManifest("one", 1), shards: [] };
  await rejects(manifests.publish(changed, await manifests.loadCurrent()), { code: "PUBLISH_MANIFEST" });
  deepEqual(await manifests.loadManifest("one"), fullManifest("one", 1));
});

databaseTest("reads with a role that may only read, and says what a publisher lacks", async ({ connection, sql }) => {
  await opened({ connection }).publish(fullManifest("one", 1), null);
  await sql.unsafe("CREATE ROLE onlooker LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker");
  const url = new URL(connection);
  url.username = "onlooker";
  url.password = "a-secret";
  const manifests = opened({ connection: url.href });
  const current = await manifests.loadCurrent();
  deepEqual(await manifests.loadManifest(current!.ref), fullManifest("one", 1));
  await rejects(manifests.publish(fullManifest("two", 2), current), (error: Error & { code: string }) => {
    equal(error.code, "PUBLISH_MANIFEST");
    match(error.message, /permission denied/);
    ok(!`${error.stack} ${JSON.stringify(error)} ${JSON.stringify(error.cause)}`.includes("a-secret"));
    return true;
  });
  url.pathname = "/postgres";
  const elsewhere = opened({ connection: url.href });
  equal(await elsewhere.loadCurrent(), null);
  deepEqual(await elsewhere.list(3), []);
  await rejects(elsewhere.publish(fullManifest("two", 2), null), { code: "CONFIG_VALIDATION" });
});

databaseTest(
  "takes other names, a client of the caller's, and settings of the driver's",
  async ({ connection, sql }) => {
    await sql.unsafe("CREATE SCHEMA team");
    const camel = postgres(connection, { max: 1, transform: postgres.camel, types: { bigint: postgres.BigInt } });
    const names = { tableName: "team.m", pointerTableName: "team.p" };
    const mine = opened({ connection: camel as unknown as postgres.Sql, ...names });
    await mine.publish(fullManifest("one", 1), null);
    await mine.close();
    equal((await camel.unsafe("SELECT run_id FROM team.m_shards")).length, 2, "it is still open");
    await camel.end({ timeout: 1 });
    const { hostname: host, port } = new URL(connection);
    const others = opened({
      connection: { host, port: Number(port), database: new URL(connection).pathname.slice(1), user: "postgres" },
      ...names,
    });
    deepEqual(await others.loadManifest("one"), fullManifest("one", 1));
  },
);

databaseTest("gives up on a pointer that stays locked when it is told to", async ({ connection, sql }) => {
  const manifests = opened({ connection });
  await manifests.publish(fullManifest("one", 1), null);
  const seen = await manifests.loadCurrent();
  const reason = new Error("enough");
  await sql.begin(async (blocking) => {
    await blocking.unsafe("LOCK TABLE shardyfusion_pointer IN SHARE ROW EXCLUSIVE MODE");
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 100);
    const publishing = manifests.publish(fullManifest("two", 2), seen, { signal: controller.signal });
    await rejects(publishing, (error) => error === reason);
  });
  deepEqual((await manifests.list(10)).map(({ ref }) => ref), ["one"]);
});

databaseTest("serves writers, readers, history and roll back", async ({ connection }) => {
  const store = memoryStore();
  const manifestStore = opened({ connection });
  const write = async (value: string): Promise<string> => {
    const options = { store, manifestStore, sharding: hashSharding({ shards: 4 }), key: (row: number) => row };
    return (await writeSnapshot([1, 2, 3], { ...options, value: () => value })).runId;
  };
  const first = await write("first");
  await using reader = await openSnapshot({ store, manifestStore });
  const read = async (): Promise<string> => new TextDecoder().decode((await reader.get(2))!);
  equal(await read(), "first");
  const second = await write("second");
  equal(await reader.refresh(), true);
  equal(await read(), "second");
  deepEqual((await history(store, { manifestStore })).map(({ runId }) => runId), [second, first]);
  await rollBack(store, { manifestStore, offset: 1 });
  equal(await reader.refresh(), true);
  equal(await read(), "first");
  equal(await reader.refresh(), false);
});

test("postgresManifestStore() refuses wrong options", () => {
  const refused = (options: unknown, path: string): void =>
    throws(() => postgresManifestStore(options as PostgresManifestStoreOptions), {
      code: "CONFIG_VALIDATION",
      path: `postgresManifestStore.${path}`,
    });
  refused({}, "connection");
  refused({ connection: "https://somewhere" }, "connection");
  refused({ connection: "postgres://x", tableName: "a; DROP TABLE b" }, "tableName");
  refused({ connection: "postgres://x", pointerTableName: "" }, "pointerTableName");
  refused({ connection: "postgres://x", attemptsMax: 0 }, "attemptsMax");
});

test("postgresManifestStore() says that no server answers, without the password", async () => {
  await using manifests = postgresManifestStore({ connection: "postgres://me:a-secret@127.0.0.1:1/db" });
  await rejects(manifests.loadCurrent(), (error: Error & { code: string; retryable: boolean }) => {
    deepEqual([error.code, error.retryable], ["STORE", true]);
    match(error.message, /postgres:\/\/127\.0\.0\.1:1\/db/);
    return !error.message.includes("a-secret");
  });
});
