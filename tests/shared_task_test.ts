import { equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { SharedTask } from "../src/shared_task.ts";

/** A task that ends when it is told to, and the signal that it was given. */
function steeredTask() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let begun = 0;
  let given: AbortSignal | undefined;
  const task = new SharedTask((signal) => {
    begun++;
    given = signal;
    return promise;
  });
  return { task, resolve, reject, begun: () => begun, signal: () => given! };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

test("SharedTask does its work once for all who join", async () => {
  const { task, resolve, begun, signal } = steeredTask();
  const joined = [task.join(), task.join(new AbortController().signal), task.join()];
  resolve("done");
  equal((await Promise.all(joined)).join(), "done,done,done");
  equal(await task.join(), "done");
  equal(begun(), 1);
  ok(!signal().aborted && !task.isAborted);
});

test("SharedTask tells its failure to all who join, and to nobody if none did", async () => {
  const { task, reject, signal } = steeredTask();
  const joined = [task.join(), task.join()];
  const failure = new Error("no");
  reject(failure);
  for (const one of joined) await rejects(one, failure);
  await rejects(task.join(), failure);
  ok(!signal().aborted);
  const alone = steeredTask();
  alone.reject(failure);
  await turn(); // An unhandled rejection would end the test.
});

test("SharedTask goes on when one of two leaves", async () => {
  const { task, resolve, signal } = steeredTask();
  const leaver = new AbortController();
  const reason = new Error("enough");
  const leaving = task.join(leaver.signal);
  const staying = task.join(new AbortController().signal);
  leaver.abort(reason);
  await rejects(leaving, reason);
  ok(!signal().aborted && !task.isAborted);
  resolve("done");
  equal(await staying, "done");
});

test("SharedTask is aborted when all have left, with the reason of the last one", async () => {
  const { task, signal } = steeredTask();
  const leavers = [new AbortController(), new AbortController()];
  const leaving = leavers.map(({ signal }) => task.join(signal));
  leavers[0]!.abort(new Error("first"));
  await rejects(leaving[0]!, /first/);
  ok(!signal().aborted);
  leavers[1]!.abort(new Error("last"));
  await rejects(leaving[1]!, /last/);
  ok(signal().aborted && task.isAborted);
  equal(signal().reason.message, "last");
});

test("SharedTask is not aborted after its end, nor by who never joined", async () => {
  const { task, resolve, signal } = steeredTask();
  const leaver = new AbortController();
  const joined = task.join(leaver.signal);
  await rejects(task.join(AbortSignal.abort(new Error("too late"))), /too late/);
  ok(!signal().aborted);
  resolve("done");
  equal(await joined, "done");
  leaver.abort();
  await turn();
  ok(!signal().aborted && !task.isAborted);
});

test("SharedTask: who comes between the end of the last but one and of the last keeps it going", async () => {
  const { task, resolve, signal } = steeredTask();
  for (let i = 0; i < 10; i++) {
    const leaver = new AbortController();
    const anchor = task.join();
    const leaving = task.join(leaver.signal);
    leaver.abort(new Error("enough"));
    await rejects(leaving, /enough/);
    ok(!signal().aborted);
    anchor.catch(() => {});
  }
  resolve("done");
  equal(await task.join(), "done");
});
