// Judge: arithmetic on what was put in.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { PagePool } from "../../src/read/page_pool.ts";

test("PagePool keeps the pages that were used last, of all shards together", () => {
  const pool = new PagePool(10 * 512);
  const slots = Array.from({ length: 4 }, () => pool.newSlot());
  equal(new Set(slots).size, 4);
  for (let number = 1; number <= 5; number++) {
    for (const slot of slots) {
      pool.set(slot, number, new Uint8Array(512).fill(slot));
      ok(pool.sizeBytes <= 10 * 512);
    }
    pool.get(slots[0]!, 1);
  }
  equal(pool.sizeBytes, 10 * 512);
  equal(pool.get(slots[0]!, 1)![0], slots[0]);
  equal(pool.get(slots[1]!, 1), undefined);
  equal(pool.get(slots[1]!, 5)![0], slots[1]);
  equal(pool.get(slots[1]!, 2 ** 31), undefined);
});

test("PagePool keeps one page when it may keep none", () => {
  const pool = new PagePool(0);
  const slot = pool.newSlot();
  pool.set(slot, 1, new Uint8Array(4096));
  pool.set(slot, 2, new Uint8Array(4096));
  equal(pool.get(slot, 1), undefined);
  equal(pool.get(slot, 2)!.length, 4096);
  equal(pool.hold(slot, 1, () => {}), false);
});

/** Slots that note when they have to let go. */
function holders(
  pool: PagePool,
  count: number,
): { slots: number[]; released: number[]; hold(index: number, sizeBytes: number): boolean } {
  const slots = Array.from({ length: count }, () => pool.newSlot());
  const released: number[] = [];
  return { slots, released, hold: (index, size) => pool.hold(slots[index]!, size, () => released.push(index)) };
}

test("PagePool.hold() gives three quarters at most, and takes from those unused for longest", () => {
  const pool = new PagePool(1000);
  const { slots, released, hold } = holders(pool, 5);
  equal(hold(0, 751), false);
  equal(hold(0, 300), true);
  equal(hold(1, 300), true);
  equal(hold(2, 150), true);
  deepEqual(released, []);
  pool.touch(slots[0]!);
  equal(hold(3, 200), true);
  deepEqual(released, [1]);
  equal(pool.sizeBytes, 650);
  equal(hold(4, 750), true);
  deepEqual(released, [1, 2, 0, 3]);
  equal(pool.sizeBytes, 750);
  pool.drop(slots[4]!);
  equal(pool.sizeBytes, 0);
  deepEqual(released, [1, 2, 0, 3]);
});

test("PagePool.touch() counts although others were held since the last one", () => {
  const pool = new PagePool(1000);
  const { slots, released, hold } = holders(pool, 3);
  hold(0, 300);
  pool.touch(slots[0]!);
  hold(1, 300);
  pool.touch(slots[0]!);
  hold(2, 300);
  deepEqual(released, [1]);
});

test("PagePool.hold() replaces what the same shard held", () => {
  const pool = new PagePool(1000);
  const { released, hold } = holders(pool, 1);
  equal(hold(0, 700), true);
  equal(hold(0, 600), true);
  equal(pool.sizeBytes, 600);
  equal(hold(0, 800), false);
  equal(pool.sizeBytes, 0);
  deepEqual(released, []);
});

test("PagePool makes room among the pages for what is held, and gives it back", () => {
  const pool = new PagePool(1000);
  const slot = pool.newSlot();
  for (let number = 1; number <= 10; number++) pool.set(slot, number, new Uint8Array(100));
  equal(pool.sizeBytes, 1000);
  pool.hold(pool.newSlot(), 650, () => {});
  equal(pool.sizeBytes, 950);
  equal(pool.get(slot, 7), undefined);
  ok(pool.get(slot, 8) !== undefined);
});
