/**
 * Writes FlatBuffers: tables of numbered fields, given as plain data.
 *
 * Parents stand before what they refer to, and the shapes of tables are shared, so that the same data always gives the
 * same bytes.
 * @module
 */

/** A field's value: a number of so many bytes, bytes, a table, or several. */
export type FlatValue =
  | { readonly u8: number }
  | { readonly u16: number }
  | { readonly u32: number }
  | { readonly u64: number | bigint }
  | { readonly bytes: Uint8Array }
  | { readonly table: FlatFields }
  | { readonly tables: readonly FlatFields[] };

/** Fields by their numbers. Those that are left out read as 0. */
export type FlatFields = Readonly<Record<number, FlatValue>>;

/** The bytes of a table and all that it refers to. */
export function flatBytes(root: FlatFields): Uint8Array {
  const builder = new FlatBuilder();
  builder.reserve(4);
  builder.point(0, builder.addTable(root));
  return builder.finish();
}

class FlatBuilder {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  /** Places of shapes that were written, by their content. */
  readonly #shapes = new Map<string, number>();
  /** Where fields go, by their numbers and widths: an index has thousands of tables that are alike. */
  readonly #plans = new Map<string, TablePlan>();

  /** Room for so many bytes; gives where it begins. */
  reserve(sizeBytes: number, alignment = 4): number {
    const at = Math.ceil(this.#length / alignment) * alignment;
    this.#length = at + sizeBytes;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  /** Makes a place refer to one behind it. */
  point(from: number, to: number): void {
    this.#view.setUint32(from, to - from, true);
  }

  addTable(fields: FlatFields): number {
    let name = "";
    for (const id in fields) name += `${id}:${widthOf(fields[id]!)} `;
    let plan = this.#plans.get(name);
    if (plan === undefined) this.#plans.set(name, plan = planOf(fields));
    const shape = this.#shape(plan);
    const at = this.reserve(plan.sizeBytes, 8);
    this.#view.setInt32(at, at - shape, true);
    for (const [id, place] of plan.places) this.#put(at + place, fields[id]!);
    return at;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #shape({ places, sizeBytes, name }: TablePlan): number {
    let at = this.#shapes.get(name);
    if (at === undefined) {
      const fieldCount = Math.max(-1, ...places.keys()) + 1;
      const offsets = Array.from({ length: fieldCount }, (_, id) => places.get(id) ?? 0);
      const words = [4 + 2 * fieldCount, sizeBytes, ...offsets];
      at = this.reserve(2 * words.length, 2);
      for (const [i, word] of words.entries()) this.#view.setUint16(at + 2 * i, word, true);
      this.#shapes.set(name, at);
    }
    return at;
  }

  #put(place: number, value: FlatValue): void {
    if ("u8" in value) this.#view.setUint8(place, value.u8);
    else if ("u16" in value) this.#view.setUint16(place, value.u16, true);
    else if ("u32" in value) this.#view.setUint32(place, value.u32, true);
    else if ("u64" in value) this.#view.setBigUint64(place, BigInt(value.u64), true);
    else if ("bytes" in value) this.#putBytes(place, value.bytes);
    else if ("table" in value) this.point(place, this.addTable(value.table));
    else this.#putTables(place, value.tables);
  }

  #putBytes(place: number, bytes: Uint8Array): void {
    const at = this.reserve(4 + bytes.length);
    this.#view.setUint32(at, bytes.length, true);
    this.#bytes.set(bytes, at + 4);
    this.point(place, at);
  }

  #putTables(place: number, tables: readonly FlatFields[]): void {
    const at = this.reserve(4 + 4 * tables.length);
    this.#view.setUint32(at, tables.length, true);
    this.point(place, at);
    for (const [i, table] of tables.entries()) {
      const entry = at + 4 + 4 * i;
      this.point(entry, this.addTable(table));
    }
  }
}

/** Where the fields of a table stand in it. */
interface TablePlan {
  /** In ascending order of their numbers. */
  readonly places: ReadonlyMap<number, number>;
  readonly sizeBytes: number;
  /** Tells shapes apart. */
  readonly name: string;
}

function planOf(fields: FlatFields): TablePlan {
  const entries = Object.entries(fields).map(([id, value]) => ({ id: Number(id), width: widthOf(value) }));
  // Wide ones first, behind the four bytes that refer to the shape and four that keep them in line.
  const ordered = [...entries].sort((one, other) => other.width - one.width || one.id - other.id);
  let sizeBytes = ordered[0]?.width === 8 ? 8 : 4;
  const offsets = new Map<number, number>();
  for (const { id, width } of ordered) {
    offsets.set(id, sizeBytes);
    sizeBytes += width;
  }
  const places = new Map(entries.map(({ id }) => [id, offsets.get(id)!]));
  return { places, sizeBytes, name: `${sizeBytes} ${[...places].join(" ")}` };
}

function widthOf(value: FlatValue): number {
  if ("u8" in value) return 1;
  if ("u16" in value) return 2;
  return "u64" in value ? 8 : 4;
}
