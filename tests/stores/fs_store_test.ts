import { deepEqual, equal, match, notEqual, ok, rejects, throws } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { fsStore, type FsStoreOptions } from "../../src/stores/fs_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { storeContract } from "../contracts/store_contract.ts";

const PROGRAM = fileURLToPath(new URL("./fs_process.ts", import.meta.url));
const encode = (text: string) => new TextEncoder().encode(text);

async function makeFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
}

storeContract("fsStore()", async () => {
  const folder = await makeFolder();
  const cleanUp = async () => {
    const left = (await readdir(folder, { recursive: true })).filter((name) => name.includes(".sf-"));
    await rm(folder, { recursive: true });
    deepEqual(left, [], "nothing of our own is left");
  };
  return { store: fsStore(join(folder, "not", "yet there")), cleanUp };
});

function folderTest(
  name: string,
  use: (folder: string, store: ObjectStore) => Promise<void>,
  options?: FsStoreOptions,
): void {
  test(`fsStore() ${name}`, { timeout: 60_000 }, async () => {
    const folder = await makeFolder();
    try {
      await use(folder, fsStore(folder, options));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

/** Starts one of the works of `fs_process.ts` on the runtime that runs the tests. */
function startProcess(work: string, folder: string, count: number = 0): ChildProcess {
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  return spawn(process.execPath, [...args, PROGRAM, work, folder, String(count)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function ended(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code ?? -1)));
}

async function text(store: ObjectStore, key: string): Promise<string> {
  return new TextDecoder().decode(await (await store.get(key)).bytes());
}

async function keys(store: ObjectStore, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const page of store.list(prefix)) found.push(...page.map(({ key }) => key));
  return found;
}

folderTest("takes a path or a file: URL, and names itself by the URL or as it is told", async (folder) => {
  const spaced = join(folder, "a b%c");
  const url = pathToFileURL(spaced);
  await fsStore(spaced).put("object", encode("1"));
  for (const store of [fsStore(url), fsStore(url.href), fsStore(`${spaced}/`)]) {
    deepEqual([store.url, await text(store, "object")], [url.href, "1"]);
  }
  equal(fsStore(folder, { url: "s3://bucket/prefix/" }).url, "s3://bucket/prefix");
  throws(() => fsStore(""), { code: "CONFIG_VALIDATION", path: "dir" });
  throws(() => fsStore("https://example.com/" as string & URL, { url: "" }), { code: "CONFIG_VALIDATION" });
  throws(() => fsStore(new URL("https://example.com/")), { code: "CONFIG_VALIDATION", path: "dir" });
});

folderTest("keeps objects as plain files", async (folder, store) => {
  await store.put("a/b c", encode("1"));
  equal(await readFile(join(folder, "a", "b c"), "utf8"), "1");
  await mkdir(join(folder, "made elsewhere"));
  await writeFile(join(folder, "made elsewhere", "object"), "2");
  equal(await text(store, "made elsewhere/object"), "2");
  deepEqual(await keys(store), ["a/b c", "made elsewhere/object"]);
});

folderTest("follows links to files and folders", async (folder, store) => {
  await mkdir(join(folder, "real"));
  await writeFile(join(folder, "real", "object"), "1");
  await symlink(join(folder, "real"), join(folder, "linked"));
  await symlink(join(folder, "nowhere"), join(folder, "broken"));
  deepEqual(await keys(store), ["linked/object", "real/object"]);
  equal(await text(store, "linked/object"), "1");
});

folderTest("has the same ETag for every reader, another one after each replacement", async (folder, store) => {
  const seen = new Set<string>();
  for (let count = 0; count < 200; count++) {
    const { etag } = await store.put("object", encode(String(count % 2)));
    equal((await fsStore(folder).get("object")).etag, etag);
    seen.add(etag!);
  }
  equal(seen.size, 200);
});

folderTest("reads all ranges from the version that it opened", async (folder, store) => {
  const { etag } = await store.put("object", new Uint8Array(3 << 20).fill(1));
  const object = await store.get("object");
  const reader = object.body.getReader();
  const first = await reader.read();
  await store.put("object", new Uint8Array(3 << 20).fill(2));
  let streamedBytes = 0;
  for (let chunk = first; !chunk.done; chunk = await reader.read()) {
    ok(chunk.value.every((byte) => byte === 1), "the versions were mixed");
    streamedBytes += chunk.value.byteLength;
  }
  deepEqual([streamedBytes, object.etag], [3 << 20, etag]);
  notEqual((await fsStore(folder).get("object")).etag, etag);
});

folderTest("lets a body be forgotten, and tells when the object changed before it was read", async (_folder, store) => {
  await store.put("object", new Uint8Array(3 << 20).fill(1));
  const object = await store.get("object");
  ok(!object.body.locked);
  await store.put("object", new Uint8Array(3 << 20).fill(2));
  await rejects(() => object.bytes(), { code: "STORE", retryable: true, message: /changed/ });
});

folderTest("tells when a file is cut while it is read", async (folder, store) => {
  await store.put("object", new Uint8Array(3 << 20));
  const object = await store.get("object");
  await writeFile(join(folder, "object"), "short");
  await rejects(() => object.bytes(), { code: "STORE", retryable: true });
});

folderTest("refuses keys that are no portable file names, or could be its own files", async (_folder, store) => {
  for (const key of ["a\\b", "a.tmp", "a.tmp/b", ".sf-object", "a/.sf-object.lock/b"]) {
    await rejects(() => store.put(key, encode("1")), { code: "CONFIG_VALIDATION", path: "key" });
    await rejects(() => store.get(key), { code: "CONFIG_VALIDATION", path: "key" });
  }
  await store.put(".hidden", encode("1"));
  deepEqual(await keys(store), [".hidden"]);
});

folderTest("takes names as long as the file system does, in a folder with their namesakes", async (_folder, store) => {
  const long = "é".repeat(120);
  await Promise.all(["a", "b", "c"].map((end) => store.put(`${long}${end}`, encode(end))));
  deepEqual(await keys(store), [`${long}a`, `${long}b`, `${long}c`]);
  const tooLong = { code: "STORE", retryable: false, message: /name is too long \(ENAMETOOLONG\)/ };
  await rejects(() => store.put("é".repeat(200), encode("1")), tooLong);
});

folderTest("says which path cannot be written, and why", async (folder, store) => {
  await writeFile(join(folder, "file"), "1");
  const notFolder = { code: "STORE", retryable: false, message: /file.below": a file stands.*\((ENOTDIR|EEXIST)\)/ };
  await rejects(() => store.put("file/below", encode("1")), notFolder);
  await rejects(() => store.upload("file/below", { headBytes: 0 }), notFolder);
  await store.put("folder/object", encode("1"));
  const isFolder = { code: "STORE", retryable: false, message: /a folder with objects.*\(ENOTEMPTY\)/ };
  await rejects(() => store.put("folder", encode("1")), isFolder);

  // Permissions do not hold the superuser back, but nobody may make files in /sys.
  const isRoot = process.getuid?.() === 0;
  const closed = isRoot ? "/sys" : join(folder, "closed");
  if (!isRoot) await mkdir(closed);
  await chmod(closed, 0o555);
  const denied = { code: "STORE", retryable: false, message: /object": .*\((EACCES|EPERM|EROFS)\)/ };
  await rejects(() => fsStore(closed).put("folder/object", encode("1")), denied);
  await rejects(() => fsStore(closed).upload("folder/object", { headBytes: 0 }), denied);
  deepEqual(await keys(store), ["file", "folder/object"]);
});

folderTest("removes the folders that deletePrefix empties, and temporary files of any age", async (folder, store) => {
  await store.put("a/b/c/object", encode("1"));
  await store.put("a/other", encode("1"));
  await writeFile(join(folder, "a", "b", "c", ".sf-object.1.tmp"), "left behind");
  equal(await store.deletePrefix("a/b"), 1);
  deepEqual(await readdir(join(folder, "a")), ["other"]);
});

folderTest("leaves a lock of a living process when it clears a folder", async (folder, store) => {
  await store.put("a/object", encode("1"));
  const lock = join(folder, "a", ".sf-other.lock");
  await writeFile(lock, JSON.stringify({ token: "t", pid: 1, place: "elsewhere" }));
  equal(await store.deletePrefix("a"), 1);
  deepEqual(await readdir(join(folder, "a")), [".sf-other.lock"]);
});

folderTest("sweeps leftovers that are older than an hour when a store first writes into a folder", async (folder) => {
  const nowS = Date.now() / 1000;
  await mkdir(join(folder, "a"));
  for (const [name, ageS] of [[".sf-x.1.tmp", 3_700], [".sf-x.2.tmp", 3_000], ["theirs.tmp", 9_000]] as const) {
    await writeFile(join(folder, "a", name), "left behind");
    await utimes(join(folder, "a", name), nowS - ageS, nowS - ageS);
  }
  const store = fsStore(folder);
  deepEqual([await keys(store), await store.listFolders("")], [[], []]);
  await using upload = await store.upload("a/object", { headBytes: 0 });
  await upload.finish(new Uint8Array());
  deepEqual((await readdir(join(folder, "a"))).sort(), [".sf-x.2.tmp", "object", "theirs.tmp"]);
});

folderTest("fails an upload whose temporary file was cleared away, and leaves nothing", async (folder, store) => {
  await using upload = await store.upload("a/object", { headBytes: 0 });
  await upload.write(encode("1"));
  equal(await store.deletePrefix("a"), 0);
  await rejects(() => upload.finish(new Uint8Array()), { code: "STORE", retryable: true });
  deepEqual(await readdir(folder), []);
});

folderTest("P2: loses no increment of two processes", async (folder, store) => {
  await store.put("counter", encode("1000"));
  const children = [1, 2].map(() => startProcess("increment", folder, 150));
  deepEqual(await Promise.all(children.map(ended)), [0, 0]);
  equal(await text(store, "counter"), "1300");
});

folderTest("shows nothing of an uploader that was killed", async (folder, store) => {
  const child = startProcess("upload", folder);
  const exit = ended(child);
  await new Promise((resolve) => child.stdout!.once("data", resolve));
  child.kill("SIGKILL");
  equal(await exit, "SIGKILL");
  match((await readdir(join(folder, "runs"))).join(), /^\.sf-object\.[0-9a-f-]+\.tmp$/);
  deepEqual([await keys(store), await store.listFolders("")], [[], []]);
  await rejects(() => store.get("runs/object"), { code: "OBJECT_NOT_FOUND" });
  const [upload, ...others] = await store.listUploads!("");
  deepEqual([upload?.key, others], ["runs/object", []]);
  ok(Math.abs(upload!.changedAtMicros / 1000 - Date.now()) < 60_000);
  deepEqual(await Promise.all(["runs/obj", "runs/x", "rx", "x/"].map((prefix) => store.listUploads!(prefix))), [
    [upload],
    [],
    [],
    [],
  ]);
  await store.put("runs/object", encode("1"));
  equal(await store.deletePrefix("runs"), 1);
  deepEqual(await readdir(folder), []);
});

folderTest(
  "gives up an upload of somebody else, and removes the folders that this leaves empty",
  async (folder, store) => {
    const upload = await fsStore(folder).upload("a/b/object", { headBytes: 0 });
    await upload.write(encode("1"));
    const found = await store.listUploads!("a/");
    equal(found.length, 1);
    await store.abortUpload!(found[0]!);
    await store.abortUpload!(found[0]!);
    deepEqual(await readdir(folder), []);
    await rejects(() => upload.finish(new Uint8Array()), { code: "STORE", retryable: true });
    deepEqual(await keys(store), []);
    await rejects(() => store.abortUpload!({ key: "../a", uploadId: "b", changedAtMicros: 0 }));
  },
);

folderTest("leaves no empty folder behind, whatever ends in it, and keeps its own", async (folder, store) => {
  await store.put("a/b/c/1", encode("1"));
  await store.put("a/2", encode("2"));
  await store.delete("a/b/c/1");
  deepEqual((await readdir(folder, { recursive: true })).sort(), ["a", join("a", "2")]);
  await (await store.upload("a/d/e/3", { headBytes: 0 })).abort();
  await rejects(() => store.put("a/d/e/3", encode("3"), { precondition: { ifMatch: '"none"' } }));
  await store.deletePrefix("a/x/y");
  deepEqual((await readdir(folder, { recursive: true })).sort(), ["a", join("a", "2")]);
  await store.put("f/g/h/4", encode("4"));
  await store.deletePrefix("f/g/h");
  await store.delete("a/2");
  await store.delete("a/2");
  deepEqual(await readdir(folder), []);
});

folderTest("loses no object to others who remove the folders around it", async (folder, store) => {
  // Each writes and deletes an object of its own in the same folders, which come and go all the time.
  async function churn(worker: number): Promise<void> {
    const own = worker % 2 === 0 ? store : fsStore(folder);
    for (let round = 0; round < 60; round++) {
      const key = `a/b${round % 3}/c/${worker}`;
      await own.put(key, encode(`${round}`));
      equal(await text(own, key), `${round}`);
      if (round % 4 === 3) await own.deletePrefix(`a/b${round % 3}/none`);
      await own.delete(key);
    }
  }
  await Promise.all([1, 2, 3, 4, 5, 6].map(churn));
  deepEqual(await readdir(folder), []);
});

folderTest("P6: takes over the lock of a process that died with it, at once", async (folder, store) => {
  await store.put("counter", encode("1"));
  equal(await ended(startProcess("dieLocked", folder)), "SIGKILL");
  deepEqual((await readdir(folder)).sort(), [".sf-counter.lock", "counter"]);
  const startedMs = performance.now();
  await store.put("counter", encode("2"), { precondition: { ifMatch: (await store.get("counter")).etag! } });
  ok(performance.now() - startedMs < 2_000, "it waited");
  deepEqual(await readdir(folder), ["counter"]);
});

const clock = new ManualClock();
folderTest("P6: takes over a lock of elsewhere only after it was seen for 10 s", async (folder, store) => {
  for (const content of ["", "{", JSON.stringify({ token: "t", pid: 1, place: "elsewhere", since: "" })]) {
    const startedMs = clock.monotonicMs();
    await writeFile(join(folder, ".sf-counter.lock"), content);
    await store.put("counter", encode("1"));
    const waitedMs = clock.monotonicMs() - startedMs;
    ok(waitedMs >= 10_000 && waitedMs < 11_000, `it waited ${waitedMs} ms`);
    deepEqual(await readdir(folder), ["counter"]);
  }
}, { clock });

class LockRenewal extends ManualClock {
  renew: () => Promise<void> = () => Promise.resolve();

  override async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    await this.renew();
    await super.sleep(delayMs, signal);
  }
}

const busyClock = new LockRenewal();
folderTest("gives up waiting for a lock that others keep taking, and changes nothing", async (folder, store) => {
  await store.put("counter", encode("1"));
  let count = 0;
  busyClock.renew = () =>
    writeFile(join(folder, ".sf-counter.lock"), JSON.stringify({ token: `t${count++}`, pid: 1, place: "elsewhere" }));
  await busyClock.renew();
  await rejects(() => store.put("counter", encode("2")), { code: "STORE", retryable: true, message: /Cannot lock/ });
  equal(await text(store, "counter"), "1");
  equal((await readdir(folder)).filter((name) => name.endsWith(".tmp")).length, 0);
}, { clock: busyClock });

folderTest("lets an abort end the waiting for a lock", async (folder, store) => {
  await writeFile(join(folder, ".sf-counter.lock"), "");
  const reason = new Error("enough");
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 50);
  const isReason = (error: unknown) => error === reason;
  await rejects(() => store.put("counter", encode("1"), { signal: controller.signal }), isReason);
  deepEqual(await readdir(folder), [".sf-counter.lock"]);
});

test("withLock() P2: loses nothing while processes die with the lock", { timeout: 120_000 }, async () => {
  const folder = await makeFolder();
  try {
    await writeFile(join(folder, "count"), "0");
    let killedCount = 0;
    for (let round = 0; round < (process.env["SHARDYFUSION_SOAK"] === "1" ? 50 : 2); round++) {
      const children = Array.from({ length: 4 }, () => startProcess("incrementAndDie", folder, 60));
      killedCount += (await Promise.all(children.map(ended))).filter((exit) => exit === "SIGKILL").length;
    }
    const notes = (await readdir(folder)).filter((name) => name.startsWith("done-"));
    const doneCounts = await Promise.all(notes.map(async (name) => (await readFile(join(folder, name))).byteLength));
    equal(Number(await readFile(join(folder, "count"), "utf8")), doneCounts.reduce((sum, done) => sum + done, 0));
    ok(killedCount > 0, "nobody died: the test tested nothing");
  } finally {
    await rm(folder, { recursive: true });
  }
});
