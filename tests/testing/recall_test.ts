import { equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { recallAtK } from "../../src/testing/recall.ts";

function ids(...list: (number | bigint | string)[]): { id: number | bigint | string }[] {
  return list.map((id) => ({ id }));
}

test("recallAtK() counts the best that were found among the best", () => {
  equal(recallAtK(ids(3, 1, 2), ids(1, 2, 3), 3), 1);
  equal(recallAtK(ids(1, 9, 2), ids(1, 2, 3), 2), 0.5);
  equal(recallAtK(ids(), ids(1), 10), 0);
  equal(recallAtK(ids(), ids(), 10), 1);
  equal(recallAtK(ids(1, 1), ids(1, 2), 2), 0.5);
  equal(recallAtK(ids(1n, "2"), ids(1, 2), 2), 0.5);
  for (const k of [0, -1, 1.5]) throws(() => recallAtK([], [], k), { code: "CONFIG_VALIDATION" });
});
