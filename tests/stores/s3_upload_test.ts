// The judge is a list of parts, joined by number as S3 joins them.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { type MultipartRequests, MultipartUpload, type UploadPart } from "../../src/stores/s3_upload.ts";

class FakeRequests implements MultipartRequests {
  readonly url = "s3://bucket/key";
  readonly log: string[] = [];
  readonly parts = new Map<number, Uint8Array>();
  underWayCount = 0;
  underWayMax = 0;
  onPart: (part: UploadPart, signal: AbortSignal) => Promise<void> = () =>
    new Promise((resolve) => setTimeout(resolve, 0));

  putWhole(bytes: Uint8Array) {
    this.log.push("put");
    this.parts.set(1, bytes.slice());
    return Promise.resolve({ etag: '"whole"', sizeBytes: bytes.length });
  }

  create() {
    this.log.push("create");
    return Promise.resolve("id");
  }

  async uploadPart(part: UploadPart, signal: AbortSignal) {
    this.underWayMax = Math.max(this.underWayMax, ++this.underWayCount);
    try {
      await this.onPart(part, signal);
      this.log.push(`part ${part.partNumber}`);
      this.parts.set(part.partNumber, part.bytes.slice());
      return `etag ${part.partNumber}`;
    } finally {
      this.underWayCount--;
    }
  }

  complete(_uploadId: string, etags: readonly string[]) {
    this.log.push("complete");
    deepEqual(etags, etags.map((_, index) => `etag ${index + 1}`));
    return Promise.resolve({ etag: '"multipart"' });
  }

  abort() {
    this.log.push(`abort with ${this.underWayCount} under way`);
    return Promise.resolve();
  }

  joined(): Buffer {
    return Buffer.concat([...this.parts].toSorted(([a], [b]) => a - b).map(([, bytes]) => bytes));
  }
}

function counted(sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, index) => index % 251);
}

test("MultipartUpload joins chunks of any length, and sends the part with the head last", async () => {
  for (const sizeBytes of [4, 5, 99, 100, 101, 199, 200, 201, 1_234]) {
    for (const chunkBytes of [1, 7, 96, 100, 250, 5_000]) {
      const requests = new FakeRequests();
      const bytes = counted(sizeBytes);
      await using upload = new MultipartUpload(requests, { headBytes: 4, partBytes: 100 });
      const chunk = new Uint8Array(chunkBytes);
      for (let at = 4; at < sizeBytes; at += chunkBytes) {
        const piece = bytes.subarray(at, at + chunkBytes);
        chunk.set(piece);
        await upload.write(chunk.subarray(0, piece.length));
        chunk.fill(255);
      }
      equal((await upload.finish(bytes.subarray(0, 4))).sizeBytes, sizeBytes);
      equal(Buffer.compare(requests.joined(), bytes), 0);
      if (sizeBytes <= 100) deepEqual(requests.log, ["put"]);
      else deepEqual([requests.log[0], ...requests.log.slice(-2)], ["create", "part 1", "complete"]);
      ok(requests.underWayMax <= 3, "too many parts at once");
      const lengths = [...requests.parts].filter(([partNumber]) => partNumber < requests.parts.size);
      ok(lengths.every(([, part]) => part.length === 100), "parts differ in length");
    }
  }
});

test("MultipartUpload keeps to 10,000 parts by growing them, the first 5,000 being equal", async () => {
  const requests = new FakeRequests();
  requests.onPart = () => Promise.resolve();
  await using upload = new MultipartUpload(requests, { headBytes: 1, partBytes: 2 });
  const sizeBytes = 2 * (5_000 + 2 * 1_000 + 4 * 1_000 + 8 * 1_000 + 16 * 1_000 + 32 * 1_000);
  await upload.write(counted(sizeBytes).subarray(1));
  await upload.finish(counted(1));
  equal(requests.parts.size, 10_000);
  equal(Buffer.compare(requests.joined(), counted(sizeBytes)), 0);
  deepEqual([1, 5_000, 5_001, 6_001, 10_000].map((part) => requests.parts.get(part)!.length), [2, 2, 4, 8, 64]);
});

test("MultipartUpload gives up only when the parts under way have ended", async () => {
  const requests = new FakeRequests();
  requests.onPart = (_part, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => setTimeout(() => reject(signal.reason), 20));
    });
  const upload = new MultipartUpload(requests, { headBytes: 0, partBytes: 10 });
  await upload.write(counted(35));
  await upload.abort();
  await upload.abort();
  deepEqual(requests.log, ["create", "abort with 0 under way"]);
});

test("MultipartUpload throws what a part failed with, and then gives up by itself", async () => {
  const requests = new FakeRequests();
  const failure = new Error("no space");
  requests.onPart = ({ partNumber }) => partNumber === 2 ? Promise.reject(failure) : Promise.resolve();
  const upload = new MultipartUpload(requests, { headBytes: 0, partBytes: 10 });
  await upload.write(counted(21));
  await rejects(() => upload.finish(new Uint8Array()), (error) => error === failure);
  await rejects(() => upload.write(counted(1)));
  deepEqual([requests.log[0], requests.log.at(-1)], ["create", "abort with 0 under way"]);
  ok(!requests.log.includes("complete"));
});
