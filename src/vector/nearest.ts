/**
 * The nearest of many, while they pass by.
 * @module
 */

/** Something with a distance. */
export interface Scored<K> {
  readonly key: K;
  readonly score: number;
}

/**
 * Keeps those of the lowest scores; of equal scores those with the lower key. A heap of at most `countMax` entries with
 * the worst on top.
 */
export class Nearest<K extends number | bigint> {
  readonly #countMax: number;
  readonly #heap: Scored<K>[] = [];
  /** Whatever has a higher score cannot be among the nearest any more. */
  worst = Infinity;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Takes one that may be among the nearest. */
  offer(score: number, key: K): void {
    const heap = this.#heap;
    if (heap.length < this.#countMax) {
      heap.push({ score, key });
      this.#rise(heap.length - 1);
      if (heap.length === this.#countMax) this.worst = heap[0]!.score;
      return;
    }
    const entry = { score, key };
    if (!isWorse(heap[0]!, entry)) return;
    heap[0] = entry;
    this.#sink();
    this.worst = heap[0]!.score;
  }

  /** The nearest ones in ascending order. */
  sorted(): Scored<K>[] {
    return this.#heap.toSorted((one, other) => isWorse(one, other) ? 1 : -1);
  }

  #rise(start: number): void {
    const heap = this.#heap;
    for (let at = start; at > 0;) {
      const parent = (at - 1) >>> 1;
      if (!isWorse(heap[at]!, heap[parent]!)) return;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    for (let at = 0;;) {
      const left = 2 * at + 1;
      let worst = at;
      if (left < heap.length && isWorse(heap[left]!, heap[worst]!)) worst = left;
      if (left + 1 < heap.length && isWorse(heap[left + 1]!, heap[worst]!)) worst = left + 1;
      if (worst === at) return;
      [heap[at], heap[worst]] = [heap[worst]!, heap[at]!];
      at = worst;
    }
  }
}

function isWorse<K extends number | bigint>(one: Scored<K>, other: Scored<K>): boolean {
  return one.score > other.score || (one.score === other.score && one.key > other.key);
}
