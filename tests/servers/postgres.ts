/**
 * A real PostgreSQL server for tests: Debian's, or another one that is installed, on a free port of the loopback
 * interface, in a temporary folder.
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import postgres from "postgres";

/** A running server; dispose it. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  /** URL of a database that is made for the caller. */
  database(): Promise<string>;
}

/** Why there is none; printed where tests are left out for it. */
export const NO_POSTGRES =
  "there is no PostgreSQL (programs initdb and postgres, in the PATH or SHARDYFUSION_POSTGRES): " +
  "apt-get install postgresql";

/** Folder of `initdb` and `postgres`: `SHARDYFUSION_POSTGRES`, where Debian installs them, or in the PATH. */
export function findPostgres(): string | null {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((one, other) => Number(other) - Number(one)) : [];
  const { env } = process;
  const folders = [
    ...env["SHARDYFUSION_POSTGRES"] ? [env["SHARDYFUSION_POSTGRES"]] : [],
    ...versions.map((version) => join(debian, version, "bin")),
    ...(env["PATH"] ?? "").split(delimiter),
  ];
  return folders.find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres"))) ?? null;
}

/** Starts a server. It refuses to run as root, so that root starts it as the user `postgres` or `nobody`. */
export async function startPostgres(): Promise<PostgresServer> {
  const bin = findPostgres();
  if (bin === null) throw new Error(NO_POSTGRES);
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-postgres-"));
  const user = unprivileged();
  if (user !== null) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const options = { ...(user ?? {}), cwd: folder, env: { ...process.env, HOME: folder, LC_ALL: "C" } };
  const made = spawnSync(join(bin, "initdb"), ["-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "-N"], {
    ...options,
  });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1", `unix_socket_directories=${folder}`, "fsync=off"];
  const child = spawn(join(bin, "postgres"), ["-D", data, ...settings.flatMap((setting) => ["-c", setting])], {
    ...options,
    stdio: "ignore",
  });
  const admin = postgres(`postgres://postgres@127.0.0.1:${port}/postgres`, { max: 1, onnotice: () => {} });
  const stop = async (): Promise<void> => {
    await admin.end({ timeout: 2 });
    await ended(child);
    rmSync(folder, { recursive: true, force: true });
  };
  let databases = 0;
  try {
    await ready(admin);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    async database() {
      const name = `test${databases++}`;
      await admin.unsafe(`CREATE DATABASE ${name}`);
      return `postgres://postgres@127.0.0.1:${port}/${name}`;
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** A place between client and server where connections break. */
export interface BreakingProxy extends AsyncDisposable {
  /** The database's URL by way of this proxy. */
  readonly url: string;
  /** Which of the next commits break: before the server hears of them, or before the client hears of the server. */
  breakNext: "before" | "after" | null;
  /** How many broke. */
  readonly broken: number;
}

/** Starts a proxy that breaks connections at their `commit`. */
export async function startBreakingProxy(databaseUrl: string): Promise<BreakingProxy> {
  const { hostname, port } = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  const proxy = { url: "", breakNext: null as BreakingProxy["breakNext"], broken: 0 };
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let isMuted = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (bytes) => {
      if (proxy.breakNext !== null && /commit\0/i.test(bytes.toString("latin1"))) {
        const when = proxy.breakNext;
        proxy.breakNext = null;
        proxy.broken++;
        if (when === "before") return void client.destroy();
        isMuted = true;
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (isMuted) client.destroy();
      else client.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(databaseUrl);
  url.port = String((server.address() as { port: number }).port);
  return Object.assign(proxy, {
    url: url.href,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function unprivileged(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of ["postgres", "nobody"]) {
    const ids = ["-u", "-g"].map((option) => Number(spawnSync("id", [option, name]).stdout.toString().trim()));
    if (ids.every((id) => id > 0)) return { uid: ids[0]!, gid: ids[1]! };
  }
  throw new Error("Cannot start PostgreSQL as root: there is neither the user postgres nor nobody");
}

async function ready(admin: postgres.Sql): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      await admin.unsafe("SELECT 1");
      return;
    } catch (error) {
      if (attempt === 150) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** SIGQUIT: at once, without waiting for clients. */
function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill("SIGQUIT");
  });
}
