/**
 * The rules of the house as functions from sources to complaints; `../tidy_test.ts` applies them to the checkout.
 * @module
 */
import { posix } from "node:path";
import { functionsOf, importsOf, type Source } from "./source_scan.ts";

/** One file of the checkout; `path` is relative to its top. */
export interface SourceFile extends Source {
  path: string;
  text: string;
}

/** Which rooms of `src/` may import which, as `src/README.md` has it. */
export interface Layers {
  /** Names of the files that everyone may import. */
  base: Set<string>;
  allowed: Map<string, Set<string>>;
  /** The only files of `stores/` and `backends/` that other rooms import. */
  interfaces: Set<string>;
}

const LINES_MAX = 400;
const COLUMNS_MAX = 120;
const FUNCTION_LINES_MAX = 70;
const PARAMETERS_MAX = 3;
const NAMELESS = /(?:^|\/)(?:utils?|helpers?|common|types|misc|shared)\.ts$/;
const EVERYTHING = "everything";

/** Reads the table of layers from the text of `src/README.md`. */
export function parseLayers(readme: string): Layers {
  const base = new Set(/^((?:[\w]+\.ts\s+)+)base: /m.exec(readme)?.[1]?.match(/[\w]+\.ts/g));
  const allowed = new Map<string, Set<string>>();
  for (const [, left = "", right = ""] of readme.matchAll(/(\w+(?:, \w+)*) → (\w+(?:, \w+)*)/g)) {
    for (const room of left.split(", ")) allowed.set(room, new Set(right.split(", ")));
  }
  const sentence = /only the interface files ([^;]*);/.exec(readme)?.[1] ?? "";
  return { base, allowed, interfaces: new Set(sentence.match(/\w+\.ts/g)) };
}

/** Sizes of files, lines, functions and parameter lists. */
export function sizeComplaints(file: SourceFile): string[] {
  const lines = file.text.trimEnd().split("\n");
  const complaints = lines.flatMap((line, index) =>
    line.length > COLUMNS_MAX ? [`${file.path}:${index + 1}: ${line.length} columns`] : []
  );
  if (lines.length > LINES_MAX) complaints.push(`${file.path}: ${lines.length} lines`);
  for (const { name, line, lineCount, parameterCount } of functionsOf(file)) {
    if (lineCount > FUNCTION_LINES_MAX) complaints.push(`${file.path}:${line}: ${name}() has ${lineCount} lines`);
    if (parameterCount > PARAMETERS_MAX) {
      complaints.push(`${file.path}:${line}: ${name}() has ${parameterCount} positional parameters`);
    }
  }
  return complaints;
}

/** Names of files, headers, and words that this code base does without. */
export function manner(file: SourceFile): string[] {
  const complaints: string[] = [];
  const complain = (isWrong: boolean, what: string): void => {
    if (isWrong) complaints.push(`${file.path}: ${what}`);
  };
  const inCli = file.path.startsWith("src/cli/");
  complain(NAMELESS.test(file.path), "a name that says nothing");
  complain(!/^[a-z0-9_/]+\.ts$/.test(file.path), "file names are in snake_case");
  complain(!/^(?:(?:#!|\/\/).*\n)*\/\*\*(?:[^*]|\*(?!\/))*@module\b/.test(file.text), "no module header");
  complain(/\bexport\s+default\b/.test(file.code), "default export");
  complain(/^\s*(?:static\s+)?private\s/m.test(file.code), "private instead of #private");
  complain(!inCli && /\b(?:Deno|Bun)\b/.test(file.code), "a runtime's global outside cli/");
  complain(!inCli && /(?:^|[^\w$.])console\s*\./m.test(file.code), "console outside cli/");
  for (const { specifier, kind } of importsOf(file)) {
    complain(/^(?:npm|jsr|https?):/.test(specifier), `imports ${specifier} instead of a bare name`);
    complain(specifier.startsWith("bun:") && kind === "static", `imports ${specifier} statically`);
  }
  return complaints;
}

/** Imports that go against the layers. */
export function layerComplaints(file: SourceFile, layers: Layers): string[] {
  const from = roomOf(file.path);
  if (from === undefined || layers.base.has(`${from}.ts`)) return baseComplaints(file, layers);
  const allowed = layers.allowed.get(from);
  if (allowed === undefined) return [`${file.path}: src/README.md has no layer for "${from}"`];
  if (allowed.has(EVERYTHING)) return [];
  return importsOf(file).flatMap(({ specifier }) => {
    const target = resolved(file.path, specifier);
    const to = target === undefined ? undefined : roomOf(target);
    if (target === undefined || to === undefined || to === from || layers.base.has(`${to}.ts`)) return [];
    if (!allowed.has(to)) return [`${file.path}: ${from} must not import ${to} (${specifier})`];
    const isConcrete = (to === "stores" || to === "backends") && !layers.interfaces.has(posix.basename(target));
    return isConcrete && from !== "registry" ? [`${file.path}: imports ${specifier}, which is no interface file`] : [];
  });
}

// The front door may import everything, files of the base each other.
function baseComplaints(file: SourceFile, layers: Layers): string[] {
  if (!file.path.startsWith("src/")) return [];
  return importsOf(file).flatMap(({ specifier }) => {
    const target = resolved(file.path, specifier);
    const isBase = target === undefined || layers.base.has(posix.relative("src", target));
    return isBase ? [] : [`${file.path}: the base must not import ${specifier}`];
  });
}

/** The room of a file: its folder in `src/`, or its own name where it stands in none; none outside `src/`. */
function roomOf(path: string): string | undefined {
  return /^src\/(\w+)/.exec(path)?.[1];
}

/** What a module reaches by static imports that remain when types are gone, with the way to it. */
export function reachable(entry: string, files: Map<string, SourceFile>): Map<string, string[]> {
  const ways = new Map<string, string[]>([[entry, [entry]]]);
  // A Map iterates over what is added meanwhile.
  for (const [path, way] of ways) {
    const file = files.get(path);
    if (file === undefined) continue;
    for (const { specifier, kind } of importsOf(file)) {
      const target = resolved(path, specifier) ?? specifier;
      if (kind === "static" && !ways.has(target)) ways.set(target, [...way, target]);
    }
  }
  return ways;
}

/** What the front door would pull in although an edge runtime does not have it. */
export function edgeComplaints(entry: string, files: Map<string, SourceFile>): string[] {
  return [...reachable(entry, files)].flatMap(([target, way]) =>
    /^(?:node:|bun:|@std\/|@aws-sdk\/)/.test(target) ? [`${way.join(" → ")} is a static import`] : []
  );
}

/** Paths of this machine, and addresses in lock files. */
export function placeComplaints(path: string, text: string, places: string[]): string[] {
  const complaints = places.flatMap((place) => {
    const escaped = place.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return new RegExp(`(?<![\\w./-])${escaped}(?![\\w.-])`).test(text)
      ? [`${path}: contains a path of this machine`]
      : [];
  });
  if (/(?:\.lock|-lock\.json)$/.test(path) && /https?:\/\//.test(text)) complaints.push(`${path}: contains an address`);
  return complaints;
}

function resolved(from: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(from), specifier)) : undefined;
}
