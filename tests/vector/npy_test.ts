// Damage; what NumPy wrote is read in sharding_vectors_test.ts.
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { readNpy, writeNpy } from "../../src/vector/mod.ts";

const file = writeNpy({ shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) });

/** The file with another header of the same length, or another version. */
function changed(header: string, version = 1): Uint8Array {
  const text = new TextEncoder().encode(`${header.padEnd(117 - 2 * Number(version > 1))}\n`);
  const head = version === 1 ? [118, 0] : [116, 0, 0, 0];
  return Uint8Array.from([...file.subarray(0, 6), version, 0, ...head, ...text, ...file.subarray(128)]);
}

test("readNpy() refuses files cut at any byte", () => {
  equal(file.length, 128 + 24);
  for (let length = 0; length < file.length; length++) {
    throws(() => readNpy(file.subarray(0, length)), { code: "CORRUPT_FILE" });
  }
  throws(() => readNpy(Uint8Array.from([...file, 0])), { code: "CORRUPT_FILE" });
});

test("readNpy() reads versions 1 to 3 and any shape, and refuses other numbers and other versions", () => {
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  const expected = readNpy(file);
  for (const version of [1, 2, 3]) deepEqual(readNpy(changed(header, version)), expected);
  deepEqual(readNpy(changed(header.replace("(2, 3)", "(6,)"))).shape, [6]);
  deepEqual([...readNpy(changed(header.replace("False", "True"))).values], [1, 3, 5, 2, 4, 6]);
  deepEqual([...readNpy(changed(header.replace("(2, 3)", "(1, 2, 3)").replace("False", "True"))).values], [
    ...[1, 3, 5, 2, 4, 6],
  ]);
  for (
    const wrong of [
      header.replace("<f4", ">f4"),
      header.replace("<f4", "|O"),
      header.replace("(2, 3)", "(2, 4)"),
      header.replace("(2, 3)", "(-2, -3)"),
      header.replace("(2, 3)", "(9999999999999, 9999999999999)"),
      header.replace("descr", "type"),
      "",
    ]
  ) throws(() => readNpy(changed(wrong)), { code: "CORRUPT_FILE" }, wrong);
  throws(() => readNpy(changed(header, 4)), { code: "CORRUPT_FILE", byteOffset: 6 });
});

test("writeNpy() writes arrays of one axis and of none, and refuses a shape of other values", () => {
  for (const shape of [[3], [], [0, 4]]) {
    const values = new Float64Array(shape.reduce((product, axis) => product * axis, 1)).fill(7);
    deepEqual(readNpy(writeNpy({ shape, values })), { shape, values });
  }
  throws(() => writeNpy({ shape: [2], values: Float32Array.of(1) }), { code: "CONFIG_VALIDATION", path: "shape" });
});
