// reader.toml, credentials.toml, and who wins among options, variables and files.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { postgresManifestStore } from "../../src/snapshots/postgres_manifest_store.ts";
import { findPostgres, NO_POSTGRES, startPostgres } from "../servers/postgres.ts";
import { shardy, withFolder } from "./run_shardy.ts";

const fixtures = fileURLToPath(new URL("../fixtures/snapshots/", import.meta.url));
const HISTORY = `${fixtures}history/store/shardy-fixtures/history/_CURRENT`;
const NOWHERE = "s3://bucket/prefix/_CURRENT";
/** Nothing listens there, and nothing is tried twice. */
const DEAD_END = ["--s3-option", "endpoint_url=http://127.0.0.1:1", "--s3-option", "max_attempts=1"];

test("reader.toml: --config, SHARDY_CONFIG and the home folder, in this order; options win over all of it", async () => {
  await withFolder(async (folder) => {
    const config = (name: string, format: string): Promise<void> =>
      writeFile(
        join(folder, name),
        `[reader]\ncurrent_url = ${JSON.stringify(HISTORY)}\nreader_backend = "sqlite"\nsqlite_mode = "range"\n` +
          `[output]\nformat = "${format}"\nvalue_encoding = "utf8"\nnull_repr = "-"\n`,
      );
    await mkdir(join(folder, ".config", "shardy"), { recursive: true });
    await config("a.toml", "text");
    await config("b.toml", "table");
    await config(".config/shardy/reader.toml", "json");
    const env = { "HOME": folder };
    const named = { ...env, "SHARDY_CONFIG": join(folder, "b.toml") };
    equal((await shardy(["get", "12"], { env })).stdout.split("\n").length, 7, "indented");
    equal((await shardy(["get", "12"], { env: named })).stdout.split("\n")[1], '  "op": "get",'.replace(",", ","));
    const byOption = await shardy(["--config", join(folder, "a.toml"), "get", "12"], { env: named });
    deepEqual(byOption, { exitCode: 0, stdout: "12=run1-12\n", stderr: "" });
    const absent = await shardy(["get", "--config", join(folder, "a.toml"), "999"], { env: named });
    equal(absent.stdout, "999=-\n");
    const args = ["--output-format", "jsonl", "get", "12", "--value-encoding", "hex"];
    equal(
      (await shardy(args, { env })).stdout,
      '{"op": "get", "key": "12", "found": true, "value": "72756e312d3132"}\n',
    );
    const elsewhere = await shardy(["info"], { env: { ...env, "SHARDY_CURRENT": join(folder, "_CURRENT") } });
    match(elsewhere.stderr, /none was published/, "the variable wins over the file");
  });
});

test("reader.toml: what is wrong with it is said, and what nobody knows", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "reader.toml");
    const run = async (text: string) => {
      await writeFile(path, text);
      return await shardy(["--config", path, "--current-url", HISTORY, "--output-format", "text", "get", "12"]);
    };
    const cases: [text: string, complaint: RegExp][] = [
      ["[reader\n", /^Error: Cannot read '.*reader.toml' as TOML/],
      ["[output]\nformat = 5\n", /^Error: Cannot use '.*' as 'output.format' must be "json" or "jsonl"/],
      ["reader = 1\n", /'reader' must be a table/],
      ["[reader]\ncurrent_url = []\n", /'reader.current_url' must be a string/],
      ["[reader]\nmax_workers = 0\n", /'reader.max_workers' must be a whole number from 1 up/],
      ["[manifest_store]\nensure_table = 'no'\n", /'manifest_store.ensure_table' must be true or false/],
      ["[manifest_store]\nbackend = 'postgres'\n", /give manifest_store.dsn, or set SHARDY_MANIFEST_DSN/],
    ];
    for (const [text, complaint] of cases) {
      const { exitCode, stderr } = await run(text);
      equal(exitCode, 1, text);
      match(stderr, complaint);
    }
    const { exitCode, stderr } = await run("colour = 1\n[reader]\nsqlite_mod = 'range'\n");
    equal(exitCode, 0);
    equal(
      stderr,
      `Warning: ${path}: unknown setting 'colour'\nWarning: ${path}: unknown setting 'reader.sqlite_mod'\n`,
    );
    match(
      (await shardy(["--config", join(folder, "none"), "info"])).stderr,
      /^Error: Cannot read '.*none': there is no/,
    );
  });
});

test("reader.toml: every way to read shards gives the same", async () => {
  for (
    const args of [["--sqlite-mode", "download"], ["--sqlite-mode", "range"], ["--sqlite-mode", "auto"], [
      "--sqlite-auto-per-shard-bytes",
      "0",
    ], ["--sqlite-auto-total-bytes", "1000000000"]]
  ) {
    const { stdout, stderr } = await shardy(["--current-url", HISTORY, ...args, "get", "12"]);
    equal(stdout, '{"op": "get", "key": "12", "found": true, "value": "cnVuMS0xMg=="}\n', stderr);
  }
});

test("credentials.toml: warns when others may read it, and shows no secret", async (t) => {
  if (process.platform === "win32") return t.skip("there are no such permissions");
  await withFolder(async (folder) => {
    const path = join(folder, "credentials.toml");
    const secrets = 'access_key_id = "AKIASECRET"\nsecret_access_key = "s3cr3t"\n';
    await writeFile(
      path,
      `[default]\n${secrets}[other]\n${secrets}max_attempts = "s3cr3t"\n[third]\nsecret = ["s3cr3t"]\n`,
    );
    const run = (...args: string[]) => shardy(["--current-url", NOWHERE, "--credentials", path, ...DEAD_END, ...args]);
    await chmod(path, 0o644);
    const open = await run("info");
    equal(open.exitCode, 1);
    match(
      open.stderr,
      /^Warning: Others may use the credentials in ".*credentials.toml" as its mode is 0644: run chmod 600 on it\n/,
    );
    await chmod(path, 0o600);
    match((await run("info")).stderr, /^Error: Failed to initialise reader: /);
    const wrong: [args: string[], complaint: RegExp][] = [
      [
        ["--profile", "none", "info"],
        /^Error: Cannot read credentials from ".*" as it must have a profile "none": it has "default", "other", /,
      ],
      [
        ["--profile", "other", "info"],
        /^Error: Cannot use "max_attempts" of profile "other" in ".*": there is no such setting, or it cannot have/,
      ],
      [
        ["--profile", "third", "info"],
        /^Error: Cannot use "secret" of profile "third" in ".*": there is no such setting, or/,
      ],
    ];
    for (const [args, complaint] of wrong) {
      const { exitCode, stderr } = await run(...args);
      equal(exitCode, 1);
      match(stderr, complaint);
    }
    await writeFile(path, `[default]\n${secrets}secret_access_key = = "s3cr3t"\n`, { mode: 0o600 });
    const broken = await run("info");
    match(broken.stderr, /^Error: Cannot read credentials from ".*" as it must be TOML$/m);
    const printed = [open, broken, ...await Promise.all(wrong.map(([args]) => run(...args)))];
    for (const { stdout, stderr } of printed) ok(!/s3cr3t/.test(stdout + stderr), stderr);
    // For a folder nobody asks for credentials.
    deepEqual((await shardy(["--current-url", HISTORY, "--credentials", path, "route", "1"])).stderr, "");
  });
});

test(
  "--manifest-store: builds, lists, reads and goes back with manifests in PostgreSQL",
  { timeout: 60_000 },
  async (t) => {
    if (findPostgres() === null) {
      console.log(`LEFT OUT: --manifest-store: ${NO_POSTGRES}`);
      return t.skip(NO_POSTGRES);
    }
    await using server = await startPostgres();
    const connection = await server.database();
    await withFolder(async (folder) => {
      const run = async (args: string[], env: Record<string, string> = {}) => {
        const place = [
          "--current-url",
          join(folder, "_CURRENT"),
          ...env["SHARDY_CONFIG"] ? [] : ["--manifest-store", connection],
        ];
        const { exitCode, stdout, stderr } = await shardy([...place, ...args], {
          env,
          input: '{"k": "a", "v": "1"}\n',
        });
        equal(exitCode, 0, stderr);
        return stdout;
      };
      const build = ["build", "--key", "k", "--value", "v", "--shards", "2", "--quiet"];
      const first = JSON.parse(await run(build)).run_id;
      const second = JSON.parse(await run([...build, "--max-drift", "0.5"])).run_id;
      deepEqual(JSON.parse(await run(["history"])).manifests.map((entry: { ref: string }) => entry.ref), [
        second,
        first,
      ]);
      const config = join(folder, "reader.toml");
      await writeFile(config, '[manifest_store]\nbackend = "postgres"\n');
      const env = { "SHARDY_CONFIG": config, "SHARDY_MANIFEST_DSN": connection };
      equal(JSON.parse(await run(["info"], env)).run_id, second);
      equal(await run(["rollback", "--offset", "1"], env), `Rolled back _CURRENT to: ${first}\n`);
      equal(JSON.parse(await run(["info"], env)).run_id, first);
      equal(await run(["--output-format", "text", "get", "a", "--value-encoding", "utf8"], env), "a=1\n");
      equal(JSON.parse(await run(["diff", first, second])).shards[0].change, "same");
      await using manifests = postgresManifestStore({ connection });
      equal((await manifests.loadCurrent())!.ref, first, "the library sees the same");
    });
    const { exitCode, stderr } = await shardy([
      "--manifest-store",
      "mysql://u:pw@h/d",
      "--current-url",
      HISTORY,
      "info",
    ]);
    equal(exitCode, 2);
    ok(!stderr.includes("pw"));
  },
);
