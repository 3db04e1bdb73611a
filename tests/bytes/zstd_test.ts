// The judges are the fixtures' sidecars, the zstd of Python and the runtime's own.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { decompressFrame } from "../../src/bytes/zstd.ts";
import { compressFrame, storedFrame } from "../../src/bytes/zstd_compress.ts";

const PYTHON = `
import sys, struct, zstandard
mode, level, data = sys.argv[1], int(sys.argv[2]), sys.stdin.buffer.read()
def one(part):
    if mode == "decompress":
        out = zstandard.ZstdDecompressor().decompress(part)
        params = zstandard.get_frame_parameters(part)
        assert params.has_checksum and params.content_size == len(out), params
        return out
    flags = {"compress": {}, "plain": {"write_checksum": False}, "unsized": {"write_content_size": False}}[mode]
    return zstandard.ZstdCompressor(level=level, **{"write_checksum": True, **flags}).compress(part)
at = 0
while at < len(data):
    (n,) = struct.unpack_from("<I", data, at)
    out = one(data[at + 4:at + 4 + n])
    sys.stdout.buffer.write(struct.pack("<I", len(out)) + out)
    at += 4 + n
`;

/** Lets Python compress or decompress each piece. */
function python(mode: string, pieces: readonly Uint8Array[], level: number = 3): Uint8Array[] {
  const input = pieces.flatMap((piece) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(piece.length);
    return [head, piece];
  });
  const { status, stdout, stderr } = spawnSync("python3", ["-c", PYTHON, mode, `${level}`], {
    input: Buffer.concat(input),
    maxBuffer: 1 << 28,
  });
  equal(status, 0, String(stderr));
  const results: Uint8Array[] = [];
  for (let at = 0; at < stdout.length;) {
    const end = at + 4 + stdout.readUInt32LE(at);
    results.push(new Uint8Array(stdout.subarray(at + 4, end)));
    at = end;
  }
  return results;
}

const hasJudge = spawnSync("python3", ["-c", "import zstandard"]).status === 0;

function judgedTest(name: string, run: () => void | Promise<void>): void {
  test(name, (t) => {
    if (hasJudge) return run();
    const reason = "Python's package zstandard (it is not installed)";
    console.log(`LEFT OUT: ${reason}`);
    t.skip(reason);
  });
}

const isSame = (left: Uint8Array, right: Uint8Array) => Buffer.compare(left, right) === 0;
const text = (bytes: number) =>
  new Uint8Array(Buffer.from("page cache, page 12; ".repeat(bytes / 20 + 1)).subarray(0, bytes));
const noise = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => Math.imul(i + 7, 0x9e3779b1) >>> 21);
const mixed = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (i & 64 ? (i * i) >> 5 : i & 15));

const random = (bytes: number) => {
  let state = bytes;
  return Uint8Array.from({ length: bytes }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24);
};

const SAMPLES = [1, 5, 200, 255, 256, 257, 4096, 65_536, 65_791, 65_792, 131_072, 131_073, 700_001]
  .flatMap((bytes) => [text(bytes), noise(bytes), mixed(bytes), new Uint8Array(bytes)])
  .concat([random(20_000), random(3_000_000)]);

judgedTest("decompressFrame() reads what Python's zstandard wrote, at several levels", () => {
  for (const level of [1, 3, 19]) {
    const samples = level === 19 ? SAMPLES.slice(0, -6) : SAMPLES;
    python("compress", samples, level).forEach((frame, i) => {
      ok(isSame(decompressFrame(frame, samples[i]!.length), samples[i]!), `level ${level}, sample ${i}`);
    });
  }
});

judgedTest(
  "compressFrame() and storedFrame() write frames that Python's zstandard reads and that state length and checksum",
  async () => {
    for (const make of [compressFrame, storedFrame]) {
      const frames = await Promise.all(SAMPLES.map((sample) => make(sample)));
      python("decompress", frames).forEach((content, i) =>
        ok(isSame(content, SAMPLES[i]!), `${make.name}, sample ${i}`)
      );
      frames.forEach((frame, i) => ok(isSame(decompressFrame(frame, SAMPLES[i]!.length), SAMPLES[i]!)));
    }
    equal((await compressFrame(text(100_000))).length < 1000, true);
  },
);

judgedTest("decompressFrame() refuses a frame whose checksum is not that of its content", () => {
  const [frame] = python("compress", [text(5000)]);
  for (let at = frame!.length - 4; at < frame!.length; at++) {
    const damaged = frame!.slice();
    damaged[at]! ^= 1;
    throws(() => decompressFrame(damaged, 5000), { code: "CORRUPT_FILE" });
  }
});

judgedTest(
  "decompressFrame() refuses frames of another length, with more behind them, without checksum or without length",
  () => {
    const [frame] = python("compress", [text(5000)]);
    const refused: [Uint8Array, number][] = [
      [frame!, 4999],
      [frame!, 5001],
      [frame!, 0],
      [new Uint8Array(0), 5000],
      [Buffer.concat([frame!, frame!]), 5000],
      [Buffer.concat([frame!, Uint8Array.of(0)]), 5000],
      [Buffer.from("garbage that is no frame at all"), 5000],
      [python("plain", [text(5000)])[0]!, 5000],
      [python("unsized", [text(5000)])[0]!, 5000],
      [new Uint8Array(Buffer.from("28b52ffd0458" + "010000" + "99e9d851", "hex")), 0],
    ];
    for (let length = 0; length < frame!.length; length++) refused.push([frame!.subarray(0, length), 5000]);
    for (const [bytes, sizeBytes] of refused) {
      throws(() => decompressFrame(bytes, sizeBytes), { code: "CORRUPT_FILE", name: "CorruptFileError" });
    }
  },
);

judgedTest("decompressFrame() answers any damage with CorruptFileError or the right content", () => {
  const contents = [text(3000), mixed(3000)];
  const frames = python("compress", contents).concat(contents.map(storedFrame));
  frames.forEach((frame, i) => {
    const content = contents[i % 2]!;
    for (let at = 0; at < frame.length; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        const damaged = frame.slice();
        damaged[at]! ^= flip;
        judge(damaged, content);
      }
    }
  });
  fc.assert(fc.property(fc.uint8Array({ minLength: 20, maxLength: 200 }), (tail) => {
    judge(Buffer.concat([frames[0]!.subarray(0, 12), tail]), contents[0]!);
  }));

  function judge(damaged: Uint8Array, content: Uint8Array): void {
    try {
      ok(isSame(decompressFrame(damaged, content.length), content));
    } catch (error) {
      deepEqual((error as { code?: string }).code, "CORRUPT_FILE", String(error));
    }
  }
});
