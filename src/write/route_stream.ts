/**
 * Third stage of the write path: packed rows come in, the same rows go out with the number of their shard.
 * @module
 */
import { ConfigValidationError, ShardAssignmentError } from "../errors.ts";
import type { KeyEncoding } from "../routing/key.ts";
import { routePackedByHash } from "../routing/packed_hash_router.ts";
import type { Router } from "../routing/router.ts";
import type { PackedRows, RoutedRows } from "../rows.ts";

/**
 * Routes packed rows by the very code that readers route lookups with. Adds 4 bytes a row; copies nothing. Rows that
 * have their shards already, as what routes looked at more than their keys, go on as they are.
 */
export class RouteStream extends TransformStream<PackedRows, RoutedRows> {
  /** @param encodingOf How the keys are stored; asked when rows arrive, as it may follow from the first row. */
  constructor(router: Router, encodingOf: () => KeyEncoding) {
    super({
      transform(rows, controller) {
        if (rows.shardIds !== undefined) return controller.enqueue({ ...unrouted(rows), shardIds: rows.shardIds });
        const shardIds = new Uint32Array(rows.rowCount);
        if (router.routePacked !== undefined) {
          router.routePacked(rows, shardIds);
        } else if (router.spec.strategy !== "hash") {
          throw new ConfigValidationError(
            "Cannot route packed rows by a CEL expression as it looks at rows: give the assigner to PackStream",
            "sharding",
          );
        } else {
          routePackedByHash(rows, encodingOf(), { shardCount: router.shardCount, shardIds });
        }
        for (const shardId of shardIds) {
          if (shardId < router.shardCount) continue;
          throw new ShardAssignmentError(
            `Cannot give a row to shard ${shardId} as there are only ${router.shardCount} shards`,
          );
        }
        controller.enqueue({ ...unrouted(rows), shardIds });
      },
    });
  }
}

function unrouted({ rowCount, bytes, starts, keyLengths }: PackedRows): PackedRows {
  return { rowCount, bytes, starts, keyLengths };
}
