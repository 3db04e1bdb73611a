// Judge: SQLite's own PRAGMA table_xinfo for the same statement.
import { deepEqual, equal } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { memoryPages, openDatabase, parseCreateTable } from "../../src/sqlite/mod.ts";
import { allOf, databaseBytes } from "./sqlite_judge.ts";

const STATEMENTS = [
  "CREATE TABLE t (a)",
  "CREATE TABLE t(a,b,c)",
  "create table t (id integer primary key, x text not null)",
  'CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, "order" TEXT, [a b] INT, `c``d` REAL, "e""f" BLOB)',
  "CREATE TABLE t ('single' TEXT, \"with ,\" NUMERIC(10, 2) DEFAULT (max(1, (2 + 3))), z DEFAULT 'it''s, ok (yes)')",
  "CREATE TABLE t ( -- a, comment (\n a /* b, ) */ TEXT, c INT -- last\n)",
  "CREATE TABLE t (a TEXT CHECK (a IN ('x', 'y)')), b INT CONSTRAINT n UNIQUE REFERENCES u (p) ON DELETE SET NULL)",
  "CREATE TABLE t (a, b, CONSTRAINT p PRIMARY KEY (b COLLATE NOCASE DESC, a), CHECK (a > b), FOREIGN KEY (a) REFERENCES u)",
  "CREATE TABLE t (a INTEGER, b, PRIMARY KEY (a DESC))",
  "CREATE TABLE t (a INTEGER PRIMARY KEY DESC, b)",
  "CREATE TABLE t (a INT PRIMARY KEY, b)",
  "CREATE TABLE t (a BIG INTEGER PRIMARY KEY, b)",
  "CREATE TABLE t (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
  "CREATE TABLE t (v, K BLOB, n INTEGER, PRIMARY KEY (n, k, n)) STRICT, WITHOUT ROWID",
  "CREATE TABLE t (a INTEGER PRIMARY KEY, b AS (a + 1), c GENERATED ALWAYS AS (a * 2) STORED, d) ",
  "CREATE TABLE t (été TEXT, 名前 INT, _x$1 BLOB, key, rowid_, desc TEXT DEFAULT CURRENT_TIMESTAMP)",
  "CREATE TABLE t (a DEFAULT -5, b DEFAULT +2.5, c DEFAULT x'00ff', d DEFAULT NULL, e DEFAULT true, g DEFAULT -0x10)",
  'CREATE TABLE t (a, b UNIQUE ON CONFLICT IGNORE, c NOT NULL DEFAULT "two words", PRIMARY KEY (a) UNIQUE (b))',
  "CREATE TABLE IF NOT EXISTS main.t (a, b)",
  "CREATE TABLE t AS SELECT 1 AS one, 'x' AS \"two, three\"",
];

/** SQLite turns some types away in STRICT tables. */
function typed(sql: string): string {
  return sql.includes("STRICT") ? sql.replace("(v, K", "(v ANY, K") : sql;
}

for (const statement of STATEMENTS) {
  const sql = typed(statement);
  test(`parseCreateTable() finds the columns of ${sql.slice(0, 100).replaceAll("\n", " ")}`, () => {
    const database = new DatabaseSync(":memory:");
    database.exec(sql);
    const stored = String(database.prepare("SELECT sql FROM sqlite_schema WHERE name = 't'").get()!["sql"]);
    const info = database.prepare("PRAGMA table_xinfo(t)").all();
    for (const text of [stored, sql].filter((text) => !text.includes("AS SELECT"))) {
      const table = parseCreateTable(text)!;
      // hidden = 2 are the virtual generated columns, which are not in the file.
      const columns = info.filter((row) => row["hidden"] !== 2);
      deepEqual(table.columns.map((column) => column.name), columns.map((row) => row["name"]));
      const key = columns.filter((row) => Number(row["pk"]) > 0).sort((a, b) => Number(a["pk"]) - Number(b["pk"]));
      deepEqual(
        table.primaryKey.map((name) => name.toLowerCase()),
        key.map((row) => String(row["name"]).toLowerCase()),
      );
      equal(table.isWithoutRowid, sql.includes("WITHOUT ROWID"));
      equal(table.rowidColumn, rowidColumnOf(database, table.columns.map((column) => column.name)));
    }
    database.close();
  });
}

/** Which column follows when the row id changes. */
function rowidColumnOf(database: DatabaseSync, columns: readonly string[]): number {
  try {
    database.prepare("SELECT rowid FROM t").all();
  } catch {
    return -1;
  }
  for (const [index, column] of columns.entries()) {
    const name = `"${column.replaceAll('"', '""')}"`;
    const plan = database.prepare(`EXPLAIN QUERY PLAN SELECT * FROM t WHERE ${name} = 1`).all();
    if (plan.some((row) => String(row["detail"]).includes("INTEGER PRIMARY KEY"))) return index;
  }
  return -1;
}

test("parseCreateTable() gives undefined for what is no table with columns", () => {
  const others = [
    "",
    "CREATE VIEW t AS SELECT (1)",
    "CREATE VIRTUAL TABLE t USING fts5(a, b)",
    "CREATE INDEX i ON t (a)",
    "CREATE TABLE t (a, b",
    "CREATE TABLE t",
    "CREATE TABLE t (a,,b)",
    "CREATE TABLE t ('",
  ];
  for (const sql of others) equal(parseCreateTable(sql), undefined, sql);
});

test("parseCreateTable() is quick with long and with unbalanced statements", () => {
  const long = `CREATE TABLE t (a DEFAULT '${"x''".repeat(300_000)}', ${"(".repeat(1000)} b ${")".repeat(1000)}, c)`;
  equal(parseCreateTable(long)?.columns.length, 3);
  equal(parseCreateTable(`CREATE TABLE t (${"(".repeat(100_000)}`), undefined);
  equal(parseCreateTable(`CREATE TABLE t (${"'".repeat(100_001)}`), undefined);
});

test("RowidTable fills in the literal default of columns that rows were written without", async () => {
  const literals = ["-5", "+2.5", "'it''s'", "x'00ff'", "NULL", "true", "1e3", ".5", "0"];
  let truth: Record<string, unknown>[] = [];
  const bytes = databaseBytes({}, (database) => {
    database.exec("CREATE TABLE t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES (3)");
    literals.forEach((literal, i) => database.exec(`ALTER TABLE t ADD COLUMN c${i} DEFAULT ${literal}`));
    truth = database.prepare("SELECT * FROM t").all();
  });
  const table = (await openDatabase(memoryPages(bytes))).rowidTable("t");
  const [row] = await allOf(table.rows());
  deepEqual(row!.values.map(plain), Object.values(truth[0]!).map(plain));
});

function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? [...value] : value;
}
