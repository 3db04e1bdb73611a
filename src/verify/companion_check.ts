/**
 * Guard and sidecar of a shard: whether they can be read, and belong to the shard's file.
 * @module
 */
import { decodeGuard, type Guard } from "../backends/guard.ts";
import { CorruptFileError } from "../errors.ts";
import type { ShardObject } from "../read/shard_objects.ts";
import type { PageSource } from "../sqlite/page_source.ts";
import { decodeSidecar, pageGap, type Sidecar } from "../sqlite/sidecar.ts";
import type { ReportProblem } from "./row_check.ts";

/**
 * Opens a guard. What it says of pages and keys is of use only where it belongs to the file.
 *
 * @returns null when it cannot be used.
 */
export function openGuard(bytes: Uint8Array, { digest, sizeBytes }: ShardObject, report: ReportProblem): Guard | null {
  const guard = decoded(() => decodeGuard(bytes), ["guard", report]);
  if (guard === null) return null;
  if (guard.shardXxh3 !== digest?.xxh3) {
    report("guard", `it belongs to a file of digest ${guard.shardXxh3}: the manifest records ${digest?.xxh3}`);
    return null;
  }
  const { pageCount, pageSizeBytes } = guard;
  if (pageCount * pageSizeBytes === sizeBytes) return guard;
  report("guard", `it knows ${pageCount} pages of ${pageSizeBytes} bytes: the file is ${sizeBytes} bytes long`);
  return null;
}

/** Opens a sidecar; null when it cannot be used. */
export function openSidecar(bytes: Uint8Array, report: ReportProblem): Sidecar | null {
  return decoded(() => decodeSidecar(bytes), ["sidecar", report]);
}

/** Compares the pages of a sidecar with those of the file. */
export async function compareSidecar(sidecar: Sidecar, pages: PageSource, report: ReportProblem): Promise<void> {
  const { pageSizeBytes, pageCount } = sidecar;
  if (pageSizeBytes !== pages.pageSizeBytes) {
    report("sidecar", `its pages are ${pageSizeBytes} bytes long, those of the file ${pages.pageSizeBytes}`);
    return;
  }
  let found = 0;
  for (let pageNumber = 1; pageNumber <= pages.pageCount && found < pageCount; pageNumber++) {
    const copy = sidecar.page(pageNumber);
    if (copy === undefined) continue;
    found++;
    const page = pages.peek(pageNumber) ?? await pages.load(pageNumber);
    const [gapStart, gapEnd] = pageGap(page, pageNumber, pageSizeBytes);
    if (isSame(copy, page, [0, gapStart]) && isSame(copy, page, [gapEnd, pageSizeBytes])) continue;
    report("sidecar", `its page ${pageNumber} is another one than in the file`);
  }
  if (found < pageCount) report("sidecar", `it has ${pageCount - found} pages that the file has not`);
}

function isSame(
  one: Uint8Array,
  other: Uint8Array,
  [start, end]: readonly [start: number, end: number],
): boolean {
  for (let i = start; i < end; i++) if (one[i] !== other[i]) return false;
  return true;
}

function decoded<T>(decode: () => T, [kind, report]: readonly ["guard" | "sidecar", ReportProblem]): T | null {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof CorruptFileError)) throw error;
    report(kind, error.message, error.byteOffset);
    return null;
  }
}
