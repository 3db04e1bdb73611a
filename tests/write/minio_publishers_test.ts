// Judge: the AWS SDK, which reads the pointer and lists the bucket after each round.
import { deepEqual, equal, ok } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { openSnapshot } from "../../mod.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import { BucketJudge, type StoredPointer } from "../servers/bucket_judge.ts";
import { findMinio, startMinio } from "../servers/minio.ts";
import { publishAtOnce, Publisher, type RoundOutcome, runtimesHere } from "./minio_publishers.ts";

const ROUNDS = process.env["SHARDYFUSION_SOAK"] === "1" ? 100 : 10;
const ROWS = 200;

/** What the pointer remembers before a publish over `before`. */
function remembered(before: StoredPointer | null): string[] {
  return before === null ? [] : [before.manifest_ref, ...before.previous];
}

function publishersTest(count: number, check: (rounds: Rounds) => Promise<void>, name: string): void {
  test(`P2 writeSnapshot() on MinIO: ${count} processes at once, ${name}`, { timeout: 600_000 }, async (t) => {
    if (findMinio() === null) {
      const leaveOut = "processes that publish at once on MinIO: there is no minio (see tests/README.md)";
      console.log(`LEFT OUT: ${leaveOut}`);
      return t.skip(leaveOut);
    }
    await using minio = await startMinio("publishers");
    const url = "s3://publishers/series";
    const { endpoint, credentials } = minio;
    using judge = new BucketJudge(minio, url);
    const runtimes = runtimesHere();
    const publishers = Array.from({ length: count }, (_, index) => {
      const runtime = runtimes[index % runtimes.length]!;
      return new Publisher(runtime, { url, endpoint, credentials, name: `${runtime.name}${index}`, rowCount: ROWS });
    });
    try {
      for (const publisher of publishers) equal(await publisher.next(), "ready");
      await check({ judge, publishers, store: s3Store({ url, endpoint, credentials }) });
    } finally {
      for (const publisher of publishers) await publisher.end();
    }
  });
}

interface Rounds {
  readonly judge: BucketJudge;
  readonly publishers: readonly Publisher[];
  readonly store: ReturnType<typeof s3Store>;
}

/** Whose values a reader sees. */
async function writerRead({ store }: Rounds, roundIndex: number): Promise<string> {
  await using reader = await openSnapshot({ store });
  const values = await reader.getMany(Array.from({ length: ROWS }, (_, row) => row));
  const writers = new Set<string>();
  for (const [row, value] of values) {
    const [writer, round, of] = new TextDecoder().decode(value!).split(":");
    deepEqual([round, of], [String(roundIndex), String(row)]);
    writers.add(writer!);
  }
  equal(writers.size, 1, "P1: one snapshot, not a mixture");
  return [...writers][0]!;
}

/** All manifests of a round are stored, and whole: those of losers can be rolled back to. */
async function requireWhole({ judge }: Rounds, outcomes: readonly RoundOutcome[]): Promise<void> {
  const keys = new Set(await judge.keys());
  for (const { manifestRef } of outcomes) {
    const key = judge.keyOf(manifestRef);
    ok(keys.has(key), `${key} is stored`);
    for (const folder of (await judge.shardsOf(key)).keys()) ok(keys.has(`${folder}/shard.db`), folder);
  }
  deepEqual(await judge.openUploads(), []);
}

async function oneWins(rounds: Rounds): Promise<void> {
  const { judge, publishers } = rounds;
  let before: StoredPointer | null = null;
  const wins = new Map<string, number>();
  for (let roundIndex = 0; roundIndex < ROUNDS; roundIndex++) {
    const outcomes = await publishAtOnce(publishers, { roundIndex, onConflict: "fail" });
    const pointer: StoredPointer = await judge.pointer();
    const winners = outcomes.filter(({ conflictWith }) => conflictWith === undefined);
    equal(winners.length, 1, `round ${roundIndex}: ${JSON.stringify(outcomes)}`);
    const [winner] = winners;
    deepEqual(winner!.replaced, []);
    equal(pointer.manifest_ref, winner!.manifestRef);
    for (const { conflictWith } of outcomes) ok([undefined, winner!.manifestRef].includes(conflictWith!));
    equal(pointer.generation, roundIndex + 1);
    deepEqual(pointer.previous, remembered(before).slice(0, 10));
    const { name } = publishers[outcomes.indexOf(winner!)]!;
    equal(await writerRead(rounds, roundIndex), name);
    await requireWhole(rounds, outcomes);
    wins.set(name, (wins.get(name) ?? 0) + 1);
    before = pointer;
  }
  console.log(`${ROUNDS} rounds, won by ${[...wins].map(([name, count]) => `${name}: ${count}`).join(", ")}`);
}

async function allWin(rounds: Rounds): Promise<void> {
  const { judge, publishers } = rounds;
  const count = publishers.length;
  let before: StoredPointer | null = null;
  const orders = new Set<string>();
  for (let roundIndex = 0; roundIndex < ROUNDS; roundIndex++) {
    const outcomes = await publishAtOnce(publishers, { roundIndex, onConflict: "replace" });
    const pointer: StoredPointer = await judge.pointer();
    const order = remembered(pointer).slice(0, count).reverse();
    deepEqual([...order].sort(), outcomes.map(({ manifestRef }) => manifestRef).sort(), "nobody's publish is lost");
    equal(pointer.generation, (roundIndex + 1) * count, "each moved the pointer once");
    deepEqual(pointer.previous, [...order.slice(0, -1).reverse(), ...remembered(before)].slice(0, 10));
    for (const { manifestRef, replaced, conflictWith } of outcomes) {
      equal(conflictWith, undefined);
      deepEqual(replaced, order.slice(0, order.indexOf(manifestRef)), "each knows whose place it took");
    }
    const places = outcomes.map(({ manifestRef }) => order.indexOf(manifestRef));
    equal(await writerRead(rounds, roundIndex), publishers[places.indexOf(count - 1)]!.name);
    await requireWhole(rounds, outcomes);
    orders.add(places.join());
    before = pointer;
  }
  const names = publishers.map(({ name }) => name).join(", ");
  console.log(`${ROUNDS} rounds of ${names}: ${orders.size} different orders`);
}

const failing = 'fence "run": one wins, and the others know whom they lost against';
const replacing = 'onConflict "replace": all win one after the other, and know whom they replaced';
for (const count of [2, 5]) {
  publishersTest(count, oneWins, failing);
  publishersTest(count, allWin, replacing);
}
