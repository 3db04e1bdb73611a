// NDJSON from stdin into a snapshot: `curl … | node pipe_ingestion.ts [folder]`. Runs on Deno, Bun and Node. When the
// pipe breaks, or a line is wrong, nothing is published.
import { hashSharding, snapshotSink } from "@shardyfusion/shardyfusion";
import { fsStore } from "@shardyfusion/shardyfusion/stores/fs";
import process from "node:process";
import { Readable } from "node:stream";

type Person = { id: number; name: string };

/** Lines of JSON, as arrays of rows: the fewer chunks, the faster. */
function parseLines(): TransformStream<string, Person[]> {
  let rest = "";
  const parse = (lines: string[]): Person[] => lines.filter((line) => line !== "").map((line) => JSON.parse(line));
  return new TransformStream({
    transform(text, controller) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      controller.enqueue(parse(lines));
    },
    flush: (controller) => controller.enqueue(parse([rest])),
  });
}

const [place = "./data/example"] = process.argv.slice(2);
const sink = snapshotSink<Person | Person[]>({
  store: fsStore(place),
  sharding: hashSharding({ keysPerShard: 100_000 }),
  key: (row) => (row as Person).id,
  value: (row) => JSON.stringify(row),
  workers: "auto",
});
const bytes = Readable.toWeb(process.stdin) as ReadableStream<Uint8Array<ArrayBuffer>>;
await bytes.pipeThrough(new TextDecoderStream()).pipeThrough(parseLines()).pipeTo(sink);
const { stats } = await sink.result;
console.log(`${stats.rowsWritten} rows in ${stats.shards} shards`);
