// Lookups in a pipe. Judge: the rows that were written.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { lookUpStream } from "../../src/read/look_up_stream.ts";
import { count, opened, text } from "./small_snapshots.ts";

/** A stream of keys, one at a time. */
function streamOf<T>(keys: Iterable<T>): ReadableStream<T> {
  const iterator = keys[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { value, done } = iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

test("lookUpStream() gives one row for each key, in their order, repeated keys too", async () => {
  await using reader = await opened(count(3000), { shards: 4 });
  const keys = [...count(3000), 5, 5, 9999, 0];
  const rows = await Array.fromAsync(streamOf(keys).pipeThrough(lookUpStream(reader)));
  deepEqual(rows.map(([key]) => key), keys);
  deepEqual(rows.map(([, value]) => text(value)), keys.map((key) => key < 3000 ? `<${key}>` : null));
  deepEqual(await Array.fromAsync(streamOf([]).pipeThrough(lookUpStream(reader))), []);
});

test("lookUpStream() answers each key without waiting for others", async () => {
  await using reader = await opened(count(10));
  const stage = lookUpStream<number>(reader);
  const writer = stage.writable.getWriter();
  const answers = stage.readable.getReader();
  for (const key of [3, 4, 77]) {
    await writer.write(key);
    const { value } = await answers.read();
    deepEqual([value![0], text(value![1])], [key, key < 10 ? `<${key}>` : null]);
  }
  await writer.close();
  equal((await answers.read()).done, true);
});

test("lookUpStream() takes keys no faster than rows are read", async () => {
  await using reader = await opened(count(10));
  let taken = 0;
  function* endless() {
    for (;;) yield taken++ % 10;
  }
  const rows = streamOf(endless()).pipeThrough(lookUpStream(reader)).getReader();
  for (let i = 0; i < 100; i++) await rows.read();
  await new Promise((resolve) => setTimeout(resolve, 50));
  ok(taken < 3000, `${taken} keys`);
  await rows.cancel();
});

test("lookUpStream() fails the pipe for a wrong key, a closed reader and an aborted signal", async () => {
  const reader = await opened(count(10));
  const pipe = (keys: number[], options = {}) =>
    Array.fromAsync(streamOf(keys).pipeThrough(lookUpStream(reader, options)));
  await rejects(pipe([1, 2, 0.5, 3]), { code: "CONFIG_VALIDATION" });
  const reason = new Error("enough");
  await rejects(pipe([1, 2], { signal: AbortSignal.abort(reason) }), reason);
  await reader.close();
  await rejects(pipe([1]), { code: "READER_STATE" });
  await rejects(
    streamOf(count(5000)).pipeThrough(lookUpStream(reader)).pipeTo(new WritableStream()),
    { code: "READER_STATE" },
  );
});
