/**
 * What lies in a bucket, by the AWS SDK alone, and what must lie there, by the manifests as SQLite reads them: the judge
 * of programs that publish and clean up.
 * @module
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { GetObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import type { Minio } from "./minio.ts";

/** The pointer as it is stored. */
export interface StoredPointer {
  readonly "manifest_ref": string;
  readonly "run_id": string;
  readonly generation: number;
  readonly previous: readonly string[];
}

/** One series in a bucket. */
export class BucketJudge implements Disposable {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor({ endpoint, credentials }: Minio, url: string) {
    this.#client = new S3Client({ endpoint, credentials, region: "us-east-1", forcePathStyle: true });
    const [, bucket, prefix] = /^s3:\/\/([^/]+)\/(.+)$/.exec(url)!;
    this.#bucket = bucket!;
    this.#prefix = `${prefix}/`;
  }

  [Symbol.dispose](): void {
    this.#client.destroy();
  }

  /** Keys below the series, ascending. */
  async keys(): Promise<string[]> {
    const keys: string[] = [];
    let ContinuationToken: string | undefined;
    do {
      const input = { Bucket: this.#bucket, Prefix: this.#prefix, ContinuationToken };
      const page = await this.#client.send(new ListObjectsV2Command(input));
      keys.push(...(page.Contents ?? []).map(({ Key }) => Key!.slice(this.#prefix.length)));
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
    return keys;
  }

  /** Keys of multipart uploads in the whole bucket that are open: MinIO knows no other way to list them. */
  async openUploads(): Promise<string[]> {
    const { Uploads = [] } = await this.#client.send(new ListMultipartUploadsCommand({ Bucket: this.#bucket }));
    return Uploads.map(({ Key }) => Key!);
  }

  async bytes(key: string): Promise<Uint8Array> {
    const input = { Bucket: this.#bucket, Key: `${this.#prefix}${key}` };
    return await (await this.#client.send(new GetObjectCommand(input))).Body!.transformToByteArray();
  }

  async pointer(): Promise<StoredPointer> {
    return JSON.parse(new TextDecoder().decode(await this.bytes("_CURRENT")));
  }

  /** Key of what a ref names. */
  keyOf(ref: string): string {
    const start = `s3://${this.#bucket}/${this.#prefix}`;
    ok(ref.startsWith(start), ref);
    return ref.slice(start.length);
  }

  /** Folders of the shards that a manifest names, with their lengths. */
  async shardsOf(manifestKey: string): Promise<Map<string, number>> {
    const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
    try {
      await writeFile(join(folder, "manifest"), await this.bytes(manifestKey));
      const database = new DatabaseSync(join(folder, "manifest"), { readOnly: true });
      const rows = database.prepare("SELECT db_url, db_bytes FROM shards WHERE db_url IS NOT NULL").all();
      database.close();
      return new Map(rows.map((row) => [this.keyOf(String(row["db_url"])), Number(row["db_bytes"])]));
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  /**
   * Fails unless the series consists of whole snapshots and nothing else: the pointer, manifests, all shards that they
   * name and no others, the records of their runs, no announcements, no open uploads.
   *
   * @returns Keys of the manifests.
   */
  async requireNothingElse(): Promise<string[]> {
    const keys = await this.keys();
    const manifests = keys.filter((key) => /^manifests\/[^/]+\/manifest$/.test(key));
    ok(manifests.includes(this.keyOf((await this.pointer()).manifest_ref)), "the pointer names a manifest");
    const runs = new Set(manifests.map((key) => /_run_id=([^/]+)/.exec(key)![1]!));
    const expected = new Set(["_CURRENT", ...manifests]);
    for (const key of manifests) {
      for (const folder of (await this.shardsOf(key)).keys()) {
        for (const name of ["shard.db", "shard.guard", "shard.sidecar"]) expected.add(`${folder}/${name}`);
      }
    }
    for (const key of keys) {
      const run = /^runs\/[^/]+_run_id=([^/]+)_[0-9a-f]{32}\/run\.yaml$/.exec(key)?.[1];
      if (run !== undefined && runs.has(run)) expected.add(key);
    }
    deepEqual(keys, [...expected].sort(), "the series has its snapshots and nothing else");
    equal(keys.filter((key) => key.startsWith("runs/")).length, runs.size, "one record for each run");
    deepEqual(await this.openUploads(), [], "no upload is open");
    return manifests;
  }
}
