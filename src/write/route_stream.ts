/**
 * Third stage of the write path: packed rows come in, the same rows go out with the number of their shard.
 * @module
 */
import { ConfigValidationError, ShardAssignmentError } from "../errors.ts";
import type { KeyEncoding } from "../routing/key.ts";
import { routePackedByHash } from "../routing/packed_hash_router.ts";
import type { Router } from "../routing/router.ts";
import type { PackedRows, RoutedRows } from "../rows.ts";

/** Routes packed rows by the very code that readers route lookups with. Adds 4 bytes a row; copies nothing. */
export class RouteStream extends TransformStream<PackedRows, RoutedRows> {
  /** @param encodingOf How the keys are stored; asked when rows arrive, as it may follow from the first row. */
  constructor(router: Router, encodingOf: () => KeyEncoding) {
    super({
      transform(rows, controller) {
        const shardIds = new Uint32Array(rows.rowCount);
        if (router.spec.strategy !== "hash") {
          throw new ConfigValidationError("Cannot route packed rows with this router", "sharding");
        }
        routePackedByHash(rows, encodingOf(), { shardCount: router.shardCount, shardIds });
        for (const shardId of shardIds) {
          if (shardId < router.shardCount) continue;
          throw new ShardAssignmentError(
            `Cannot give a row to shard ${shardId} as there are only ${router.shardCount} shards`,
          );
        }
        const { rowCount, bytes, starts, keyLengths } = rows;
        controller.enqueue({ rowCount, bytes, starts, keyLengths, shardIds });
      },
    });
  }
}
