// Judge: made-up readers that answer when they are told to, and say which one was asked.
import { deepEqual, equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { ShardReader } from "../../src/backends/backend.ts";
import { HydratingShard } from "../../src/read/hydrating_shard.ts";

const KEY = new Uint8Array([1]);

/** A reader whose values and rows begin with its number. */
function fake(id: number, answers: () => Promise<void> | null) {
  const log = { isClosed: false, warmed: 0 };
  const value = new Uint8Array([id]);
  const reader: ShardReader = {
    get: () => answers()?.then(() => value) ?? value,
    async getMany(keys) {
      await answers();
      return keys.map(() => value);
    },
    async *scan() {
      for (let row = 0; row < 3; row++) {
        await answers();
        yield [[KEY, value]];
      }
    },
    warm() {
      log.warmed++;
      return Promise.resolve();
    },
    [Symbol.asyncDispose]() {
      log.isClosed = true;
      return Promise.resolve();
    },
  };
  return { reader, log };
}

function setUp(answers: () => Promise<void> | null = () => null) {
  const remote = fake(1, answers);
  const local = fake(2, () => null);
  let askedCount = 0;
  const shard = new HydratingShard(remote.reader, () => askedCount++);
  return { remote: remote.log, local, shard, askedCount: () => askedCount };
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
}

test("HydratingShard ends lookups where they began, and closes the remote reader after them", async () => {
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const { remote, local, shard } = setUp(() => answered);
  const early = [shard.get(KEY), shard.getMany([KEY]).then(([value]) => value)];
  equal(shard.switchTo(local.reader), true);
  deepEqual(await shard.get(KEY), new Uint8Array([2]));
  deepEqual(await shard.getMany([KEY, KEY]), [new Uint8Array([2]), new Uint8Array([2])]);
  await turn();
  equal(remote.isClosed, false);
  answer();
  deepEqual(await Promise.all(early), [new Uint8Array([1]), new Uint8Array([1])]);
  await turn();
  equal(remote.isClosed, true);
  equal(local.log.isClosed, false);
  await shard[Symbol.asyncDispose]();
  equal(local.log.isClosed, true);
});

test("HydratingShard ends scans where they began, whether they are read to the end or left", async () => {
  for (const isLeft of [false, true]) {
    const { remote, local, shard } = setUp();
    const unused = shard.scan();
    const scan = shard.scan();
    const ids = [(await scan.next()).value![0]![1][0]];
    shard.switchTo(local.reader);
    equal(remote.isClosed, false);
    if (isLeft) await scan.return();
    else for await (const [row] of scan) ids.push(row![1][0]);
    deepEqual(ids, isLeft ? [1] : [1, 1, 1]);
    equal(remote.isClosed, true);
    // Made before the switch, but begun after it.
    deepEqual((await Array.fromAsync(unused)).map(([row]) => row![1][0]), [2, 2, 2]);
  }
});

test("HydratingShard answers from the file when ranges fail after it has come", async () => {
  const { promise: answered, reject: fail } = Promise.withResolvers<void>();
  const { local, shard } = setUp(() => answered);
  const reason = new Error("enough");
  const early = [shard.get(KEY), shard.getMany([KEY]).then(([value]) => value)];
  const given = shard.get(KEY, AbortSignal.abort(reason));
  shard.switchTo(local.reader);
  const refused = rejects(Promise.resolve(given), { message: "the store is down" });
  fail(new Error("the store is down"));
  deepEqual(await Promise.all(early), [new Uint8Array([2]), new Uint8Array([2])]);
  await refused;
});

test("HydratingShard passes failures on as long as there is no file", async () => {
  const { shard } = setUp(() => Promise.reject(new Error("the store is down")));
  await rejects(Promise.resolve(shard.get(KEY)), { message: "the store is down" });
  await rejects(Array.fromAsync(shard.scan()), { message: "the store is down" });
});

test("HydratingShard.warm() waits for the file, or warms the remote reader when there will be none", async () => {
  for (const isHydrated of [true, false]) {
    const { remote, local, shard, askedCount } = setUp();
    equal(shard.isAsked, false);
    let isWarm = false;
    const warming = shard.warm().then(() => isWarm = true);
    await shard.warm(AbortSignal.timeout(1)).catch(() => {});
    equal(isWarm, false);
    equal(shard.isAsked, true);
    if (isHydrated) shard.switchTo(local.reader);
    else shard.stay();
    await warming;
    deepEqual([remote.warmed, local.log.warmed], isHydrated ? [0, 1] : [1, 0]);
    equal(askedCount(), 1);
  }
});

test("HydratingShard.switchTo() takes no file after it was closed", async () => {
  const { remote, local, shard } = setUp();
  await shard[Symbol.asyncDispose]();
  equal(remote.isClosed, true);
  equal(shard.switchTo(local.reader), false);
});
