// The judge is the Python package: vector_sharding_vectors.json holds what it computed with NumPy.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  assignClusters,
  type DistanceMetric,
  HyperplaneHash,
  mergeMatches,
  nearestClusters,
  readNpy,
  trainClusters,
  writeNpy,
} from "../../src/vector/mod.ts";
import { bytesOf, exactDistance, floats } from "./fixture_vectors.ts";

const path = new URL("../fixtures/vectors/vector_sharding_vectors.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8"));
const METRICS: readonly DistanceMetric[] = ["cosine", "l2", "dot_product"];

test("assignClusters(), nearestClusters() give the clusters of the Python package", () => {
  const { cluster } = vectors;
  const centroids = { values: floats(cluster.centroids_f32_le_hex), dim: cluster.shape[1] };
  equal(cluster.cases.length, 20);
  for (const { query, per_metric: expected } of cluster.cases) {
    const vector = floats(query.f32_le_hex);
    deepEqual([...vector], query.values);
    for (const metric of METRICS) {
      deepEqual([...assignClusters(vector, { centroids, metric })], [expected[metric].assign]);
      deepEqual(nearestClusters(vector, { centroids, metric, probes: 3 }), expected[metric].probe3);
    }
  }
  const zero = new Float32Array(centroids.dim);
  deepEqual(nearestClusters(zero, { centroids, metric: "cosine", probes: 5 }), cluster.zero_query_cosine_probe5);
});

test("assignClusters(), nearestClusters() give the lower cluster where two are equally near", () => {
  equal(vectors.cluster.ties.length, 3);
  for (const { centroids: rows, query, metric, assign, probe3 } of vectors.cluster.ties) {
    for (const Rows of [Float32Array, Float64Array]) {
      const centroids = { values: Rows.from(rows.flat()), dim: query.length };
      deepEqual([...assignClusters(Float32Array.from(query), { centroids, metric })], [assign]);
      deepEqual(nearestClusters(Float32Array.from(query), { centroids, metric, probes: 3 }), probe3);
    }
  }
});

test("HyperplaneHash gives the codes, shards and probes of the Python package", () => {
  const hashes = new Map(vectors.lsh_hyperplanes.map((planes: Record<string, string | number>) => [
    `${planes["num_hash_bits"]}/${planes["dim"]}`,
    new HyperplaneHash({ values: floats(planes["f32_le_hex_row_major"] as string), dim: planes["dim"] as number }),
  ]));
  equal(vectors.lsh.length, 40);
  for (const { num_hash_bits: hashBits, dim, vector, code, ...expected } of vectors.lsh) {
    const hash = hashes.get(`${hashBits}/${dim}`) as HyperplaneHash;
    const query = floats(vector.f32_le_hex);
    equal(hash.codeOf(query), code);
    for (const shardCount of [2, 3, 5, 16]) {
      equal(hash.shardOf(query, 0, shardCount), expected[`assign_${shardCount}`]);
      deepEqual(hash.probe(query, { shardCount, probes: 4 }), expected[`probe4_${shardCount}`]);
    }
  }
});

test("trainClusters() finds centroids about as good as the Python package's", async () => {
  function spread(rows: Float32Array, centroids: Float32Array, dim: number): number {
    let sum = 0;
    for (let row = 0; row < rows.length; row += dim) {
      let nearest = Infinity;
      for (let at = 0; at < centroids.length; at += dim) {
        const distance = exactDistance("l2", centroids.subarray(at, at + dim), rows.subarray(row, row + dim));
        nearest = Math.min(nearest, distance);
      }
      sum += nearest;
    }
    return sum;
  }
  equal(vectors.kmeans.length, 2);
  for (const { n, k, dim, ...hex } of vectors.kmeans) {
    const rows = floats(hex.vectors_f32_le_hex);
    equal(rows.length, n * dim);
    const theirs = spread(rows, floats(hex.centroids_f32_le_hex), dim);
    // Either may end in a local minimum; the best of a few seeds must not be worse.
    const ours: number[] = [];
    for (let seed = 0; seed < 10; seed++) {
      ours.push(spread(rows, (await trainClusters(rows, { dim, clusters: k, seed })).values, dim));
    }
    ok(Math.min(...ours) <= theirs * 1.001, `${Math.min(...ours)} is worse than ${theirs}`);
    ok(Math.max(...ours) <= theirs * 1.5, `${Math.max(...ours)} is much worse than ${theirs}`);
  }
});

test("mergeMatches() merges as the Python package does", () => {
  equal(vectors.merge.length, 3);
  for (const { per_shard: lists, top_k: topK, merged_ids: expected } of vectors.merge) {
    deepEqual(mergeMatches<{ id: string; score: number }>(lists, topK).map(({ id }) => id), expected);
  }
});

test("readNpy() reads files of NumPy, and writeNpy() writes the same bytes", () => {
  equal(vectors.npy.length, 4);
  for (const { dtype, fortran_order: isFortran, shape, row_major_values: expected, file_hex: hex } of vectors.npy) {
    const bytes = bytesOf(hex);
    const array = readNpy(bytes);
    deepEqual(array.shape, shape);
    deepEqual([...array.values], expected);
    equal(array.values.BYTES_PER_ELEMENT, dtype === "float32" ? 4 : 8);
    if (!isFortran) deepEqual(writeNpy(array), bytes);
    deepEqual(readNpy(writeNpy(array)), array);
  }
});
