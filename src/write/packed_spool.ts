/**
 * Puts rows aside until their number is known: routing to a number of shards that depends on it comes second.
 * @module
 */
import type { ByteSpool } from "../bytes/spool.ts";
import type { PackedRows } from "../rows.ts";
import { decodePacked, encodePacked } from "./packed_builder.ts";

/** Rows that were put aside. */
export interface SpooledRows {
  readonly rowCount: number;
  /** The rows again, in the order of arrival. */
  read(): ReadableStream<PackedRows>;
}

/** Writes all rows to the spool and counts them. Holds one chunk. */
export async function spoolRows(
  rows: ReadableStream<PackedRows>,
  spool: ByteSpool,
  signal: AbortSignal,
): Promise<SpooledRows> {
  let rowCount = 0;
  await rows.pipeTo(
    new WritableStream({
      async write(chunk) {
        rowCount += chunk.rowCount;
        await spool.append(...encodePacked(chunk));
      },
    }),
    { signal },
  );
  return { rowCount, read: () => readSpool(spool) };
}

function readSpool(spool: ByteSpool): ReadableStream<PackedRows> {
  const pieces = spool.read();
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(decodePacked(value));
    },
    async cancel() {
      await pieces.return?.();
    },
  }, { highWaterMark: 0 });
}
