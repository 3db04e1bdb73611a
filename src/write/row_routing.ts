/**
 * From packed rows to batches of one shard, whatever has to be known of all rows before the first one is routed.
 * @module
 */
import type { ByteSpool } from "../bytes/spool.ts";
import type { AssignedShards, RowAssigner } from "../routing/cel_assigner.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { Router, RoutingColumns } from "../routing/router.ts";
import { explicitAssigner, type VectorSharding } from "../routing/vector_sharding.ts";
import { explicitRouter } from "../routing/vector_router.ts";
import type { PackedRows, RoutedRows, ShardBatch } from "../rows.ts";
import type { RateLimiter } from "../token_bucket.ts";
import type { ArrayPool } from "./array_pool.ts";
import { DistinctKeysStream } from "./distinct_keys.ts";
import type { RowReader } from "./pack_stream.ts";
import { spoolRows } from "./packed_spool.ts";
import { RouteStream } from "./route_stream.ts";
import { ShardBatchStream } from "./shard_batch_stream.ts";
import { VectorSample } from "./vector_sample.ts";
import type { CheckedWriteOptions } from "./write_options.ts";

/** What gives rows their shards while they are packed; empty where their bytes are routed. */
export function assignmentOf<T>(
  { sharding, columns }: CheckedWriteOptions<T>,
): Pick<RowReader<T>, "assigner" | "columns"> & { readonly assigner?: RowAssigner | undefined } {
  if (sharding.kind === "cel") return { assigner: sharding.assigner(), columns };
  if (sharding.kind !== "vectors" || sharding.shardOf === undefined) return {};
  const { shardOf, shardCount } = sharding;
  return {
    assigner: explicitAssigner(explicitRouter(shardCount)),
    columns: (row: T): RoutingColumns => ({ shard: shardOf(row) }),
  };
}

/** What routing takes. */
export interface RoutingMeans<T> {
  readonly options: CheckedWriteOptions<T>;
  /** Number of rows, where it is known. */
  readonly rowCount: number | undefined;
  readonly keyEncoding: () => KeyEncoding;
  readonly openSpool: () => Promise<ByteSpool>;
  readonly limiter: RateLimiter | undefined;
  readonly pool: ArrayPool;
  readonly signal: AbortSignal;
}

/** Rows on their way to their shards. */
export interface RoutedBatches {
  readonly batches: ReadableStream<ShardBatch>;
  /** Null where the assigner will give it, when all rows have passed. */
  readonly router: Router | null;
}

/**
 * Routes rows. Rows are put aside on disk first where their number decides about shards and is not known, or centroids
 * are to be trained.
 *
 * @param openRows Begins to read the rows; called once it is clear that they can be routed.
 */
export async function routeRows<T>(
  openRows: () => ReadableStream<PackedRows>,
  means: RoutingMeans<T>,
): Promise<RoutedBatches> {
  const { options: { sharding, memory, batch, value }, limiter, pool, keyEncoding } = means;
  const areKeysLoose = value === undefined && (sharding.kind === "vectors" || sharding.kind === "cel");
  const open = areKeysLoose ? () => openRows().pipeThrough(new DistinctKeysStream()) : openRows;
  const heldBytesMax = Math.floor(memory.bytesMax / 4);
  const tools = { limiter, pool };
  if (sharding.kind === "cel" || (sharding.kind === "vectors" && sharding.shardOf !== undefined)) {
    const routed = open() as ReadableStream<RoutedRows>;
    return { batches: routed.pipeThrough(new ShardBatchStream(batch, { ...tools, heldBytesMax })), router: null };
  }
  const { rows, router } = await routable(open, means);
  const bytesMax = Math.min(batch.bytesMax, Math.max(1024, Math.floor(heldBytesMax / router.shardCount)));
  const batches = rows.pipeThrough(new RouteStream(router, keyEncoding))
    .pipeThrough(new ShardBatchStream({ rowsMax: batch.rowsMax, bytesMax }, tools));
  return { batches, router };
}

interface RoutableRows {
  readonly rows: ReadableStream<PackedRows>;
  readonly router: Router;
}

async function routable<T>(open: () => ReadableStream<PackedRows>, means: RoutingMeans<T>): Promise<RoutableRows> {
  const { options: { sharding }, rowCount, openSpool, signal, pool } = means;
  if (sharding.kind === "fixed") return { rows: open(), router: sharding.router };
  if (sharding.kind === "vectors") return await routableByVectors(sharding, open, means);
  if (sharding.kind === "cel") throw new TypeError("unreachable");
  if (rowCount !== undefined) return { router: sharding.routerFor(rowCount), rows: open() };
  const spool = await openSpool();
  const spooled = await spoolRows(open(), spool, { signal, pool });
  return { router: sharding.routerFor(spooled.rowCount), rows: spooled.read() };
}

async function routableByVectors<T>(
  sharding: VectorSharding,
  open: () => ReadableStream<PackedRows>,
  { options: { backend, memory }, openSpool, signal, pool }: RoutingMeans<T>,
): Promise<RoutableRows> {
  const space = backend!.vectors!;
  const { sample: wanted } = sharding;
  if (wanted === null) {
    const router = await sharding.routerFor(space, new Float32Array(), signal);
    return { router, rows: open() };
  }
  const fitting = Math.floor(memory.bytesMax / 4 / (4 * space.dim));
  const rowsMax = Math.max(wanted.rowsMin, Math.min(wanted.rowsMax, fitting));
  const sample = new VectorSample({ rowsMax, dim: space.dim, seed: wanted.seed });
  const spool = await openSpool();
  const sampling = new TransformStream<PackedRows, PackedRows>({
    transform(rows, controller) {
      sample.take(rows);
      controller.enqueue(rows);
    },
  });
  const spooled = await spoolRows(open().pipeThrough(sampling), spool, { signal, pool });
  return { router: await sharding.routerFor(space, sample.values, signal), rows: spooled.read() };
}

/** What came of it: the router, and the shards that numbers of the assigner stand for. */
export function assignedShards(router: Router | null, assigner: RowAssigner | undefined): AssignedShards {
  return router === null ? assigner!.finish() : { router, shardIdOf: (shardId) => shardId };
}
