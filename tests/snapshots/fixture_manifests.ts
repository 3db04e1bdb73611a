/**
 * Finds what the Python package wrote: manifests, pointers, and the objects of a whole snapshot series.
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";

const fixtures = new URL("../fixtures/", import.meta.url);

/** The rows of a manifest, as `expected.json` has them. */
export interface ExpectedManifest {
  readonly "build_meta": Readonly<Record<string, string | number>>;
  readonly shards: readonly Readonly<Record<string, string | number | null>>[];
}

/** A manifest of a snapshot that the Python package wrote. */
export interface FixtureManifest {
  readonly snapshot: string;
  readonly ref: string;
  readonly bytes: Uint8Array;
  readonly expected: ExpectedManifest;
}

export function fixtureBytes(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(fileUrl(path)));
}

// deno-lint-ignore no-explicit-any -- what a fixture holds is up to its test
export function fixtureJson(path: string): any {
  return JSON.parse(readFileSync(fileUrl(path), "utf8"));
}

export function snapshotNames(): string[] {
  return readdirSync(fileUrl("snapshots")).sort();
}

/** All manifests of all snapshots in the checkout. */
export function fixtureManifests(): FixtureManifest[] {
  return snapshotNames().flatMap((snapshot) => {
    const expected = fixtureJson(`snapshots/${snapshot}/expected.json`);
    // What is expected of `cleanup` is not what its manifests hold.
    if (expected.cases !== undefined) return [];
    const runs: { manifest_ref: string; manifest: ExpectedManifest }[] = expected.runs_in_publish_order ?? [expected];
    return runs.map(({ manifest_ref: ref, manifest }) => ({
      snapshot,
      ref,
      bytes: fixtureBytes(`snapshots/${snapshot}/store/${ref.slice("s3://".length)}`),
      expected: manifest,
    }));
  });
}

/** A series in memory, from a folder `…/store/<bucket>/<prefix>`. */
export async function fixtureStore(path: string): Promise<ObjectStore> {
  const store = memoryStore("copy");
  for (const key of filesUnder(path, "")) await store.put(key, fixtureBytes(`${path}/${key}`));
  return store;
}

export function filesUnder(path: string, prefix: string): string[] {
  return readdirSync(fileUrl(`${path}/${prefix}`), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesUnder(path, `${prefix}${entry.name}/`) : [prefix + entry.name]
  );
}

/** Names of folders and files may hold what means something else in a URL. */
function fileUrl(path: string): URL {
  return new URL(path.split("/").map(encodeURIComponent).join("/"), fixtures);
}
