/**
 * Reads the column names of a table from its `CREATE TABLE` statement, which is all that a database file keeps.
 * @module
 */
import type { SqlValue } from "./record.ts";
import { type ColumnDefinition, isSameName, lowerAscii, type TableDefinition } from "./table_definition.ts";

export type { ColumnDefinition, TableDefinition } from "./table_definition.ts";

interface Token {
  /** As written, in lower case: what keywords and marks are compared with; empty for quoted names and strings. */
  readonly text: string;
  /** The name that the token gives to a table or column, or the content of a string. */
  readonly name: string;
  /** For a token that stands for all between two parentheses: the lists of tokens between its commas. */
  readonly parts?: Token[][];
}

interface Column extends ColumnDefinition {
  /** Bare words behind the name, with a blank on either side. */
  readonly words: string;
}

/** Hex strings and words, then quoted names and strings; what has no group is left out. */
const TOKEN = new RegExp(
  /([xX]'[0-9a-fA-F]*'|[\w$.\u0080-\u{10ffff}]+)|\s+|--[^\n]*|\/\*[^]*?(?:\*\/|$)/u.source +
    /|(["'`])((?:\2\2|(?!\2)[^])*)\2|\[([^\]]*)\]|([^])/.source,
  "gu",
);
const INTEGER =
  /^ integer (?:(?:constraint|primary|not|null|unique|check|default|collate|references|generated|as|on) |$)/;

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
  const at = tokens.findIndex((token) => token.parts);
  const before = wordsOf(tokens.slice(0, Math.max(at, 0)));
  if (!/^ create (?:temp(?:orary)? )?table /.test(before)) return undefined;
  const isWithoutRowid = wordsOf(tokens.slice(at)).includes(" without rowid ");
  const all: Column[] = [];
  let tableKey: string[] | undefined;
  for (const part of tokens[at]!.parts!) {
    if (part.length === 0) return undefined;
    if (/^(?:constraint|primary|unique|check|foreign)$/.test(part[0]!.text)) tableKey ??= keyOfConstraint(part);
    else all.push({ name: part[0]!.name, words: wordsOf(part.slice(1)), defaultValue: defaultOf(part.slice(1)) });
  }
  const columns = all.filter(({ words }) => !words.includes(" as ( ") || words.includes(" stored "));
  const isKey = ({ words }: Column): boolean => words.includes(" primary key ");
  const primaryKey = tableKey ?? columns.filter(isKey).map(({ name }) => name);
  const rowidColumn = columns.findIndex(({ name, words }) =>
    !isWithoutRowid && INTEGER.test(words) && !words.includes(" primary key desc ") && primaryKey.length === 1 &&
    isSameName(name, primaryKey[0]!)
  );
  return {
    columns: columns.map(({ name, defaultValue }) => ({ name, defaultValue })),
    isWithoutRowid,
    primaryKey,
    rowidColumn,
  };
}

/** The tokens outside of parentheses; none when parentheses have no partners. */
function tokensOf(sql: string): readonly Token[] {
  const open: Token[][][] = [[[]]];
  for (const [, word, quote, quoted, bracketed, mark] of sql.matchAll(TOKEN)) {
    const name = word ?? quoted?.replaceAll(quote! + quote, quote!) ?? bracketed ?? mark;
    const parts = open.at(-1)!;
    if (name === undefined) continue;
    if (mark === ")") open.pop();
    else if (mark === ",") parts.push([]);
    else parts.at(-1)!.push({ text: lowerAscii(word ?? mark ?? ""), name, ...(mark === "(" ? { parts: [[]] } : {}) });
    if (mark === "(") open.push(parts.at(-1)!.at(-1)!.parts!);
    if (open.length === 0) return [];
  }
  return open.length === 1 ? open[0]!.flat() : [];
}

/** The bare words, and `(` for what is in parentheses, with a blank on either side. */
function wordsOf(tokens: readonly Token[]): string {
  return ` ${tokens.map(({ text }) => text || "'").join(" ")} `;
}

/** Columns of `PRIMARY KEY (…)` within a table constraint. */
function keyOfConstraint(part: readonly Token[]): string[] | undefined {
  const at = part.findIndex(({ text }, i) => text === "key" && part[i - 1]?.text === "primary");
  const names = at < 0 ? undefined : part[at + 1]?.parts?.map((terms) => terms[0]?.name ?? "");
  return names?.filter((name, i) => names.findIndex((earlier) => isSameName(earlier, name)) === i);
}

/** The literal behind `DEFAULT`; null for anything that would have to be computed. */
function defaultOf(part: readonly Token[]): SqlValue {
  const at = part.findIndex(({ text }) => text === "default") + 1;
  if (at === 0) return null;
  const sign = /[-+]/.exec(part[at]?.text ?? "")?.[0] ?? "";
  const token = part[sign === "" ? at : at + 1];
  if (token === undefined) return null;
  const { text } = token;
  if (text === "") return token.name;
  if (text.startsWith("x'")) return Uint8Array.from(text.match(/[^x']./g) ?? [], (pair) => parseInt(pair, 16));
  if (text === "true" || text === "false") return text === "true" ? 1 : 0;
  return /^(?:\d+\.?\d*|\.\d+)(?:e\d+)?$/.test(text) ? Number(sign + text) : null;
}
