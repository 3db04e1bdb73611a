/**
 * Reads the column names of a table from its `CREATE TABLE` statement, which is all that a database file keeps.
 * @module
 */
import type { SqlValue } from "./record.ts";

/** A column of a table. */
export interface ColumnDefinition {
  readonly name: string;
  /** What rows have that were written before the column was added; null unless it is a literal. */
  readonly defaultValue: SqlValue;
}

/** A table as its statement defines it. */
export interface TableDefinition {
  /** In the order of the statement, which is that of `SELECT *`; virtual generated columns are left out. */
  readonly columns: readonly ColumnDefinition[];
  /** Whether the table is an index b-tree ordered by its primary key. */
  readonly isWithoutRowid: boolean;
  /** Columns of the primary key in its order; empty without one. */
  readonly primaryKey: readonly string[];
  /** Position in `columns` of the column that is another name of the row id; -1 without one. */
  readonly rowidColumn: number;
}

interface Token {
  /** As written, with ASCII letters in lower case: what keywords are compared with. */
  readonly text: string;
  /** Content of a quoted name or string; undefined for everything else. */
  readonly quoted: string | undefined;
  /** The name that the token gives to a table or column. */
  readonly name: string;
}

interface Column extends ColumnDefinition {
  readonly isInteger: boolean;
  readonly isKey: boolean;
  readonly isDescending: boolean;
  readonly isVirtual: boolean;
}

const SPACE = /\s+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/;
const QUOTED = /'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`|\[[^\]]*\]/;
const WORD = /[xX]'[0-9a-fA-F]*'|[\p{L}\p{N}\p{So}_$.\u0080-\uffff]+/u;
const TOKEN = new RegExp(`${SPACE.source}|${WORD.source}|${QUOTED.source}|[^]`, "uy");
const TABLE_CONSTRAINTS = new Set(["constraint", "primary", "unique", "check", "foreign"]);
const COLUMN_CONSTRAINTS = new Set(
  "constraint primary not null unique check default collate references generated as on".split(" "),
);

/**
 * Columns and key of a table. Takes quoted names, comments, constraints and nested parentheses.
 *
 * @returns undefined when `sql` is no `CREATE TABLE` with a list of columns (a view, or a virtual table).
 *
 * @example
 * ```ts
 * import { parseCreateTable } from "./create_table.ts";
 *
 * const table = parseCreateTable(`CREATE TABLE t (id INTEGER PRIMARY KEY, "a b" TEXT DEFAULT (upper('x,y')))`);
 * if (table?.columns[1]?.name !== "a b" || table.rowidColumn !== 0) throw new Error("unexpected columns");
 * ```
 */
export function parseCreateTable(sql: string): TableDefinition | undefined {
  const tokens = tokensOf(sql);
  const open = tokens.findIndex(isMark("("));
  const words = tokens.slice(0, Math.max(open, 0)).map((token) => token.text);
  if (words[0] !== "create" || !(words[1] === "table" || words[2] === "table") || words[1] === "virtual") {
    return undefined;
  }
  const { parts, close } = splitList(tokens, open);
  if (close < 0) return undefined;
  const options = tokens.slice(close + 1).map((token) => token.text).join(" ");
  const isWithoutRowid = /\bwithout rowid\b/.test(options);
  const all: Column[] = [];
  let tableKey: string[] | undefined;
  for (const part of parts) {
    const first = part[0];
    if (first === undefined) return undefined;
    if (first.quoted === undefined && TABLE_CONSTRAINTS.has(first.text)) tableKey ??= keyOfConstraint(part);
    else all.push(columnOf(part));
  }
  const columns = all.filter((column) => !column.isVirtual);
  const primaryKey = tableKey ?? columns.filter((column) => column.isKey).map((column) => column.name);
  const rowidColumn = columns.findIndex((column) =>
    !isWithoutRowid && column.isInteger && !(column.isKey && column.isDescending) && primaryKey.length === 1 &&
    isSameName(column.name, primaryKey[0]!)
  );
  return {
    columns: columns.map(({ name, defaultValue }) => ({ name, defaultValue })),
    isWithoutRowid,
    primaryKey,
    rowidColumn,
  };
}

/** Names of tables and columns are equal whatever the case of ASCII letters. */
export function isSameName(one: string, other: string): boolean {
  return lowerAscii(one) === lowerAscii(other);
}

function lowerAscii(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(sql); match !== null; match = TOKEN.exec(sql)) {
    const raw = match[0];
    if (/^(?:\s|--|\/\*)/.test(raw)) continue;
    const quoted = unquoted(raw);
    tokens.push({ text: lowerAscii(raw), quoted, name: quoted ?? raw });
  }
  return tokens;
}

function unquoted(raw: string): string | undefined {
  const quote = raw[0]!;
  if (raw.length < 2) return undefined;
  if (quote === "[") return raw.slice(1, -1);
  if (quote !== "'" && quote !== '"' && quote !== "`") return undefined;
  return raw.slice(1, -1).replaceAll(quote + quote, quote);
}

function isMark(mark: string): (token: Token) => boolean {
  return (token) => token.quoted === undefined && token.text === mark;
}

/** Splits what is between the parenthesis at `open` and its partner at commas that are in no inner parentheses. */
function splitList(tokens: readonly Token[], open: number): { parts: Token[][]; close: number } {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const token = tokens[i]!;
    const mark = token.quoted === undefined ? token.text : "";
    if (mark === ")" && --depth === 0) return { parts, close: i };
    if (mark === "," && depth === 1) parts.push([]);
    else if (i > open) parts.at(-1)!.push(token);
    if (mark === "(") depth++;
  }
  return { parts, close: -1 };
}

/** Columns of `PRIMARY KEY (…)` within a table constraint. */
function keyOfConstraint(part: readonly Token[]): string[] | undefined {
  const at = part.findIndex((token, i) => token.text === "primary" && part[i + 1]?.text === "key");
  if (at < 0 || part[at + 2]?.text !== "(") return undefined;
  const names = splitList(part, at + 2).parts.map((terms) => terms[0]?.name ?? "");
  return names.filter((name, i) => names.findIndex((earlier) => isSameName(earlier, name)) === i);
}

function columnOf(part: readonly Token[]): Column {
  const words = topLevelWords(part.slice(1));
  const typeEnd = words.findIndex((word) => COLUMN_CONSTRAINTS.has(word));
  const type = words.slice(0, typeEnd < 0 ? words.length : typeEnd);
  const keyAt = words.findIndex((word, i) => word === "primary" && words[i + 1] === "key");
  const defaultAt = part.findIndex((token, i) => i > 0 && token.quoted === undefined && token.text === "default");
  return {
    name: part[0]!.name,
    isInteger: type.length === 1 && type[0] === "integer",
    isKey: keyAt >= 0,
    isDescending: keyAt >= 0 && words[keyAt + 2] === "desc",
    isVirtual: words.some((word, i) => word === "as" && words[i + 1] === "(") && !words.includes("stored"),
    defaultValue: defaultAt < 0 ? null : literalOf(part.slice(defaultAt + 1)),
  };
}

/** Bare words outside of parentheses, which themselves remain as marks. */
function topLevelWords(tokens: readonly Token[]): string[] {
  const words: string[] = [];
  let depth = 0;
  for (const token of tokens) {
    const mark = token.quoted === undefined ? token.text : "'";
    if (mark === ")") depth--;
    if (depth === 0) words.push(mark);
    if (mark === "(") depth++;
  }
  return words;
}

/** The literal that begins a `DEFAULT`; null for anything that would have to be computed. */
function literalOf(tokens: readonly Token[]): SqlValue {
  const sign = tokens[0]?.text === "-" || tokens[0]?.text === "+" ? tokens[0].text : "";
  const token = tokens[sign === "" ? 0 : 1];
  if (token === undefined) return null;
  if (token.quoted !== undefined) return token.quoted;
  if (token.text.startsWith("x'")) {
    const pairs = token.text.slice(2, -1).match(/../g) ?? [];
    return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
  }
  if (token.text === "true" || token.text === "false") return token.text === "true" ? 1 : 0;
  const isNumber = /^(?:\d+\.?\d*|\.\d+)(?:e\d+)?$/.test(token.text);
  return isNumber ? Number(`${sign}${token.text}`) : null;
}
