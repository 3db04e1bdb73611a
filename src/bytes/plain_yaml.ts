/**
 * The part of YAML that run records need: one mapping of names to texts, whole numbers and null, written character by
 * character as PyYAML's `safe_dump` writes it, lines of at most 80 columns where blanks allow it.
 *
 * Texts stand plain where they can; in single quotes where they would be read as something else; in double quotes where
 * they have characters that neither can hold. Both 1.1 and 1.2 of YAML read them as texts.
 * @module
 */

/** A value of the mapping. */
export type YamlValue = string | number | null;

/** What was read: quoted values are texts, plain ones are what YAML 1.1 takes them for. */
export type YamlMapping = Readonly<Record<string, YamlValue>>;

/** Lines are broken at the first blank beyond this column. */
const COLUMNS_MAX = 80;
const INDENT = "  ";

/** Characters that begin something else than a plain text. */
const INDICATOR_FIRST = /^(?:[#,[\]{}&*!|>'"%@`]|---|\.\.\.|[-?:](?: |$))/;
const INDICATOR_INSIDE = /:(?: |\n|$)|[ \n]#/;
const EDGES = /^[ \n]|[ \n]$/;
/** What single quotes can hold: lines of printable ASCII, without blanks where lines end or begin. */
const FIT_FOR_QUOTES = /^[\n\x20-\x7e]*$/;
const BLANK_AT_BREAK = / \n|\n /;

const NULL = /^(?:~|null|Null|NULL|)$/;
const WHOLE = /^[-+]?(?:0|[1-9][0-9_]*)$/;
/** Plain texts that a reader of YAML 1.1 takes for something else than a text, except null and whole numbers. */
const OTHER_TYPES = [
  /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|<<|=)$/,
  /^(?:[-+]?\d[\d_]*\.[\d_]*(?:[eE][-+]\d+)?|\.\d[\d_]*(?:[eE][-+]\d+)?)$/,
  /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
  /^[-+]?(?:0b[01_]+|0[0-7_]+|0x[\da-fA-F_]+|[1-9][\d_]*(?::[0-5]?\d)+|\d[\d_]*(?::[0-5]?\d)+\.[\d_]*)$/,
  /^(?:\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?)$/,
];
/** What other readers take for numbers or booleans: PyYAML writes it plain, we do not. */
const OTHER_TYPES_ELSEWHERE = /^(?:[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0o[0-7]+|[yYnN])$/;

/** Letter by character, of escapes that have one. */
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\0", "0"],
  ["\x07", "a"],
  ["\b", "b"],
  ["\t", "t"],
  ["\n", "n"],
  ["\v", "v"],
  ["\f", "f"],
  ["\r", "r"],
  ["\x1b", "e"],
  ['"', '"'],
  ["\\", "\\"],
  ["\x85", "N"],
  ["\xa0", "_"],
  ["\u2028", "L"],
  ["\u2029", "P"],
]);
const ESCAPED: ReadonlyMap<string, string> = new Map(
  [...ESCAPES].map(([character, letter]) => [letter, character] as const).concat([[" ", " "], ["/", "/"]]),
);

/**
 * Writes a mapping, names sorted. Names must be plain words.
 *
 * @example
 * ```ts
 * import { parseYaml, renderYaml } from "./plain_yaml.ts";
 *
 * const text = renderYaml({ name: "12345", count: 1, note: "two\nlines", nothing: null });
 * if (!text.startsWith("count: 1\nname: '12345'\nnote: 'two\n\n  lines'\n")) throw new Error("unexpected YAML");
 * if (parseYaml(text)?.["note"] !== "two\nlines") throw new Error("unexpected text");
 * ```
 */
export function renderYaml(mapping: YamlMapping): string {
  return Object.keys(mapping).sort().map((name) => `${name}: ${rendered(mapping[name]!, name.length + 2)}\n`).join("");
}

/** @param column Where the value begins. */
function rendered(value: YamlValue, column: number): string {
  if (typeof value !== "string") return String(value);
  const text = value.toWellFormed();
  if (!FIT_FOR_QUOTES.test(text) || BLANK_AT_BREAK.test(text)) return doubleQuoted(text, column);
  const isPlain = !EDGES.test(text) && !text.includes("\n") && !INDICATOR_FIRST.test(text) &&
    !INDICATOR_INSIDE.test(text) && typeof plainValue(text) === "string" && !OTHER_TYPES_ELSEWHERE.test(text);
  return isPlain ? folded(text, column) : `'${folded(text.replaceAll("'", "''"), column + 1)}'`;
}

/** A single blank beyond the last column becomes the end of a line; each line break gets one more. */
function folded(text: string, column: number): string {
  let written = "";
  for (const { 0: piece, index } of text.matchAll(/ +|\n+|[^ \n]+/g)) {
    const isBreak = piece.startsWith("\n");
    if (isBreak || (piece === " " && column > COLUMNS_MAX && index > 0 && index + 1 < text.length)) {
      written += `\n${isBreak ? piece : ""}${INDENT}`;
      column = INDENT.length;
    } else {
      written += piece;
      column += piece.length;
    }
  }
  return written;
}

/** Lines may end anywhere before a blank or behind an escape: the break is escaped, and so is a blank behind it. */
function doubleQuoted(text: string, column: number): string {
  const characters = [...text];
  let written = '"';
  let pending = "";
  column++;
  for (const [index, character] of characters.entries()) {
    const isPlain = character >= " " && character <= "~" && character !== '"' && character !== "\\";
    if (!isPlain) {
      const escape = escaped(character);
      written += pending + escape;
      column += pending.length + escape.length;
      pending = "";
    }
    const canBreak = index > 0 && index < characters.length - 1 && (character === " " || pending === "");
    // PyYAML counts an escape one column short.
    if (canBreak && column + pending.length - (isPlain ? 0 : 1) > COLUMNS_MAX) {
      written += `${pending}\\\n${INDENT}`;
      column = INDENT.length;
      pending = "";
      if (characters[isPlain ? index : index + 1] === " ") {
        written += "\\";
        column++;
      }
    }
    if (isPlain) pending += character;
  }
  return `${written}${pending}"`;
}

function escaped(character: string): string {
  const letter = ESCAPES.get(character);
  if (letter !== undefined) return `\\${letter}`;
  const code = character.codePointAt(0)!;
  const [prefix, digits] = code <= 0xff ? ["x", 2] : code <= 0xffff ? ["u", 4] : ["U", 8];
  return `\\${prefix}${code.toString(16).toUpperCase().padStart(digits as number, "0")}`;
}

/**
 * Reads a mapping as {@linkcode renderYaml} writes it, with comments and blank lines between its entries.
 *
 * @returns null when the text is anything else, also where it is valid YAML: lists, nested mappings, blocks, anchors.
 */
export function parseYaml(text: string): YamlMapping | null {
  const entries = new Map<string, YamlValue>();
  let rest = text.replaceAll("\r\n", "\n").replace(/^(?:---\n)?/, "");
  for (;;) {
    rest = rest.replace(/^(?: *(?:#[^\n]*)?\n)+/, "");
    if (/^ *(?:#[^\n]*)?$/.test(rest)) break;
    const entry = ENTRY.exec(rest);
    if (entry === null) return null;
    const value = valueOf(entry);
    if (value === undefined || entries.has(entry[1]!)) return null;
    entries.set(entry[1]!, value);
    rest = rest.slice(entry[0].length);
  }
  return entries.size === 0 ? null : Object.fromEntries(entries);
}

function valueOf([, , single, double, plain]: RegExpExecArray): YamlValue | undefined {
  if (single !== undefined) return unfolded(single).replaceAll("''", "'");
  if (double !== undefined) return unescaped(double);
  const text = unfolded(plain!).trim();
  return INDICATOR_FIRST.test(text) || INDICATOR_INSIDE.test(text) ? undefined : plainValue(text);
}

/** A name, and its value in single quotes, in double quotes, or plain with the lines that go on with it. */
const ENTRY = new RegExp(
  String.raw`^([A-Za-z_]\w*):(?: +|(?=\n|$))` +
    String.raw`(?:'((?:[^']|'')*)'|"((?:[^"\\]|\\[^])*)"|((?!['"])[^\n]*?(?:\n+ +[^ \n#][^\n]*?)*))` +
    String.raw`(?: +#[^\n]*| *)(?:\n|$)`,
);

/** Lines put together: a line break is a blank, each further one a line break. */
function unfolded(text: string): string {
  return text.replace(/ *\n[ \n]*/g, (gap) => {
    const breakCount = gap.split("\n").length - 1;
    return breakCount === 1 ? " " : "\n".repeat(breakCount - 1);
  });
}

/** Undefined when an escape is none. */
function unescaped(text: string): string | undefined {
  let isValid = true;
  const parts = text.matchAll(/\\\n *|\\x([\da-fA-F]{2})|\\u([\da-fA-F]{4})|\\U([\da-fA-F]{8})|\\([^])|[^\\]+/g);
  const characters = Array.from(parts, ([all, two, four, eight, letter]) => {
    if (all.startsWith("\\\n")) return "";
    const digits = two ?? four ?? eight;
    const code = digits === undefined ? undefined : parseInt(digits, 16);
    const character = code !== undefined
      ? code <= 0x10ffff ? String.fromCodePoint(code) : undefined
      : letter !== undefined
      ? ESCAPED.get(letter)
      : unfolded(all);
    isValid &&= character !== undefined;
    return character;
  });
  return isValid ? characters.join("") : undefined;
}

/** What YAML 1.1 takes a plain value for; undefined for booleans, fractions, dates and the like. */
function plainValue(text: string): YamlValue | undefined {
  if (NULL.test(text)) return null;
  if (WHOLE.test(text)) return Number(text.replaceAll("_", ""));
  return OTHER_TYPES.some((type) => type.test(text)) ? undefined : text;
}
