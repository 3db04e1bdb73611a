/**
 * Page-cache sidecars of files that lie there already, by a walk through all their b-trees.
 * @module
 */
import { openDatabase } from "./database_reader.ts";
import { INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE } from "./format.ts";
import { checkedPage } from "./overflow.ts";
import type { PageSource } from "./page_source.ts";
import { pageGap } from "./sidecar.ts";
import { SidecarBuilder } from "./sidecar_builder.ts";
import { corruptLink, corruptPage, payloadAt, type TreeShape, treeShapeOf, u16At, u32At } from "./tree_shape.ts";
import { varintAt, varintEnd } from "./varint.ts";

/**
 * Collects what belongs into the sidecar of a database. Reads every page of it that is in use, once.
 *
 * @throws {CorruptFileError} when the file is damaged.
 */
export async function sidecarOf(source: PageSource, signal?: AbortSignal): Promise<SidecarBuilder> {
  const database = await openDatabase(source, signal);
  const first = source.peek(1) ?? await source.load(1, signal);
  const walk = new Walk(treeShapeOf(source, first), signal);
  await walk.tree(1);
  for (const { rootPage } of database.schema()) if (rootPage > 0) await walk.tree(rootPage);
  return walk.builder;
}

class Walk {
  readonly builder: SidecarBuilder;
  readonly #shape: TreeShape;
  readonly #signal: AbortSignal | undefined;
  /** Pages that may still be visited: damaged links must not make the walk endless. */
  #pagesLeft: number;

  constructor(shape: TreeShape, signal: AbortSignal | undefined) {
    this.#shape = shape;
    this.#signal = signal;
    this.#pagesLeft = shape.pageCount;
    this.builder = new SidecarBuilder(shape.pageSizeBytes);
  }

  async tree(rootPage: number): Promise<void> {
    const { pageSizeBytes, usableBytes } = this.#shape;
    const open = [rootPage];
    const heads: { head: number; count: number }[] = [];
    for (let pageNumber = open.pop(); pageNumber !== undefined; pageNumber = open.pop()) {
      const page = await this.#load(pageNumber);
      const base = pageNumber === 1 ? 100 : 0;
      const kind = page[base]!;
      const isInterior = kind === INTERIOR_INDEX || kind === INTERIOR_TABLE;
      if (!isInterior && kind !== LEAF_INDEX && kind !== LEAF_TABLE) {
        throw corruptPage(this.#shape, [pageNumber, base], "it must be a page of a tree");
      }
      const pointers = base + (isInterior ? 12 : 8);
      const cellCount = u16At(page, base + 3);
      const [gapStart, gapEnd] = pageGap(page, pageNumber, pageSizeBytes);
      if (gapStart > gapEnd || gapEnd > pageSizeBytes) {
        throw corruptPage(this.#shape, [pageNumber, base + 3], "its cells must fit the page");
      }
      // The schema's tree is wanted whole, its overflow pages included.
      if (isInterior || rootPage === 1) this.builder.addPage(pageNumber, page);
      if (isInterior) open.push(u32At(page, base + 8));
      for (let i = 0; i < cellCount; i++) {
        const cell = u16At(page, pointers + 2 * i);
        if (cell > usableBytes - 4) {
          throw corruptPage(this.#shape, [pageNumber, pointers + 2 * i], "a cell must lie inside the page");
        }
        if (isInterior) open.push(u32At(page, cell));
        const chain = kind === INTERIOR_TABLE ? undefined : this.#chainOf(page, [pageNumber, kind, cell]);
        if (chain !== undefined) heads.push(chain);
      }
      for (const chain of heads.splice(0)) await this.#follow(chain, { namedBy: pageNumber, isSchema: rootPage === 1 });
    }
  }

  /** The overflow chain of a cell, if it has one. */
  #chainOf(
    page: Uint8Array,
    [pageNumber, kind, cell]: readonly [number, number, number],
  ): { head: number; count: number } | undefined {
    const { indexLocalMax, tableLocalMax, usableBytes } = this.#shape;
    const at = kind === INTERIOR_INDEX ? cell + 4 : cell;
    let start = varintEnd(page, at, usableBytes);
    const sizeBytes = start < 0 ? Infinity : varintAt(page, at);
    const localMax = kind === LEAF_TABLE ? tableLocalMax : indexLocalMax;
    if (sizeBytes <= localMax) return undefined;
    if (kind === LEAF_TABLE && start > 0) start = varintEnd(page, start, usableBytes);
    if (start < 0) throw corruptPage(this.#shape, [pageNumber, cell], "a number reaches past the end of the page");
    const place = { bytes: page, pageStart: 0, pageNumber, start, sizeBytes, localMax };
    const { overflowPage, overflowCount } = payloadAt(this.#shape, place);
    return { head: overflowPage, count: overflowCount };
  }

  async #follow(
    { head, count }: { head: number; count: number },
    { namedBy, isSchema }: { namedBy: number; isSchema: boolean },
  ): Promise<void> {
    const chain: number[] = [];
    for (let next = head; next !== 0;) {
      if (chain.length === count) throw corruptLink(this.#shape, chain.at(-1)!, next);
      const page = await this.#load(next, namedBy);
      if (isSchema) this.builder.addPage(next, page);
      chain.push(next);
      next = u32At(page, 0);
    }
    this.builder.onChain(chain);
  }

  async #load(pageNumber: number, namedBy: number = 0): Promise<Uint8Array> {
    const { source, pageCount } = this.#shape;
    if (pageNumber < 1 || pageNumber > pageCount || --this.#pagesLeft < 0) {
      throw corruptLink(this.#shape, namedBy, pageNumber);
    }
    const page = source.peek(pageNumber);
    if (page !== undefined) return checkedPage(this.#shape, pageNumber, page);
    this.#signal?.throwIfAborted();
    return checkedPage(this.#shape, pageNumber, await source.load(pageNumber, this.#signal));
  }
}
