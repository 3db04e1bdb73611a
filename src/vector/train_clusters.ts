/**
 * Finds centroids: k-means++ chooses vectors to begin with, Lloyd's iterations move them.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { DistanceTable, rowCountOf, type VectorRows } from "./distance_table.ts";
import { RandomNumbers } from "./random_numbers.ts";

/** How centroids are found. */
export interface TrainOptions {
  /** Numbers in each vector. */
  readonly dim: number;
  /** How many centroids are wanted. */
  readonly clusters: number;
  /** A whole number; the same one gives the same centroids. @default {42} */
  readonly seed?: number | undefined;
  /** How often centroids are moved at most. @default {100} */
  readonly iterationsMax?: number | undefined;
  /** Aborts the training. */
  readonly signal?: AbortSignal | undefined;
}

/** Movements below are none: so much, and so much of each number. */
const TOLERANCE_ABSOLUTE = 1e-6;
const TOLERANCE_RELATIVE = 1e-5;
/** After so many multiplications, some ten milliseconds, others get their turn. */
const TURN_OPERATIONS = 1 << 23;

/**
 * Centroids of clusters of vectors, by squared Euclidean distance whatever metric they are used with, as in the Python
 * package. `[clusters × dim]`, row-major, in float32.
 *
 * Ends when no centroid moves any more, or after `iterationsMax` rounds. A cluster that loses all its vectors keeps its
 * centroid. Cost: `rows × clusters × dim` multiplications in the first round, mostly a third of that on average; lets
 * others have their turn meanwhile.
 *
 * Sources: D. Arthur, S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; S. Lloyd, "Least
 * squares quantization in PCM", IEEE Trans. Inf. Theory 28(2), 1982.
 *
 * @param vectors `[rows × dim]`, row-major, finite.
 * @throws {ConfigValidationError} when there are fewer vectors than clusters, or none.
 * @throws the reason of `signal`.
 *
 * @example Two heaps on a line
 * ```ts
 * import { trainClusters } from "./train_clusters.ts";
 *
 * const { values } = await trainClusters(Float32Array.of(0, 10, 2, 12), { dim: 1, clusters: 2 });
 * if (values.toSorted().join() !== "1,11") throw new Error("unexpected centroids");
 * ```
 */
export async function trainClusters(
  vectors: Float32Array,
  { dim, clusters, seed = 42, iterationsMax = 100, signal }: TrainOptions,
): Promise<VectorRows & { readonly values: Float32Array<ArrayBuffer> }> {
  const rowCount = rowCountOf(vectors, dim, "vectors");
  if (!Number.isSafeInteger(clusters) || clusters < 1 || rowCount < clusters) {
    throw new ConfigValidationError(
      `Cannot train centroids as their number must be from 1 to that of the vectors, ${rowCount}: ` +
        `current value is ${clusters}`,
      "clusters",
    );
  }
  const task: Task = { vectors, dim, clusters, rowCount, turns: new Turns(signal) };
  const values = await firstCentroids(task, new RandomNumbers(seed));
  const assignment = new Assignment(task);
  for (let round = 0; round < iterationsMax; round++) {
    const previous = values.slice();
    await assignment.move(values);
    if (values.every((value, i) => isNear(value, previous[i]!))) break;
  }
  return { values, dim };
}

interface Task {
  readonly vectors: Float32Array;
  readonly dim: number;
  readonly clusters: number;
  readonly rowCount: number;
  readonly turns: Turns;
}

/** Each next centroid is a vector, the more likely the farther it is from those before. */
async function firstCentroids(task: Task, random: RandomNumbers): Promise<Float32Array<ArrayBuffer>> {
  const { vectors, dim, clusters, rowCount, turns } = task;
  const values = new Float32Array(clusters * dim);
  const nearest = new Float64Array(rowCount).fill(Infinity);
  let chosen = random.below(rowCount);
  for (let cluster = 0; cluster < clusters; cluster++) {
    const centroid = vectors.subarray(chosen * dim, (chosen + 1) * dim);
    values.set(centroid, cluster * dim);
    const table = new DistanceTable({ values: centroid, dim }, "l2");
    let sum = 0;
    for (let row = 0; row < rowCount; row++) {
      table.measure(vectors, row * dim);
      sum += nearest[row] = Math.min(nearest[row]!, table.distances[0]!);
      if (turns.isDue(dim)) await turns.give();
    }
    let left = random.fraction() * sum;
    // Where all vectors are the same as some centroid any of them will do.
    chosen = sum === 0
      ? random.below(rowCount)
      : nearest.findIndex((distance) => distance > 0 && (left -= distance) < 0);
    // Rounding may leave a rest at the end.
    if (chosen < 0) chosen = nearest.findLastIndex((distance) => distance > 0);
  }
  return values;
}

/**
 * Which centroid each vector is nearest to, from round to round, without measuring most of the distances: a vector
 * stays where it is while it is surely nearer to its centroid than to any other. Both ends of "surely" are bounds that
 * give way by as much as centroids move.
 *
 * Source: G. Hamerly, "Making k-means even faster", SDM 2010.
 */
class Assignment {
  readonly #task: Task;
  readonly #clusterOf: Uint32Array;
  /** No vector is farther from its centroid. */
  readonly #farthest: Float64Array;
  /** No other centroid is nearer to the vector. */
  readonly #nextNearest: Float64Array;

  constructor(task: Task) {
    this.#task = task;
    this.#clusterOf = new Uint32Array(task.rowCount);
    this.#farthest = new Float64Array(task.rowCount).fill(Infinity);
    this.#nextNearest = new Float64Array(task.rowCount);
  }

  /** One round: each centroid moves to the middle of the vectors that it is nearest to. */
  async move(values: Float32Array): Promise<void> {
    const { vectors, dim, clusters, rowCount, turns } = this.#task;
    const table = new DistanceTable({ values, dim }, "l2");
    const gaps = halfGaps(table, values);
    const sums = new Float64Array(clusters * dim);
    const counts = new Uint32Array(clusters);
    for (let row = 0; row < rowCount; row++) {
      const measured = this.#assign(table, row, gaps);
      const start = row * dim;
      const cluster = this.#clusterOf[row]!;
      const first = cluster * dim;
      counts[cluster]!++;
      for (let i = 0; i < dim; i++) sums[first + i]! += vectors[start + i]!;
      if (turns.isDue((1 + measured) * dim)) await turns.give();
    }
    const previous = values.slice();
    counts.forEach((count, cluster) => {
      if (count === 0) return;
      for (let i = cluster * dim; i < (cluster + 1) * dim; i++) values[i] = sums[i]! / count;
    });
    this.#loosen(values, previous);
  }

  /** Gives the number of distances that were measured. */
  #assign(table: DistanceTable, row: number, gaps: Float64Array): number {
    const safe = Math.max(this.#nextNearest[row]!, gaps[this.#clusterOf[row]!]!);
    if (this.#farthest[row]! < safe) return 0;
    table.measure(this.#task.vectors, row * this.#task.dim);
    const { distances } = table;
    let nearest = 0;
    let second = Infinity;
    for (let cluster = 1; cluster < distances.length; cluster++) {
      if (distances[cluster]! < distances[nearest]!) {
        second = distances[nearest]!;
        nearest = cluster;
      } else if (distances[cluster]! < second) {
        second = distances[cluster]!;
      }
    }
    this.#clusterOf[row] = nearest;
    this.#farthest[row] = Math.sqrt(distances[nearest]!);
    this.#nextNearest[row] = Math.sqrt(second);
    return distances.length;
  }

  #loosen(values: Float32Array, previous: Float32Array): void {
    const { dim, clusters, rowCount } = this.#task;
    const moves = new Float64Array(clusters);
    for (let cluster = 0; cluster < clusters; cluster++) {
      let sum = 0;
      for (let i = cluster * dim; i < (cluster + 1) * dim; i++) sum += (values[i]! - previous[i]!) ** 2;
      moves[cluster] = Math.sqrt(sum);
    }
    const longest = moves.reduce((one, other) => Math.max(one, other), 0);
    for (let row = 0; row < rowCount; row++) {
      this.#farthest[row]! += moves[this.#clusterOf[row]!]!;
      this.#nextNearest[row]! -= longest;
    }
  }
}

/** Half the distance from each centroid to the nearest other one: what is nearer than that is nearest. */
function halfGaps(table: DistanceTable, values: Float32Array): Float64Array {
  return Float64Array.from({ length: table.distances.length }, (_, cluster) => {
    table.measure(values, cluster * table.dim);
    let nearest = Infinity;
    table.distances.forEach((distance: number, other: number) => {
      if (other !== cluster && distance < nearest) nearest = distance;
    });
    return Math.sqrt(nearest) / 2;
  });
}

function isNear(value: number, previous: number): boolean {
  return Math.abs(previous - value) <= TOLERANCE_ABSOLUTE + TOLERANCE_RELATIVE * Math.abs(value);
}

/** Lets other tasks have their turn between stretches of arithmetic. */
class Turns {
  readonly #signal: AbortSignal | undefined;
  #operations = 0;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  isDue(operations: number): boolean {
    this.#operations += operations;
    return this.#operations >= TURN_OPERATIONS;
  }

  async give(): Promise<void> {
    this.#operations = 0;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#signal?.throwIfAborted();
  }
}
