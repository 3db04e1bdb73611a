/**
 * A real S3 server for tests: MinIO on a free port of the loopback interface, in a temporary folder.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** A running server; dispose it. */
export interface Minio extends AsyncDisposable {
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** Path of the program: `SHARDYFUSION_MINIO`, or `minio` in the PATH or where Go installs programs. */
export function findMinio(): string | null {
  const { env } = process;
  const folders = [...(env["PATH"] ?? "").split(delimiter), join(env["GOPATH"] ?? join(homedir(), "go"), "bin")];
  const candidates = [env["SHARDYFUSION_MINIO"], ...folders.map((folder) => join(folder, "minio"))];
  return candidates.find((path) => path !== undefined && path !== "" && existsSync(path)) ?? null;
}

/** Starts a server and makes a bucket. */
export async function startMinio(bucket: string): Promise<Minio> {
  const program = findMinio();
  if (program === null) throw new Error("there is no minio to start");
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-minio-"));
  const credentials = { accessKeyId: "minio-tests", secretAccessKey: "minio-tests-secret" };
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const child = spawn(program, [
    "server",
    "--quiet",
    "--address",
    `127.0.0.1:${port}`,
    "--console-address",
    "127.0.0.1:0",
    folder,
  ], {
    env: {
      ...process.env,
      MINIO_ROOT_USER: credentials.accessKeyId,
      MINIO_ROOT_PASSWORD: credentials.secretAccessKey,
      MINIO_BROWSER: "off",
    },
    stdio: "ignore",
  });
  async function stop(): Promise<void> {
    await killed(child);
    await rm(folder, { recursive: true, force: true });
  }
  try {
    await ready(endpoint);
    const { CreateBucketCommand, S3Client } = await import("@aws-sdk/client-s3");
    const client = new S3Client({ endpoint, region: "us-east-1", credentials, forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    client.destroy();
  } catch (error) {
    await stop();
    throw error;
  }
  return { endpoint, credentials, [Symbol.asyncDispose]: stop };
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

async function ready(endpoint: string): Promise<void> {
  for (let attempt = 0; attempt < 150; attempt++) {
    try {
      const response = await fetch(`${endpoint}/minio/health/ready`);
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("minio did not become ready within 15 s");
}

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}
