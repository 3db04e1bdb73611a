// `shardy` with manifests in a real PostgreSQL server. Judges: plain SQL that damages them, the store's folders.
import { deepEqual, equal, match } from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import postgres from "postgres";
import { findPostgres, NO_POSTGRES, startPostgres } from "../servers/postgres.ts";
import { type Outcome, shardy, withFolder } from "./run_shardy.ts";

const CLEAN_UP = ["cleanup", "--keep-last", "1", "--explain"];

test(
  "shardy verify, pin, unpin and cleanup with manifests in PostgreSQL",
  { timeout: 60_000 },
  async (t) => {
    if (findPostgres() === null) {
      console.log(`LEFT OUT: shardy verify and pin with --manifest-store: ${NO_POSTGRES}`);
      return t.skip(NO_POSTGRES);
    }
    await using server = await startPostgres();
    const connection = await server.database();
    const sql = postgres(connection, { max: 1, onnotice: () => {} });
    try {
      await withFolder(async (folder) => {
        const beside = ["--current-url", join(folder, "_CURRENT")];
        const run = (...args: string[]): Promise<Outcome> =>
          shardy([...beside, "--manifest-store", connection, ...args], { input: '{"k": 1, "v": "1"}\n' });
        match((await run("pin")).stderr, /^Error: Nothing was published to the database\n$/);
        const build = ["build", "--key", "k", "--value", "v", "--shards", "2", "--quiet"];
        const [first, second] = [await run(...build), await run(...build)].map(({ stdout }) =>
          JSON.parse(stdout).run_id
        );

        const sound = await run("verify");
        deepEqual([sound.exitCode, JSON.parse(sound.stdout).manifest_ref], [0, second], sound.stdout);
        equal(JSON.parse((await run("--offset", "1", "verify")).stdout).run_id, first);
        match((await shardy([...beside, "verify"])).stdout, /nothing was published/);

        const pinned = await run("--offset", "1", "pin", "--for", "1h");
        deepEqual([pinned.exitCode, JSON.parse(pinned.stdout).ref], [0, first], pinned.stderr);
        await run("pin");
        equal(JSON.parse((await run("unpin")).stdout).removed, 1);
        deepEqual(await readdir(join(folder, "pins")).catch(() => []), [first]);

        // Without the database nobody knows the manifests: nothing is touched.
        await rm(join(folder, "runs"), { recursive: true });
        const blind = await shardy([...beside, ...CLEAN_UP]);
        equal(blind.exitCode, 1);
        match(blind.stderr, /nothing was published there: no '_CURRENT' found; is --manifest-store missing\?/);
        equal((await readdir(join(folder, "shards"))).length, 2);

        await sql.unsafe("UPDATE shardyfusion_manifests_shards SET row_count = 7 WHERE run_id = $1", [second]);
        const damaged = await run("verify");
        equal(damaged.exitCode, 1);
        deepEqual(JSON.parse(damaged.stdout).problems.map((problem: { kind: string }) => problem.kind), ["manifest"]);
        await rm(join(folder, "shards", `run_id=${first}`), { recursive: true });
        const gone = await run("--ref", first, "verify");
        match(gone.stdout, /"kind":\s*"missing"/);
        match((await run("--ref", first, "pin")).stderr, /are not there any more/);
      });
    } finally {
      await sql.end({ timeout: 1 });
    }
  },
);
