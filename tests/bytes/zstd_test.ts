// The judges are the zstd of Python and the runtime's own, which also read the sidecars among the fixtures.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { decompressFrame, frameEnd } from "../../src/bytes/zstd.ts";
import { compressFrame, storedFrame } from "../../src/bytes/zstd_compress.ts";

const PYTHON = `
import sys, struct, zstandard
mode, level, data = sys.argv[1], int(sys.argv[2]), sys.stdin.buffer.read()
def one(part):
    global level
    if mode == "decompress":
        out = zstandard.ZstdDecompressor().decompress(part)
        params = zstandard.get_frame_parameters(part)
        assert params.has_checksum and params.content_size == len(out), params
        return out
    if mode == "ldm":
        params = zstandard.ZstdCompressionParameters.from_level(
            level, enable_ldm=True, window_log=27, write_checksum=True, write_content_size=True)
        return zstandard.ZstdCompressor(compression_params=params).compress(part)
    if mode == "levels":
        level = level % 19 + 1
    flags = {"compress": {}, "levels": {}, "plain": {"write_checksum": False}, "unsized": {"write_content_size": False}}[mode]
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

/** Files of b-tree pages, and sidecars, made by Python. */
const FIXTURES = new URL("../fixtures/snapshots/", import.meta.url);
const fixtures = (name: string) =>
  readdirSync(FIXTURES, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(`/${name}`)).sort()
    .map((path) => new Uint8Array(readFileSync(new URL(path.replaceAll("%", "%25"), FIXTURES))));

/** Pages of all kinds, long enough for blocks that use the tables of those before them. */
const pages = () => new Uint8Array(Buffer.concat(fixtures("shard.db")).subarray(0, 1_500_000));

judgedTest("decompressFrame() reads what Python's zstandard wrote at every level", () => {
  for (const content of [pages().subarray(0, 170_000), text(140_000), noise(3000), random(700)]) {
    // The first at level 1, the next at level 2, and so on.
    const frames = python("levels", new Array(19).fill(content), 0);
    frames.forEach((frame, i) => ok(isSame(decompressFrame(frame, content.length), content), `level ${i + 1}`));
  }
});

test("decompressFrame() reads what the runtime's zstd wrote, even at its fastest levels", () => {
  const { ZSTD_c_checksumFlag, ZSTD_c_compressionLevel } = constants;
  for (const level of [-50, -5, 1, 3, 19]) {
    for (const content of level === 19 ? [pages().subarray(0, 400_000)] : [pages(), text(9000), mixed(500_000)]) {
      const params = { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: 1 };
      const frame = zstdCompressSync(content, { pledgedSrcSize: content.length, params });
      const end = frameEnd(new DataView(frame.buffer, frame.byteOffset, frame.length));
      ok(isSame(decompressFrame(frame.subarray(0, end), content.length), content), `level ${level}`);
    }
  }
});

test("decompressFrame() reads every sidecar among the fixtures as the runtime does", () => {
  // The fixture "cleanup" has one of a single byte, in an attempt that is to be removed.
  const sidecars = fixtures("shard.sidecar").filter((sidecar) => sidecar.length > 1);
  ok(sidecars.length > 20);
  for (const sidecar of sidecars) {
    const frame = sidecar.subarray(18 + sidecar[17]!);
    ok(isSame(decompressFrame(frame, Buffer.from(sidecar).readUInt32LE(5)), zstdDecompressSync(frame)));
  }
});

judgedTest("decompressFrame() copies from further back than 25 bits can say", () => {
  const content = new Uint8Array(35_000_000);
  const piece = random(50_000);
  content.set(piece);
  content.set(piece, content.length - piece.length);
  const [frame] = python("ldm", [content], 3);
  ok(frame!.length < 1.5 * piece.length, "the frame has no match as far away");
  ok(isSame(decompressFrame(frame!, content.length), content));
});

judgedTest("decompressFrame() passes over skippable frames, but not without end", () => {
  const [frame] = python("compress", [text(5000)]);
  const skippable = (kind: number, body: number, stated = body) => {
    const bytes = Buffer.alloc(8 + body, 0x28);
    bytes.writeUInt32LE(0x184d2a50 + kind);
    bytes.writeUInt32LE(stated, 4);
    return bytes;
  };
  ok(isSame(decompressFrame(Buffer.concat([skippable(0, 0), skippable(15, 300), frame!]), 5000), text(5000)));
  const refused = [
    skippable(3, 9),
    Buffer.concat([skippable(16, 9), frame!]),
    Buffer.concat([frame!, skippable(0, 0)]),
    // Lengths that would lead back to the start, if they were taken modulo 2^32 or in bits modulo 2^32.
    Buffer.concat([skippable(0, 4, 0xfffffff8), frame!]),
    Buffer.concat([skippable(0, 4, 0x1ffffff8), frame!]),
    Buffer.concat([skippable(0, 4, 3), frame!]),
  ];
  for (const bytes of refused) throws(() => decompressFrame(bytes, 5000), { code: "CORRUPT_FILE" });
});

judgedTest("decompressFrame() refuses reserved bits, dictionaries, and blocks that are too long", () => {
  const checksum = (content: Uint8Array) => Buffer.from(python("compress", [content])[0]!.subarray(-4)).toString("hex");
  const frameOf = (flags: string, size: string, blocks: string) =>
    new Uint8Array(Buffer.from(`28b52ffd${flags}${size}${blocks}`, "hex"));
  const isRefused = (frame: Uint8Array, sizeBytes: number) =>
    throws(() => decompressFrame(frame, sizeBytes), { code: "CORRUPT_FILE" });
  // A block that repeats "a" five times.
  const short = new Uint8Array(5).fill(97);
  const sum = checksum(short);
  ok(isSame(decompressFrame(frameOf("24", "05", `2b000061${sum}`), 5), short));
  ok(isSame(decompressFrame(frameOf("34", "05", `2b000061${sum}`), 5), short), "with the bit that means nothing");
  // Dictionary, reserved bit, no checksum.
  for (const flags of ["25", "2c", "20"]) isRefused(frameOf(flags, "05", `2b000061${sum}`), 5);
  // Reserved kind, a byte too many, more content, less content, a block without end, no block.
  for (const blocks of ["2f000061", "2b00006100", "33000061", "23000061", "2a000061", ""]) {
    isRefused(frameOf("24", "05", blocks + sum), 5);
  }
  const long = new Uint8Array(131_073);
  const longSum = checksum(long);
  ok(isSame(decompressFrame(frameOf("a4", "01000200", `020010000b000000${longSum}`), long.length), long));
  isRefused(frameOf("a4", "01000200", `0b00100000${longSum}`), long.length);
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
  const contents = [text(3000), mixed(3000), pages().subarray(0, 5000), noise(900)];
  const frames = python("compress", contents).concat(python("compress", contents, 19), contents.map(storedFrame));
  frames.forEach((frame, i) => {
    const content = contents[i % contents.length]!;
    for (let length = 0; length < frame.length; length++) {
      throws(() => decompressFrame(frame.subarray(0, length), content.length), { code: "CORRUPT_FILE" });
    }
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
  // Garbage behind every frame's first bytes, so that all parts of a block get their share of it.
  const anyFrame = fc.nat(frames.length - 1);
  fc.assert(
    fc.property(anyFrame, fc.nat(300), fc.uint8Array({ maxLength: 200 }), (i, at, garbage) => {
      const damaged = frames[i]!.slice();
      damaged.set(garbage.subarray(0, Math.max(0, damaged.length - at)), Math.min(at, damaged.length));
      judge(damaged, contents[i % contents.length]!);
    }),
    { numRuns: process.env.SHARDYFUSION_SOAK ? 100_000 : 500 },
  );

  function judge(damaged: Uint8Array, content: Uint8Array): void {
    try {
      ok(isSame(decompressFrame(damaged, content.length), content));
    } catch (error) {
      deepEqual((error as { code?: string }).code, "CORRUPT_FILE", String(error));
    }
  }
});
