/**
 * Puts rows aside until their number is known: routing to a number of shards that depends on it comes second.
 * @module
 */
import type { ByteSpool } from "../bytes/spool.ts";
import type { PackedRows } from "../rows.ts";
import type { ArrayPool } from "./array_pool.ts";
import { decodePacked, encodePacked } from "./packed_builder.ts";

/** Rows that were put aside. */
export interface SpooledRows {
  readonly rowCount: number;
  /** The rows again, in the order of arrival. */
  read(): ReadableStream<PackedRows>;
}

/**
 * Writes all rows to the spool and counts them. Holds one chunk; its arrays go to the pool, from which those come that
 * the rows are read into.
 */
export async function spoolRows(
  rows: ReadableStream<PackedRows>,
  spool: ByteSpool,
  { signal, pool }: { readonly signal: AbortSignal; readonly pool: ArrayPool },
): Promise<SpooledRows> {
  let rowCount = 0;
  await rows.pipeTo(
    new WritableStream({
      async write(chunk) {
        rowCount += chunk.rowCount;
        await spool.append(...encodePacked(chunk));
        pool.give(chunk);
      },
    }),
    { signal },
  );
  return { rowCount, read: () => readSpool(spool, pool) };
}

function readSpool(spool: ByteSpool, pool: ArrayPool): ReadableStream<PackedRows> {
  const pieces = spool.read("reuse");
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(ownRows(decodePacked(value), pool));
    },
    async cancel() {
      await pieces.return?.();
    },
  }, { highWaterMark: 0 });
}

/** The rows in arrays of the pool, which takes them back: views of the spool's would keep all its pieces in memory. */
function ownRows({ rowCount, bytes, starts, keyLengths }: PackedRows, pool: ArrayPool): PackedRows {
  const own = pool.take({ rows: rowCount, bytes: bytes.length });
  own.bytes.set(bytes);
  own.starts.set(starts);
  own.keyLengths.set(keyLengths);
  return { rowCount, ...own };
}
