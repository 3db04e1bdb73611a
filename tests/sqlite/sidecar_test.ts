// Judges: sidecars that the Python package wrote and what it recorded of them, SQLite's dbstat, the runtime's own zstd.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { DatabaseWriter } from "../../src/sqlite/database_writer.ts";
import { PAGE_SIZES } from "../../src/sqlite/format.ts";
import { memoryPages } from "../../src/sqlite/page_source.ts";
import { PageOutput } from "../../src/sqlite/page_output.ts";
import { putKeyValueHead } from "../../src/sqlite/record_writer.ts";
import { decodeSidecar, type Sidecar } from "../../src/sqlite/sidecar.ts";
import { SidecarBuilder } from "../../src/sqlite/sidecar_builder.ts";
import { sidecarOf } from "../../src/sqlite/sidecar_walk.ts";
import { TreeWriter } from "../../src/sqlite/tree_writer.ts";
import { databaseBytes, LatePages, randomOf } from "./sqlite_judge.ts";
import { withFile } from "./sidecar_judge.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const SNAPSHOTS = fileURLToPath(new URL("../fixtures/snapshots", import.meta.url));
const SQL = "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID";

interface Recorded {
  readonly "db_tag": string;
  readonly "page_size": number;
  readonly "body_size": number;
  readonly "body_sha256": string;
  readonly pagenos: number[];
  readonly "chain_heads": number[];
  readonly chains: number[][];
}

interface Fixture {
  readonly label: string;
  readonly recorded: Recorded;
  readonly sidecar: Uint8Array<ArrayBuffer>;
  readonly file: Uint8Array<ArrayBuffer>;
}

/** All fixtures' sidecars, found by the ETag that they are bound to, which is the MD5 of the file. */
function fixtures(): Fixture[] {
  return readdirSync(SNAPSHOTS).flatMap((name) => {
    const folder = join(SNAPSHOTS, name);
    const { sidecars = [] } = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8"));
    const byTag = new Map((sidecars as Recorded[]).map((recorded) => [recorded["db_tag"], recorded]));
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()
      .filter((path) => path.endsWith("/shard.sidecar"))
      .flatMap((path) => {
        const file = new Uint8Array(readFileSync(join(folder, dirname(path), "shard.db")));
        const recorded = byTag.get(`"${createHash("md5").update(file).digest("hex")}"`);
        const sidecar = new Uint8Array(readFileSync(join(folder, path)));
        return recorded === undefined ? [] : [{ label: path, recorded, sidecar, file }];
      });
  });
}

/** The content of a sidecar, as the runtime's zstd sees it. */
function bodyOf(sidecar: Uint8Array): Uint8Array {
  return zstdDecompressSync(sidecar.subarray(18 + sidecar[17]!));
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const pageOf = (file: Uint8Array, pageNumber: number, size: number) =>
  file.slice((pageNumber - 1) * size, pageNumber * size);

/** What SQLite never reads of a b-tree page is zero here. */
function withoutGap(page: Uint8Array, pageNumber: number): Uint8Array {
  const base = pageNumber === 1 ? 100 : 0;
  if (![2, 5, 10, 13].includes(page[base]!)) return page;
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  const start = base + (page[base]! < 10 ? 12 : 8) + 2 * view.getUint16(base + 3);
  return page.fill(0, start, view.getUint16(base + 5) || 65536);
}

/** Compares a sidecar with the file and with what is known of it. */
function judge(
  sidecar: Sidecar,
  file: Uint8Array,
  known: { label: string; pagenos: number[]; chains: number[][] },
): void {
  const { label, pagenos, chains } = known;
  const size = sidecar.pageSizeBytes;
  equal(sidecar.pageCount, pagenos.length, label);
  const wanted = new Set(pagenos);
  const chainOf = new Map(chains.map((chain) => [chain[0]!, chain]));
  for (let pageNumber = 0; pageNumber <= file.length / size + 2; pageNumber++) {
    const page = sidecar.page(pageNumber);
    equal(page !== undefined, wanted.has(pageNumber), `${label}: page ${pageNumber}`);
    if (page !== undefined) {
      const expected = withoutGap(pageOf(file, pageNumber, size), pageNumber);
      equal(Buffer.compare(page, expected), 0, `${label}: bytes of page ${pageNumber}`);
    }
    const chain = sidecar.chain(pageNumber);
    deepEqual(chain && Array.from(chain), chainOf.get(pageNumber), `${label}: chain of page ${pageNumber}`);
  }
  ok(sidecar.sizeBytes >= pagenos.length * size + 4 * chains.flat().length, label);
}

/** Writes a table and collects its sidecar on the way, as backends do. */
async function build(
  rows: readonly (readonly [Uint8Array, Uint8Array])[],
  pageSizeBytes: number,
): Promise<{ file: Uint8Array<ArrayBuffer>; builder: SidecarBuilder }> {
  const builder = new SidecarBuilder(pageSizeBytes);
  const pieces: Uint8Array[] = [];
  let nextPage = 2;
  await using writer = new DatabaseWriter(pageSizeBytes, {
    sink(pages) {
      builder.addPages(nextPage, pages);
      nextPage += pages.length / pageSizeBytes;
      return Promise.resolve(void pieces.push(pages.slice()));
    },
    observer: builder,
  });
  const tree = writer.beginTable("withoutRowid");
  for (const [key, value] of rows) {
    putKeyValueHead(tree, key.length, value.length);
    tree.add(Buffer.concat([key, value]), 0, key.length + value.length);
    if (tree.isFull) await writer.flush();
  }
  await writer.endTable("kv", SQL);
  const head = await writer.finish();
  builder.addPages(1, head);
  return { file: new Uint8Array(Buffer.concat([head, ...pieces])), builder };
}

/** What SQLite says of a file's pages, in the words of the format. */
function dbstat(file: Uint8Array): { pagenos: number[]; chains: number[][] } {
  return withFile(file, (path) => {
    const database = new DatabaseSync(path, { readOnly: true });
    const pagesOf = (where: string) =>
      database.prepare(`SELECT pageno FROM dbstat WHERE ${where} ORDER BY pageno`).all().map((row) =>
        Number(row["pageno"])
      );
    try {
      const pagenos = pagesOf("pagetype = 'internal' OR name IN ('sqlite_master', 'sqlite_schema')");
      const overflow = pagesOf("pagetype = 'overflow'");
      const view = new DataView(file.buffer, file.byteOffset, file.length);
      const size = view.getUint16(16) === 1 ? 65536 : view.getUint16(16);
      const next = new Map(overflow.map((page) => [page, view.getUint32((page - 1) * size)]));
      const successors = new Set(next.values());
      const chains = overflow.filter((page) => !successors.has(page)).map((head) => {
        const chain = [head];
        for (let page = next.get(head)!; next.has(page); page = next.get(page)!) chain.push(page);
        return chain;
      });
      return { pagenos, chains };
    } finally {
      database.close();
    }
  });
}

test("decodeSidecar() reads every fixture as the Python package recorded it: pages, chains, rebuilt bytes", () => {
  const all = fixtures();
  ok(all.length >= 40, `${all.length} sidecars`);
  for (const { label, recorded, sidecar, file } of all) {
    const decoded = decodeSidecar(sidecar);
    equal(decoded.tag, recorded["db_tag"], label);
    equal(decoded.pageSizeBytes, recorded["page_size"], label);
    deepEqual(recorded.chains.map((chain) => chain[0]), recorded["chain_heads"], label);
    judge(decoded, file, { label, pagenos: recorded.pagenos, chains: recorded.chains });
  }
});

test("sidecarOf() gives the same content as the Python package for the fixtures' files", async () => {
  for (const { label, recorded, file } of fixtures()) {
    const sidecar = (await (await sidecarOf(memoryPages(file))).encode(recorded["db_tag"]))!;
    const body = bodyOf(sidecar);
    equal(body.length, recorded["body_size"], label);
    equal(sha256(body), recorded["body_sha256"], label);
    equal(decodeSidecar(sidecar).tag, recorded["db_tag"], label);
  }
});

test("SidecarBuilder collects what dbstat and a walk through the file find, over generated tables", async () => {
  for (let seed = 1; seed <= (isSoak ? 2000 : 100); seed++) {
    const random = randomOf(seed);
    const below = (limit: number) => Math.floor(random() * limit);
    const pageSizeBytes = PAGE_SIZES[below(PAGE_SIZES.length)]!;
    const rowCount = [0, 1, below(40), below(400), below(1500)][below(5)]!;
    const shape = below(4);
    const rows = Array.from({ length: rowCount }, (_, i) => {
      const key = Buffer.alloc([8, 16 + below(300), 4 + below(2000), 8][shape]!, below(256));
      key.writeUInt32BE(i);
      return [key, Buffer.alloc([100, below(1100), below(50), below(3 * pageSizeBytes)][shape]!, i)] as const;
    });
    const { file, builder } = await build(rows, pageSizeBytes);
    const label = `seed ${seed}: ${rowCount} rows, page size ${pageSizeBytes}`;
    const sidecar = (await builder.encode('"tag"'))!;
    judge(decodeSidecar(sidecar), file, { label, ...dbstat(file) });
    const walked = (await (await sidecarOf(memoryPages(file))).encode('"tag"'))!;
    equal(Buffer.compare(sidecar, walked), 0, label);
  }
});

test("sidecarOf() finds what dbstat finds in files that SQLite wrote, also with pages that come late", async () => {
  for (let seed = 1; seed <= (isSoak ? 300 : 12); seed++) {
    const random = randomOf(seed);
    const below = (limit: number) => Math.floor(random() * limit);
    const pageSizeBytes = [512, 1024, 4096, 65536][seed % 4]!;
    const file = databaseBytes({ pageSizeBytes, autoVacuum: seed % 3 }, (database) => {
      database.exec("BEGIN");
      for (let i = 0; i < below(30); i++) database.exec(`CREATE TABLE t${i} (x${"y".repeat(below(900))})`);
      database.exec(`CREATE TABLE a (id INTEGER PRIMARY KEY, x, y); CREATE INDEX ix ON a (x); ${SQL}`);
      const intoA = database.prepare("INSERT INTO a (x, y) VALUES (?, ?)");
      const intoKv = database.prepare("INSERT OR REPLACE INTO kv VALUES (?, ?)");
      for (let i = 0; i < 600; i++) {
        intoA.run(`${below(1e6)}`.padEnd(below(pageSizeBytes)), "y".repeat(below(200)));
        intoKv.run(Buffer.alloc(below(1000) + 5, `${below(1e9)}`), Buffer.alloc(below(i % 9 === 0 ? 9000 : 300)));
      }
      database.exec("COMMIT; DELETE FROM a WHERE id % 5 = 0; DELETE FROM kv WHERE length(v) % 3 = 0");
    });
    const label = `seed ${seed}`;
    const late = new LatePages(file, (pageNumber) => pageNumber % 2 === 0);
    for (const source of [memoryPages(file), late]) {
      const sidecar = decodeSidecar((await (await sidecarOf(source)).encode(null))!);
      equal(sidecar.tag, null);
      judge(sidecar, file, { label, ...dbstat(file) });
    }
  }
});

test("sidecarOf() answers damage to a file with CorruptFileError, and always ends", async () => {
  const random = randomOf(3);
  const rows = Array.from(
    { length: 300 },
    (_, i) => [Buffer.from(`${i}`.padStart(400, "0")), Buffer.alloc(20)] as const,
  );
  rows[77] = [rows[77]![0], Buffer.alloc(20_000)];
  const { file } = await build(rows, 4096);
  for (let i = 0; i < 2000; i++) {
    const damaged = file.slice();
    const at = Math.floor(random() * file.length / 4096) * 4096 + Math.floor(random() * (i % 2 === 0 ? 40 : 4096));
    damaged[at]! ^= 1 << Math.floor(random() * 8);
    try {
      await (await sidecarOf(memoryPages(damaged))).encode(null);
    } catch (error) {
      equal((error as { code?: string }).code, "CORRUPT_FILE", `byte ${at}: ${error}`);
    }
  }
});

test("TreeWriter announces a chain around the page that SQLite locks", async () => {
  const chains: number[][] = [];
  const output = new PageOutput(65536, { onInterior() {}, onChain: (pages) => void chains.push([...pages]) });
  const lockPage = 2 ** 30 / 65536 + 1;
  while (output.pageCount < lockPage - 4) output.take(output.allocate() + 1);
  const tree = new TreeWriter(output, "index", { flush: () => Promise.resolve() });
  putKeyValueHead(tree, 4, 300_000);
  tree.add(new Uint8Array(300_004), 0, 300_004);
  await tree.finish();
  deepEqual(chains, [[lockPage - 2, lockPage - 1, lockPage + 1, lockPage + 2, lockPage + 3]]);
});

test("SidecarBuilder gives up beyond 64 MiB and holds nothing any more", async () => {
  for (const [count, isThere] of [[1022, true], [1025, false]] as const) {
    const builder = new SidecarBuilder(65536);
    for (let i = 0; i < count; i++) builder.onInterior(2 + i);
    builder.onChain([5000, 5001]);
    const page = new Uint8Array(65536);
    page[0] = 2;
    for (let i = 0; i < count; i++) builder.addPages(2 + i, page);
    builder.addPages(1, page);
    equal(await builder.encode(null) !== null, isThere, `${count} pages`);
  }
  const builder = new SidecarBuilder(4096);
  const chain = Array.from({ length: 1 << 16 }, (_, i) => i);
  for (let i = 0; i < 256; i++) builder.onChain(chain.map((page) => page + i * (1 << 16) + 2));
  equal(await builder.encode(null), null);
});

test("SidecarBuilder leaves a sidecar unbound whose tag is null or longer than 255 bytes", async () => {
  const { builder } = await build([[Buffer.from("k"), Buffer.from("v")]], 4096);
  for (
    const [tag, read] of [[null, null], ['"é"', '"é"'], ["x".repeat(255), "x".repeat(255)], ["x".repeat(256), null]]
  ) {
    equal(decodeSidecar((await builder.encode(tag!))!).tag, read);
  }
});

test("decodeSidecar() answers damage at any byte with CorruptFileError or the same content", async () => {
  const { file, builder } = await build([
    [Buffer.from("a"), Buffer.alloc(9000, 1)],
    [Buffer.from("b"), Buffer.alloc(3000, 2)],
    [Buffer.from("c"), Buffer.alloc(5000, 3)],
  ], 4096);
  const sidecars = [
    (await builder.encode('"tag"'))!,
    ...fixtures().filter(({ label }) => /64k|overflow/.test(label))
      .slice(0, 1).map(({ sidecar }) => sidecar),
  ];
  for (const sidecar of sidecars) {
    const sound = decodeSidecar(sidecar);
    for (let at = 0; at < sidecar.length; at++) {
      for (const flip of sidecar === sidecars[0] ? [1, 2, 4, 8, 16, 32, 64, 128, 255] : [1, 128]) {
        const damaged = sidecar.slice();
        damaged[at]! ^= flip;
        try {
          const decoded = decodeSidecar(damaged);
          // The tag and the page size are for the caller to compare; all that the frame holds is covered.
          equal(decoded.pageCount, sound.pageCount);
          for (let page = 0; page <= file.length / 4096; page++) {
            deepEqual(decoded.page(page), sound.page(page));
            deepEqual(decoded.chain(page), sound.chain(page));
          }
        } catch (error) {
          equal((error as { code?: string }).code, "CORRUPT_FILE", `byte ${at}: ${error}`);
        }
      }
    }
  }
});

/** A sidecar of 512-byte pages with this content. */
function sidecarWith(
  words: readonly number[],
  pages: Uint8Array,
  prefix: { version?: number; pageSize?: number } = {},
) {
  const body = Buffer.concat([new Uint8Array(Uint32Array.from(words).buffer), pages]);
  const head = Buffer.from("SQPC\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
  head[4] = prefix.version ?? 8;
  head.writeBigUInt64LE(BigInt(body.length), 5);
  head.writeUInt32LE(prefix.pageSize ?? 512, 13);
  const frame = zstdCompressSync(body, {
    pledgedSrcSize: body.length,
    params: { [constants.ZSTD_c_checksumFlag]: 1 },
  });
  return new Uint8Array(Buffer.concat([head, frame]));
}

test("decodeSidecar() refuses tables that contradict the format", () => {
  const whole = new Uint8Array(1024);
  // Two pages that are no b-tree pages, and two chains.
  const sound = [2, 3, 4, 0, 512, 1024, 2, 7, 9, 0, 2, 3, 7, 8, 9];
  const decoded = decodeSidecar(sidecarWith(sound, whole));
  deepEqual([decoded.pageCount, Array.from(decoded.chain(7)!), Array.from(decoded.chain(9)!)], [2, [7, 8], [9]]);
  const refused: [string, Uint8Array][] = [
    ["another magic", sidecarWith(sound, whole).fill(0, 0, 1)],
    ["another version", sidecarWith(sound, whole, { version: 7 })],
    ["a page size that is no power of two", sidecarWith(sound, whole, { pageSize: 513 })],
    ["a page size below 512", sidecarWith(sound, whole, { pageSize: 256 })],
    ["a page size beyond 65536", sidecarWith(sound, whole, { pageSize: 131072 })],
    ["another page size", sidecarWith(sound, whole, { pageSize: 1024 })],
    ["page numbers that descend", sidecarWith(sound.with(1, 5), whole)],
    ["page numbers that repeat", sidecarWith(sound.with(1, 4), whole)],
    ["offsets that do not begin at 0", sidecarWith(sound.with(3, 1), whole)],
    ["offsets that descend", sidecarWith(sound.with(4, 1025), whole)],
    ["offsets that end early", sidecarWith(sound.with(5, 1023), whole)],
    ["offsets that end late", sidecarWith(sound.with(5, 1025), whole)],
    ["chain heads that descend", sidecarWith(sound.with(7, 10).with(12, 10), whole)],
    ["chain offsets that do not begin at 0", sidecarWith(sound.with(9, 1), whole)],
    ["chain offsets that repeat", sidecarWith(sound.with(10, 3), whole)],
    ["chain offsets that end early", sidecarWith(sound.with(11, 2), whole)],
    ["chain offsets that end late", sidecarWith(sound.with(11, 4), whole)],
    ["a chain that does not begin with its head", sidecarWith(sound.with(12, 8), whole)],
    ["more pages than there are", sidecarWith(sound.with(0, 0xffffffff), whole)],
    ["more chains than there are", sidecarWith(sound.with(6, 0xffffffff), whole)],
    ["longer chains than there are", sidecarWith(sound.with(11, 0xffffffff), whole)],
    ["a b-tree page whose gap is too long", sidecarWith(sound, whole.slice().fill(2, 0, 1))],
    ["a b-tree page whose cells do not fit", sidecarWith(sound, whole.slice().fill(0xff, 1, 7).fill(2, 0, 1))],
    ["nothing", new Uint8Array(0)],
    ["nothing but a prefix", sidecarWith(sound, whole).subarray(0, 18)],
    ["a tag that is no text", sidecarWith(sound, whole).fill(4, 17, 18).fill(0xff, 18, 22)],
  ];
  for (const [label, bytes] of refused) {
    throws(() => decodeSidecar(bytes), { code: "CORRUPT_FILE", name: "CorruptFileError" }, label);
  }
});

test("decodeSidecar() allocates no more than it is allowed, whatever the sidecar says", async () => {
  const { builder } = await build([[Buffer.from("k"), Buffer.from("v")]], 65536);
  const sidecar = (await builder.encode('"tag"'))!;
  throws(() => decodeSidecar(sidecar, 65535), { code: "CORRUPT_FILE" });
  equal(decodeSidecar(sidecar, 65536).pageCount, 1);
  const large = sidecar.slice();
  large.fill(0xff, 5, 13);
  throws(() => decodeSidecar(large), { code: "CORRUPT_FILE" });
  // 100,000 pages of 8 bytes each that would be 64 KiB each.
  const count = 100_000;
  const words = [
    count,
    ...Array.from({ length: count }, (_, i) => i + 2),
    ...Array.from({ length: count + 1 }, (_, i) => 8 * i),
  ];
  const stored = Uint8Array.from({ length: 8 * count }, (_, i) => i % 8 === 0 ? 10 : 0);
  throws(() => decodeSidecar(sidecarWith([...words, 0, 0], stored, { pageSize: 65536 })), { code: "CORRUPT_FILE" });
});

test("sidecarOf() stops when it is aborted", async () => {
  const { file } = await build([[Buffer.from("k"), Buffer.alloc(100_000)]], 4096);
  const source = new LatePages(file, () => false);
  await rejects(sidecarOf(source, AbortSignal.abort(new Error("stop"))), /stop/);
});
