/**
 * A small scanner of TypeScript, enough to measure functions and to list imports.
 *
 * It tells code from comments, strings and regular expressions, and pairs brackets; it does not parse. Its tests are in
 * `source_scan_test.ts`.
 * @module
 */

/** One source text in two more forms of equal length and equal line breaks. */
export interface Source {
  /** Comments blanked. */
  withoutComments: string;
  /** Comments, strings, templates' text and regular expressions blanked. */
  code: string;
}

/** A function, method, accessor, constructor or arrow function with a body in braces. */
export interface FunctionSize {
  /** As far as it has one: the word before the parameters. */
  name: string;
  /** From 1. */
  line: number;
  lineCount: number;
  /** Arrow functions of one parameter without parentheses count 1. */
  parameterCount: number;
}

/** A module that another one names. */
export interface Import {
  specifier: string;
  /** `type` imports are gone when the program runs; `late` ones are `import()` calls. */
  kind: "static" | "type" | "late";
}

/** Words after which a slash begins a regular expression. */
const BEFORE_REGEX = new Set([
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "do",
  "else",
  "void",
  "delete",
  "await",
  "yield",
]);
const STATEMENTS = new Set([
  "return",
  "if",
  "for",
  "while",
  "switch",
  "throw",
  "const",
  "let",
  "new",
  "await",
  "yield",
]);
const TYPE_PREFIXES = new Set(["is", "asserts", "keyof", "readonly", "unique", "extends"]);
const CONTROL = new Set(["if", "for", "while", "switch", "catch", "with", "await"]);

/** Blanks what is not code. */
export function scanSource(text: string): Source {
  const withoutComments = text.split("");
  const code = text.split("");
  const units = text.split("");
  const blank = (target: string[], from: number, to: number): void => {
    for (let at = from; at < to; at++) if (target[at] !== "\n") target[at] = " ";
  };
  // Each entry is the depth of braces at which a `${` of a template was opened.
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  const skipTemplateText = (from: number): number => {
    let end = from;
    while (end < units.length && units[end] !== "`" && !(units[end] === "$" && units[end + 1] === "{")) {
      end += units[end] === "\\" ? 2 : 1;
    }
    blank(code, from, Math.min(end, units.length));
    if (units[end] !== "$") return end + 1;
    templates.push(depth++);
    return end + 2;
  };
  while (at < units.length) {
    const char = units[at];
    if (char === "/" && (units[at + 1] === "/" || units[at + 1] === "*")) {
      const end = endOfComment(units, at);
      blank(withoutComments, at, end);
      blank(code, at, end);
      at = end;
    } else if (char === '"' || char === "'") {
      const end = endOfQuoted(units, at);
      blank(code, at + 1, end - 1);
      at = end;
    } else if (char === "`") {
      at = skipTemplateText(at + 1);
    } else if (char === "}" && templates.at(-1) === depth - 1) {
      depth = templates.pop() ?? 0;
      at = skipTemplateText(at + 1);
    } else if (char === "/" && beginsRegex(code, at)) {
      const end = endOfRegex(units, at);
      blank(code, at, end);
      at = end;
    } else {
      if (char === "{") depth++;
      if (char === "}") depth--;
      at++;
    }
  }
  return { withoutComments: withoutComments.join(""), code: code.join("") };
}

function endOfComment(units: string[], start: number): number {
  const inLine = units[start + 1] === "/";
  let at = start + 2;
  while (at < units.length && !(inLine ? units[at] === "\n" : units[at] === "*" && units[at + 1] === "/")) at++;
  return Math.min(units.length, inLine ? at : at + 2);
}

function endOfQuoted(units: string[], start: number): number {
  let at = start + 1;
  while (at < units.length && units[at] !== units[start] && units[at] !== "\n") at += units[at] === "\\" ? 2 : 1;
  return at + 1;
}

function beginsRegex(code: string[], at: number): boolean {
  const before = code.slice(Math.max(0, at - 40), at).join("").trimEnd();
  const word = /[A-Za-z_$][\w$]*$/.exec(before)?.[0];
  if (word !== undefined) return BEFORE_REGEX.has(word);
  return !/[\w$)\]}"'`]$/.test(before);
}

function endOfRegex(units: string[], start: number): number {
  let inClass = false;
  let at = start + 1;
  while (at < units.length && units[at] !== "\n" && (inClass || units[at] !== "/")) {
    if (units[at] === "[") inClass = true;
    if (units[at] === "]") inClass = false;
    at += units[at] === "\\" ? 2 : 1;
  }
  return at + 1;
}

/** Every module that a source names, in order. */
export function importsOf({ withoutComments, code }: Source): Import[] {
  const found: (Import & { at: number })[] = [];
  const add = (pattern: RegExp, kindOf: (match: RegExpMatchArray) => Import["kind"]): void => {
    for (const match of withoutComments.matchAll(pattern)) {
      // What stands in a string is no import: its first letter is blank in `code`.
      const isCode = code[match.index] === match[0][0];
      const specifier = match.groups?.["specifier"];
      if (isCode && specifier !== undefined) found.push({ specifier, kind: kindOf(match), at: match.index });
    }
  };
  add(
    /\b(?:import|export)\b(?<type>\s+type\b)?(?:[\w\s,*]|\{[^}]*\})*?\bfrom\s*(["'])(?<specifier>[^"'\n]+)\2/g,
    (match) => match.groups?.["type"] === undefined ? "static" : "type",
  );
  add(/\bimport\s*(["'])(?<specifier>[^"'\n]+)\1/g, () => "static");
  add(/\bimport\s*\(\s*(["'])(?<specifier>[^"'\n]+)\1/g, () => "late");
  return found.sort((a, b) => a.at - b.at).map(({ specifier, kind }) => ({ specifier, kind }));
}

/** Every function with a body in braces, in the order in which they end. */
export function functionsOf({ code }: Source): FunctionSize[] {
  const functions: FunctionSize[] = [];
  const opened: number[] = [];
  // From the brace that opens a body to where its parameters open.
  const bodies = new Map<number, number>();
  let paren: Range | undefined;
  for (let at = 0; at < code.length; at++) {
    const char = code[at] ?? "";
    if ("([{".includes(char)) {
      opened.push(at);
      const before = char === "{" ? code.slice(Math.max(0, at - 200), at).trimEnd() : "";
      if (before.endsWith("=>")) bodies.set(at, arrowParameters(code, code.lastIndexOf("=>", at), paren));
    } else if (")]}".includes(char)) {
      const open = opened.pop();
      if (open === undefined) continue;
      if (char === ")") {
        paren = { open, close: at };
        const body = CONTROL.has(wordBefore(code, open)) ? undefined : bodyAfter(code, at + 1);
        if (body !== undefined && !bodies.has(body)) bodies.set(body, open);
      }
      const parameters = bodies.get(open);
      if (char === "}" && parameters !== undefined) functions.push(sizeOf(code, parameters, at));
    }
  }
  return functions;
}

interface Range {
  open: number;
  close: number;
}

/** Where the body opens that follows a parameter list, with or without the type of the result between them. */
function bodyAfter(code: string, start: number): number | undefined {
  const tokens = /\s+|=>|[\w$#.?]+|[^]/gy;
  tokens.lastIndex = start;
  // What came last; a type may begin after all but a complete one.
  let last: "parameters" | "start" | "type" | "literal" = "parameters";
  for (let match = tokens.exec(code); match !== null; match = tokens.exec(code)) {
    const [token] = match;
    if (token.trim() === "") continue;
    if (last === "parameters") {
      if (token !== ":") return token === "{" ? match.index : undefined;
      last = "start";
    } else if (token === "{" && last !== "start") return match.index;
    else if (last === "literal" && !"|&[".includes(token)) return undefined;
    else if ("({[<".includes(token)) {
      if (token === "(" && last !== "start") return undefined;
      tokens.lastIndex = closeOf(code, match.index) + 1;
      last = token === "{" ? "literal" : "type";
    } else if (token === "|" || token === "&" || token === "=>") last = "start";
    else if (/^\w/.test(token) && !STATEMENTS.has(token)) last = TYPE_PREFIXES.has(token) ? "start" : "type";
    else if (/["'`]/.test(token)) last = "type";
    else return undefined;
  }
  return undefined;
}

function closeOf(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length; at++) {
    const char = code[at] ?? "";
    if ("([{<".includes(char)) depth++;
    else if (")]}".includes(char) || (char === ">" && code[at - 1] !== "=")) depth--;
    if (depth === 0) return at;
  }
  return code.length;
}

function arrowParameters(code: string, arrow: number, paren: Range | undefined): number {
  const gap = paren === undefined ? undefined : code.slice(paren.close + 1, arrow);
  if (paren !== undefined && gap !== undefined && /^\s*(?::[^;{}=]*)?$/.test(gap)) return paren.open;
  const name = /[\w$]+\s*$/.exec(code.slice(0, arrow));
  return name?.index ?? arrow;
}

function sizeOf(code: string, parameters: number, close: number): FunctionSize {
  const line = lineOf(code, parameters);
  const parameterCount = code[parameters] === "(" ? countParameters(code, parameters) : 1;
  return { name: wordBefore(code, parameters), line, lineCount: lineOf(code, close) - line + 1, parameterCount };
}

function countParameters(code: string, open: number): number {
  let depth = 0;
  let count = 0;
  let sawText = false;
  for (let at = open; at < code.length; at++) {
    const char = code[at] ?? "";
    if (depth === 1 && (char === "," || char === ")")) {
      if (sawText) count++;
      sawText = false;
    } else if (at > open && /\S/.test(char)) sawText = true;
    const isArrow = char === ">" && code[at - 1] === "=";
    if ("([{<".includes(char)) depth++;
    else if (")]}>".includes(char) && !isArrow) depth--;
    if (depth === 0) return count;
  }
  return count;
}

// A method may have type parameters between its name and its parameters.
function wordBefore(code: string, at: number): string {
  return /([#\w$]+)\s*(?:<[^()]*>)?\s*$/.exec(code.slice(Math.max(0, at - 200), at))?.[1] ?? "";
}

function lineOf(code: string, at: number): number {
  let line = 1;
  for (let index = code.indexOf("\n"); index !== -1 && index < at; index = code.indexOf("\n", index + 1)) line++;
  return line;
}
