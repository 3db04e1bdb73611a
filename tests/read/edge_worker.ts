/**
 * A Worker that looks up what tests ask it for, in snapshots wherever they lie. It keeps its readers from one request
 * to the next.
 * @module
 */
import { httpStore, type KeyReader, openSnapshot } from "@shardyfusion/shardyfusion/reader";
import { cachedStore } from "@shardyfusion/shardyfusion/stores/cached";
import { type R2BucketBinding, r2Store } from "@shardyfusion/shardyfusion/stores/r2";
import { s3FetchStore, type S3FetchStoreOptions } from "@shardyfusion/shardyfusion/stores/s3-fetch";
import type { ReadableStore } from "../../src/stores/store.ts";

/** Where a snapshot lies. */
export type Place =
  | { readonly kind: "http"; readonly url: string }
  /** By way of the platform's cache, of that name. */
  | { readonly kind: "cached"; readonly url: string; readonly cache: string }
  | { readonly kind: "s3"; readonly options: S3FetchStoreOptions }
  | { readonly kind: "r2"; readonly prefix: string };

/** A key in JSON: whole numbers as decimals. */
export type AskedKey = { readonly int: string } | { readonly string: string };

/** What to do. */
export interface Asked {
  /** Which of the readers; a new name opens one. */
  readonly reader: string;
  readonly place: Place;
  /** @default {"range"} */
  readonly access?: "auto" | "range";
  /** @default {6} */
  readonly concurrencyMax?: number;
  readonly timeoutMs?: number;
  /** First of all. */
  readonly refresh?: boolean;
  readonly keys?: readonly AskedKey[];
  /** By one `getMany` instead of one `get` after the other. */
  readonly together?: boolean;
}

/** What came of it; an error only when something failed. */
export interface Told {
  readonly error?: string;
  readonly isNewer: boolean | null;
  /** In hex. */
  readonly values: readonly (string | null)[];
  readonly warnings: readonly string[];
  readonly access: string;
  readonly requests: number;
}

interface Env {
  readonly BUCKET: R2BucketBinding;
}

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

const readers = new Map<string, Promise<KeyReader>>();

async function storeOf(place: Place, env: Env): Promise<ReadableStore> {
  switch (place.kind) {
    case "http":
      return httpStore(place.url);
    case "cached":
      return cachedStore(httpStore(place.url), { cache: await caches.open(place.cache) });
    case "s3":
      return s3FetchStore(place.options);
    case "r2":
      return r2Store(env.BUCKET, { prefix: place.prefix });
  }
}

async function answer(request: Request, env: Env): Promise<Response> {
  const { reader: name, place, access = "range", concurrencyMax = 6, timeoutMs, refresh, keys = [], together }: Asked =
    await request.json();
  const opening = readers.get(name) ??
    storeOf(place, env).then((store) => openSnapshot({ store, access, concurrencyMax, timeoutMs }));
  readers.set(name, opening);
  const reader = await opening;
  const isNewer = refresh ? await reader.refresh() : null;
  const wanted = keys.map((key) => "int" in key ? BigInt(key.int) : key.string);
  const values: (string | null)[] = [];
  if (together) { for (const value of (await reader.getMany(wanted)).values()) values.push(hexOf(value)); }
  else for (const key of wanted) values.push(hexOf(await reader.get(key)));
  const { warnings, access: mode } = reader.info;
  const told: Told = { isNewer, values, warnings, access: mode, requests: reader.stats().requests };
  return Response.json(told);
}

function hexOf(value: Uint8Array | null): string | null {
  return value && Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export default {
  fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const answered = answer(request, env).catch((error) => Response.json({ error: String(error?.stack ?? error) }));
    context.waitUntil(answered);
    return answered;
  },
};
