/**
 * What every walk through a b-tree needs to know of its file, and the checks that all of them share.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { parseFileHeader } from "./file_header.ts";
import { indexLocalMax, localBytes, tableLocalMax } from "./format.ts";
import type { PageSource } from "./page_source.ts";

/** SQLite itself refuses deeper trees; with four cells a page a tree of 20 levels would be larger than any file. */
export const DEPTH_MAX = 20;

/** A file as b-tree code sees it. */
export interface TreeShape {
  readonly source: PageSource;
  readonly pageSizeBytes: number;
  readonly usableBytes: number;
  readonly pageCount: number;
  /** Payloads up to here have no overflow chain, in index trees and in table trees. */
  readonly indexLocalMax: number;
  readonly tableLocalMax: number;
}

/**
 * Reads what the file header says, of which `head` has at least 100 bytes.
 *
 * @throws {CorruptFileError} when the file is no SQLite database, or the source was made for another page size.
 */
export function treeShapeOf(source: PageSource, head: Uint8Array): TreeShape {
  const { pageSizeBytes, usableBytes, pageCount } = parseFileHeader(head, source.pageCount * source.pageSizeBytes);
  if (source.pageSizeBytes !== pageSizeBytes) {
    const message = `Cannot read pages of ${source.pageSizeBytes} bytes as the file has pages of ${pageSizeBytes}`;
    throw new CorruptFileError(message, 16);
  }
  return {
    source,
    pageSizeBytes,
    usableBytes,
    pageCount: Math.min(source.pageCount, pageCount),
    indexLocalMax: indexLocalMax(usableBytes),
    tableLocalMax: tableLocalMax(usableBytes),
  };
}

/** An error about a place on a page. */
export function corruptPage(
  shape: TreeShape,
  [pageNumber, offset]: readonly [number, number],
  message: string,
): CorruptFileError {
  return new CorruptFileError(
    `Cannot read page ${pageNumber} of the database: ${message}`,
    (pageNumber - 1) * shape.pageSizeBytes + offset,
  );
}

/** An error about a page that does not exist, with the page that names it; 0 for the schema. */
export function corruptLink(shape: TreeShape, namedBy: number, pageNumber: number): CorruptFileError {
  return new CorruptFileError(
    `Cannot read page ${pageNumber} of the database, named by ` +
      `${namedBy === 0 ? "the schema" : `page ${namedBy}`}: pages go from 1 to ${shape.pageCount}`,
    Math.max(namedBy - 1, 0) * shape.pageSizeBytes,
  );
}

/** The page that a link leads to. @throws {CorruptFileError} when there is none, or it is page 1. */
export function checkLink(shape: TreeShape, namedBy: number, pageNumber: number): number {
  if (pageNumber < 2 || pageNumber > shape.pageCount) throw corruptLink(shape, namedBy, pageNumber);
  return pageNumber;
}

/** The big-endian u16 at an offset. */
export function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** The big-endian u32 at an offset. */
export function u32At(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 0x1000000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}

/** A copy of `bytes[start]` up to `end`. Not `slice`, which gives a view where a source hands out Node's buffers. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes.subarray(start, end));
}

/** A cell's payload: its local part on a b-tree page, and the first page of what follows. */
export interface Payload {
  /** Where the local part lies: `bytes[start]` is its first byte. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly localBytes: number;
  /** Length with the overflow chain. */
  readonly sizeBytes: number;
  /** First overflow page; 0 without one. */
  readonly overflowPage: number;
  /** How many overflow pages follow. */
  readonly overflowCount: number;
  /** The b-tree page, and where the cell begins on it. */
  readonly pageNumber: number;
  readonly offset: number;
}

/** Where a payload begins, and the page that it is on. */
export interface PayloadPlace {
  readonly bytes: Uint8Array;
  /** Where the page begins in `bytes`. */
  readonly pageStart: number;
  readonly pageNumber: number;
  /** Where the payload begins in `bytes`. */
  readonly start: number;
  readonly sizeBytes: number;
  readonly localMax: number;
}

/**
 * Splits a payload into its local part and its chain. What it promises about lengths has been checked against the
 * page and against the file, so that one may allocate `sizeBytes`.
 *
 * @throws {CorruptFileError} when the payload cannot be as long as it says.
 */
export function payloadAt(shape: TreeShape, place: PayloadPlace): Payload {
  const { bytes, pageStart, pageNumber, start, sizeBytes } = place;
  const { usableBytes, pageCount } = shape;
  const offset = start - pageStart;
  const local = localBytes(usableBytes, place.localMax, sizeBytes);
  const overflowCount = Math.ceil((sizeBytes - local) / (usableBytes - 4));
  if (offset + local + (overflowCount && 4) > usableBytes || overflowCount >= pageCount) {
    throw corruptPage(shape, [pageNumber, offset], `a row of ${sizeBytes} bytes does not fit the page or the file`);
  }
  const overflowPage = overflowCount && checkLink(shape, pageNumber, u32At(bytes, start + local));
  return { bytes, start, localBytes: local, sizeBytes, overflowPage, overflowCount, pageNumber, offset };
}
