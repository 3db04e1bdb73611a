// Brute force in float64 is the judge.
import { deepEqual, equal, notDeepEqual, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import {
  assignClusters,
  type DistanceMetric,
  DistanceTable,
  HyperplaneHash,
  nearestClusters,
  randomHyperplanes,
  trainClusters,
} from "../../src/vector/mod.ts";
import { exactDistance, heaps } from "./fixture_vectors.ts";

const METRICS: readonly DistanceMetric[] = ["cosine", "l2", "dot_product"];

test("DistanceTable measures what the definitions say, in dimensions of every kind", () => {
  for (const dim of [1, 2, 7, 8, 9, 127, 128, 129, 135, 136, 257, 384, 1000, 1536]) {
    const rows = heaps({ rows: 5, dim, heaps: 2, seed: dim });
    const query = heaps({ rows: 2, dim, heaps: 1, seed: dim + 1 });
    for (const metric of METRICS) {
      const single = new DistanceTable({ values: rows, dim }, metric);
      const double = new DistanceTable({ values: Float64Array.from(rows), dim }, metric);
      single.measure(query, dim);
      double.measure(query, dim);
      for (let row = 0; row < 5; row++) {
        const one = rows.subarray(row * dim, (row + 1) * dim);
        const expected = exactDistance(metric, one, query.subarray(dim));
        const scale = metric === "cosine" ? 1 : exactDistance("l2", one, new Float32Array(dim)) + Math.abs(expected);
        ok(Math.abs(single.distances[row]! - expected) <= 1e-5 * scale, `${metric} of ${dim}`);
        ok(Math.abs(double.distances[row]! - expected) <= 1e-6 * scale, `${metric} of ${dim} in double precision`);
      }
    }
  }
});

test("assignClusters() takes one of the nearest centroids, and nearestClusters() orders them", () => {
  const dim = 24;
  const rows = heaps({ rows: 200, dim, heaps: 8 });
  const centroids = { values: heaps({ rows: 16, dim, heaps: 8, seed: 2 }), dim };
  for (const metric of METRICS) {
    const nearest = assignClusters(rows, { centroids, metric });
    for (let row = 0; row < 200; row++) {
      const query = rows.slice(row * dim, (row + 1) * dim);
      const exact = Array.from(
        { length: 16 },
        (_, cluster) => exactDistance(metric, centroids.values.subarray(cluster * dim, (cluster + 1) * dim), query),
      );
      const order = nearestClusters(query, { centroids, metric, probes: 99 });
      equal(order[0], nearest[row]);
      deepEqual(order.toSorted((a, b) => a - b), [...exact.keys()]);
      for (let i = 1; i < 16; i++) ok(exact[order[i - 1]!]! <= exact[order[i]!]! + 1e-4);
      deepEqual(nearestClusters(query, { centroids, metric, probes: 3 }), order.slice(0, 3));
    }
  }
});

test("assignClusters(), nearestClusters() refuse what is no row", () => {
  const centroids = { values: Float32Array.of(1, 2, 3, 4), dim: 2 };
  equal(assignClusters(new Float32Array(0), { centroids }).length, 0);
  throws(() => assignClusters(new Float32Array(3), { centroids }), { code: "CONFIG_VALIDATION", path: "vectors" });
  throws(() => nearestClusters(new Float32Array(4), { centroids, probes: 1 }), { path: "query" });
  throws(() => assignClusters(new Float32Array(2), { centroids: { values: new Float32Array(0), dim: 2 } }), {
    path: "centroids",
  });
  throws(() => assignClusters(new Float32Array(2), { centroids, metric: "l1" as "l2" }), { path: "metric" });
});

test("trainClusters() finds heaps that are far apart, the same ones for one seed", async () => {
  const options = { dim: 5, clusters: 6, seed: 7 };
  const rows = heaps({ rows: 600, dim: 5, heaps: 6, spread: 0.01 });
  const centroids = await trainClusters(rows, options);
  const nearest = assignClusters(rows, { centroids });
  for (let row = 6; row < 600; row++) equal(nearest[row], nearest[row % 6]);
  equal(new Set(nearest).size, 6);
  deepEqual(await trainClusters(rows, options), centroids);
  notDeepEqual(await trainClusters(rows, { ...options, seed: 8 }), centroids);
});

test("trainClusters() ends where every centroid is the middle of the vectors that are nearest to it", async () => {
  for (const [dim, clusters, spread] of [[2, 9, 0.8], [24, 16, 1], [5, 40, 0.5]] as const) {
    const vectors = heaps({ rows: 1500, dim, heaps: 12, spread });
    const { values } = await trainClusters(vectors, { dim, clusters, iterationsMax: 1000 });
    const sums = new Float64Array(clusters * dim);
    const counts = new Uint32Array(clusters);
    for (let row = 0; row < vectors.length; row += dim) {
      const vector = vectors.subarray(row, row + dim);
      const distances = Array.from(
        { length: clusters },
        (_, cluster) => exactDistance("l2", values.subarray(cluster * dim, (cluster + 1) * dim), vector),
      );
      const nearest = distances.indexOf(Math.min(...distances));
      counts[nearest]!++;
      vector.forEach((number, i) => sums[nearest * dim + i]! += number);
    }
    sums.forEach((sum, i) => {
      const middle = sum / counts[Math.floor(i / dim)]!;
      ok(Math.abs(middle - values[i]!) < 1e-4, `${dim}: ${middle} is not ${values[i]}`);
    });
  }
});

test("trainClusters() takes equal vectors, as many clusters as vectors, and no fewer vectors", async () => {
  const equalRows = await trainClusters(new Float32Array(12).fill(3), { dim: 2, clusters: 4 });
  deepEqual([...equalRows.values], Array(8).fill(3));
  const rows = Float32Array.of(5, 1, 9);
  deepEqual([...(await trainClusters(rows, { dim: 1, clusters: 3 })).values].sort(), [1, 5, 9]);
  await rejects(trainClusters(rows, { dim: 1, clusters: 4 }), { code: "CONFIG_VALIDATION", path: "clusters" });
  await rejects(trainClusters(new Float32Array(0), { dim: 1, clusters: 1 }), { code: "CONFIG_VALIDATION" });
});

test("trainClusters() lets others have their turn, and ends when it is aborted", async () => {
  const rows = heaps({ rows: 4000, dim: 64, heaps: 50 });
  const controller = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => controller.abort(reason), 0);
  await rejects(trainClusters(rows, { dim: 64, clusters: 50, signal: controller.signal }), reason);
});

test("randomHyperplanes() are normal, HyperplaneHash tells their sides", () => {
  const hyperplanes = randomHyperplanes({ hashBits: 48, dim: 100, seed: 3 });
  deepEqual(randomHyperplanes({ hashBits: 48, dim: 100, seed: 3 }), hyperplanes);
  const { values } = hyperplanes;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
  ok(Math.abs(mean) < 0.05 && Math.abs(variance - 1) < 0.06, `mean ${mean}, variance ${variance}`);
  const hash = new HyperplaneHash(hyperplanes);
  const rows = heaps({ rows: 50, dim: 100, heaps: 50 });
  for (let row = 0; row < 50; row++) {
    const vector = rows.subarray(row * 100, (row + 1) * 100);
    let code = 0n;
    for (let bit = 0; bit < 48; bit++) {
      const side = -exactDistance("dot_product", values.subarray(bit * 100, (bit + 1) * 100), vector);
      if (side > 0) code |= 1n << BigInt(bit);
    }
    equal(BigInt(hash.codeOf(rows, row * 100)), code);
    const expected = [
      ...new Set([code, ...Array.from({ length: 48 }, (_, bit) => code ^ (1n << BigInt(bit)))]
        .map((other) => Number(other % 7n))),
    ];
    deepEqual(hash.probe(vector, { shardCount: 7, probes: 99 }), expected);
    equal(hash.shardOf(rows, row * 100, 7), expected[0]);
  }
  for (const hashBits of [0, 49, 1.5]) {
    throws(() => randomHyperplanes({ hashBits, dim: 3 }), { code: "CONFIG_VALIDATION", path: "hashBits" });
  }
  throws(() => new HyperplaneHash({ values: new Float32Array(49), dim: 1 }), { path: "hashBits" });
});
