// Judge: what the Python package does with bad inputs, `tests/fixtures/errors/reader_errors.json`.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { CorruptFileError } from "../../src/errors.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import type { Key } from "../../src/routing/key.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { filesUnder, fixtureBytes, fixtureJson } from "../snapshots/fixture_manifests.ts";
import { contextOf, fromHex, keyOf, type NotedKey, temporaryFolder, toHex } from "./fixture_snapshots.ts";

interface NotedError {
  readonly error: { readonly class: string; readonly message: string };
}

interface ArgWithContext {
  readonly type: undefined;
  readonly key?: NotedKey;
  readonly keys?: readonly NotedKey[];
  readonly "routing_context": Readonly<Record<string, NotedKey>>;
}

interface Operation {
  readonly op:
    | "get"
    | "multi_get"
    | "close"
    | "refresh"
    | "reader_for_key"
    | "health"
    | "route_key"
    | "get_ctx"
    | "multi_get_ctx";
  readonly arg: NotedKey | { readonly type: "list"; readonly value: readonly NotedKey[] } | ArgWithContext;
  readonly result?: unknown;
  readonly error?: NotedError["error"];
}

interface Case {
  readonly name: string;
  readonly overlay: readonly string[];
  readonly delete: readonly string[];
  readonly "reader_options": { readonly "max_fallback_attempts"?: number };
  readonly open: "ok" | NotedError;
  readonly ops: readonly Operation[];
}

/** Python's classes, and what stands for them here. Its built-in errors are those of a routine that it called. */
const CODES: Readonly<Record<string, string>> = {
  ManifestParseError: "MANIFEST_PARSE",
  ReaderStateError: "READER_STATE",
  ConfigValidationError: "CONFIG_VALIDATION",
  ValueError: "CONFIG_VALIDATION",
  FileNotFoundError: "OBJECT_NOT_FOUND",
  DatabaseError: "CORRUPT_FILE",
  UnknownRoutingTokenError: "UNKNOWN_ROUTING_TOKEN",
  KeyError: "SHARD_ASSIGNMENT",
};

/** Cases that `intended` decides, as Python does something else. */
const INTENDED: Readonly<Record<string, string>> = {
  "current_missing": "READER_STATE",
  "cel_runtime_error": "CEL_EVALUATION",
};

const cases: readonly Case[] = fixtureJson("errors/reader_errors.json").cases;

async function storeOf({ name, overlay, delete: deleted }: Case): Promise<ObjectStore> {
  const base = "errors/base/store/shardy-fixtures/errors";
  const store = memoryStore(name);
  for (const key of filesUnder(base, "")) await store.put(key, fixtureBytes(`${base}/${key}`));
  for (const key of deleted) await store.delete(key.slice("errors/".length));
  for (const key of overlay) {
    await store.put(key.slice("errors/".length), fixtureBytes(`errors/cases/${name}/shardy-fixtures/${key}`));
  }
  return store;
}

function keysOf(arg: Operation["arg"]): Key[] {
  if (arg.type === undefined) return (arg.keys ?? [arg.key!]).map(keyOf);
  return arg.type === "list" ? arg.value.map(keyOf) : [keyOf(arg)];
}

/** What is no key here, though Python takes it: encoded keys (they would be routed wrongly), and true for 1. */
function isRefused({ arg }: Operation, encoding: string): boolean {
  return arg.type === "bool" || arg.type === "bytes" && encoding.endsWith("be");
}

async function perform(reader: SnapshotReader, { op, arg }: Operation): Promise<unknown> {
  const [key] = keysOf(arg);
  const context = arg.type === undefined ? contextOf(arg) : {};
  switch (op) {
    case "get_ctx":
    case "get": {
      const value = await reader.get(key!, context);
      return value === null ? null : toHex(value);
    }
    case "multi_get_ctx":
    case "multi_get": {
      const values = await reader.getMany(keysOf(arg), context);
      return Array.from(values, ([found, value]) => [found, value && toHex(value)]);
    }
    case "close":
      await reader.close();
      return "ok";
    case "refresh":
      return await reader.refresh();
    case "reader_for_key":
      return reader.borrow(key!);
    case "route_key":
      return reader.route(key!);
    case "health":
      return reader.health().status;
  }
}

function expectedResult({ op, result }: Operation): unknown {
  if (!op.startsWith("multi_get")) return result;
  const rows = result as readonly { readonly key: NotedKey; readonly value_hex: string | null }[];
  return rows.map(({ key, value_hex: hex }) => [keyOf(key), hex]);
}

for (const access of ["memory", "download"] as const) {
  for (const example of cases) {
    test(`openSnapshot() with access "${access}" does as Python does: ${example.name}`, async () => {
      using folder = temporaryFolder();
      const fallbackAttempts = example.reader_options.max_fallback_attempts ?? 3;
      const opening = openSnapshot({
        store: await storeOf(example),
        access,
        cacheDir: folder.path,
        fallbackAttempts,
      });
      if (example.open !== "ok") {
        const code = INTENDED[example.name] ?? CODES[example.open.error.class];
        ok(code !== undefined, example.open.error.class);
        await rejects(opening, { code });
        return;
      }
      await using reader = await opening;
      for (const operation of example.ops) {
        const about = `${operation.op} ${JSON.stringify(operation.arg)}`;
        if (operation.error === undefined && !isRefused(operation, reader.info.keyEncoding)) {
          deepEqual(await perform(reader, operation), expectedResult(operation), about);
        } else {
          const code = operation.error === undefined
            ? "CONFIG_VALIDATION"
            : (INTENDED[example.name] ?? CODES[operation.error.class]);
          ok(code !== undefined, about);
          await rejects(async () => await perform(reader, operation), { code }, about);
        }
      }
    });
  }
}

test("openSnapshot() takes warnings about a fallback into info", async () => {
  const example = cases.find(({ name }) => name === "manifest_not_sqlite_fallback")!;
  await using reader = await openSnapshot({ store: await storeOf(example) });
  equal(reader.info.warnings.length, 1);
  ok(reader.info.warnings[0]!.includes(reader.info.manifestRef));
  deepEqual(await reader.get(5), fromHex("6f6e652d35"));
  equal(await reader.refresh(), false);
});

test("openSnapshot() tells a shard that is no database from one that is cut", async () => {
  const example = cases.find(({ name }) => name === "shard_db_garbage")!;
  await rejects(openSnapshot({ store: await storeOf(example) }), CorruptFileError);
});
