/**
 * Results that are costly to come by: those asked for last stay.
 * @module
 */
import { SharedTask } from "./shared_task.ts";

/** How {@linkcode RecentResults} come about, and how many are held. */
export interface ResultSource<V> {
  readonly countMax: number;
  /** Finds a result; its failure is told to those who asked meanwhile, and not remembered. */
  find(key: number, signal: AbortSignal): Promise<V>;
  /** Told of results that are let go of. Someone may still be using them. */
  onDrop?(value: V): void;
}

/** Results by number. Those who ask for the same one at the same time wait for it together. */
export class RecentResults<V extends NonNullable<unknown> | null> {
  readonly #source: ResultSource<V>;
  readonly #results = new Map<number, V>();
  readonly #underWay = new Map<number, SharedTask<V>>();

  constructor(source: ResultSource<V>) {
    this.#source = source;
  }

  /** The result if it is at hand; it then counts as the one asked for last. */
  peek(key: number): V | undefined {
    const value = this.#results.get(key);
    if (value === undefined) return undefined;
    this.#results.delete(key);
    this.#results.set(key, value);
    return value;
  }

  /** The result; a promise only where it is not at hand. */
  get(key: number, signal?: AbortSignal): V | Promise<V> {
    const value = this.peek(key);
    if (value !== undefined) return value;
    let task = this.#underWay.get(key);
    if (task === undefined || task.isAborted) {
      const begun = task = new SharedTask((signal) =>
        this.#source.find(key, signal).then((value) => this.#keep(key, value)).finally(() => {
          // An aborted one may have been replaced already.
          if (this.#underWay.get(key) === begun) this.#underWay.delete(key);
        })
      );
      this.#underWay.set(key, task);
    }
    return task.join(signal);
  }

  /** Lets go of all. */
  clear(): void {
    for (const key of this.#results.keys()) this.#drop(key);
  }

  #keep(key: number, value: V): V {
    this.#drop(key);
    this.#results.set(key, value);
    const [oldest] = this.#results.keys();
    if (this.#results.size > this.#source.countMax) this.#drop(oldest!);
    return value;
  }

  #drop(key: number): void {
    const value = this.#results.get(key);
    if (value === undefined) return;
    this.#results.delete(key);
    this.#source.onDrop?.(value);
  }
}
