/**
 * Snapshots behind an HTTP server that counts: what readers of ranges really send.
 * @module
 */
import { deepEqual } from "node:assert/strict";
import { httpStore } from "../../src/stores/http_store.ts";
import type { ReadableStore } from "../../src/stores/store.ts";
import { type CountingProxy, type FaultOf, type Origin, startCountingProxy } from "../servers/counting_proxy.ts";
import { filesUnder, fixtureBytes } from "../snapshots/fixture_manifests.ts";
import { seriesPath } from "./fixture_snapshots.ts";

/** A server and the store that reads from it. */
export interface ServedSeries extends AsyncDisposable {
  readonly server: CountingProxy;
  readonly store: ReadableStore;
  /** What was asked since the last call, as `kindOf` calls it; only ever by GET (P8). */
  asked(): string[];
}

/** Serves a series by HTTP. A map of bytes has the ETags that S3 gives what was put at once, stores have their own. */
export async function served(objects: Extract<Origin, { objects: unknown }>["objects"]): Promise<ServedSeries> {
  const server = await startCountingProxy({ objects });
  return {
    store: httpStore(server.url),
    ...counted(server),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** The server with its log in short. */
export function counted(server: CountingProxy): Pick<ServedSeries, "server" | "asked"> {
  return {
    server,
    asked() {
      const log = server.take();
      deepEqual(log.filter(({ method }) => method !== "GET"), []);
      return log.map(({ path }) => kindOf(path));
    },
  };
}

/** What kind of object lies at a path: `pointer`, `manifest`, `db`, `sidecar`, `guard`. */
export function kindOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return name === "_CURRENT" ? "pointer" : name.replace(/^shard\./, "");
}

/** The objects of a fixture. */
export function fixtureObjects(name: string): Map<string, Uint8Array> {
  const path = seriesPath(name);
  return new Map(filesUnder(path, "").map((key) => [key, fixtureBytes(`${path}/${key}`)]));
}

/** Holds requests back until so many have arrived: only what is sent at the same time gets through. */
export function together(count: number): FaultOf {
  const { promise, resolve } = Promise.withResolvers<null>();
  let arrived = 0;
  return () => {
    if (++arrived === count) resolve(null);
    return promise;
  };
}

/** The first numbers. */
export function upTo(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}
