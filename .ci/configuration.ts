/**
 * Writes docs/configuration.md: all options there are, with types, defaults and descriptions, as the code has them.
 *
 * `deno run -A .ci/configuration.ts`, or `deno task docs`. A test compares the page with the code.
 * @module
 */
import { execFileSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

/** What `deno doc --json` tells, as far as it is used. */
interface Documented {
  doc?: string;
  tags?: { kind: string; value?: string }[];
}

interface Property {
  name: string;
  jsDoc?: Documented;
  location: { byteIndex: number };
  optional?: boolean;
  tsType?: unknown;
}

interface Declaration {
  kind: string;
  declarationKind: string;
  jsDoc?: Documented;
  location: { filename: string };
  def: { extends?: unknown[]; properties?: Property[]; methods?: unknown[] };
}

interface Interface extends Declaration {
  name: string;
}

/** Where options stand in the page; in a section they come in the order of the names, then of the files. */
const SECTIONS: [title: string, paths: RegExp][] = [
  ["Writing", /^src\/write\//],
  ["Sharding", /^src\/routing\//],
  ["Reading", /^src\/(?:read|edge)\//],
  ["Snapshots: history, pins, clean-up", /^src\/snapshots\//],
  ["Verifying", /^src\/verify\//],
  ["Stores", /^src\/stores\//],
  ["Backends", /^src\/backends\//],
  ["Serving", /^src\/serve\//],
  ["Metrics", /^src\/metrics\//],
  ["Explorer", /^src\/explorer\//],
  ["Expressions, files and vectors by themselves", /^src\/(?:cel|sqlite|vector)\//],
  ["For tests", /^src\/testing\//],
];
const FIRST = ["WriteSnapshotOptions", "HashShardingOptions", "OpenSnapshotOptions", "S3StoreOptions"];
/** What options are made of and which is no thing of its own, such as a store. */
const PARTS = /(?:Options|Limits?|Retry|Budget|Training|Plan|Faults)$/;

const HEAD = `# Configuration

All options, as the code has them: made by \`deno task docs\` from the interfaces, so change it there. Wrong and unknown
options are refused by a \`ConfigValidationError\` that names them. What is not given has its default; what has none and no
question mark must be given. The command line has options of its own: [command_line.md](command_line.md).
`;

/** The page. @param deno The executable of Deno. */
export function referencePage(root: string, deno: string): string {
  const files = globSync("src/**/*.ts", { cwd: root }).map((path) => path.replaceAll("\\", "/")).sort();
  const all = interfacesOf(root, deno, files);
  const exported = namesBehind(root, deno);
  const listed = new Map<string, Interface>();
  const add = (entry: Interface): void => {
    if (listed.has(keyOf(entry)) || !isOptions(entry)) return;
    listed.set(keyOf(entry), entry);
    for (const other of referredBy(entry, all)) add(other);
  };
  for (const entry of all.values()) {
    if (exported.has(entry.name) && entry.name.endsWith("Options")) add(entry);
  }
  const parts = [HEAD];
  const names = new Set(Array.from(listed.values(), ({ name }) => name));
  for (const [title, paths] of SECTIONS) {
    const entries = [...listed.values()].filter((entry) => paths.test(relative(root, entry))).sort(byPlace);
    parts.push(`## ${title}`, ...entries.map((entry) => described(entry, root, names)));
  }
  const rest = [...listed.values()].filter((entry) => !SECTIONS.some(([, paths]) => paths.test(relative(root, entry))));
  parts.push("## Shared", ...rest.sort(byPlace).map((entry) => described(entry, root, names)));
  const filled = parts.filter((part, at) => !part.startsWith("## ") || parts[at + 1]?.startsWith("### "));
  const options = { input: `${filled.join("\n\n")}\n`, encoding: "utf8", cwd: root } as const;
  return execFileSync(deno, ["fmt", "--ext", "md", "-"], options);
}

function interfacesOf(root: string, deno: string, files: string[]): Map<string, Interface> {
  const found = new Map<string, Interface>();
  for (const [file, { symbols }] of Object.entries(documented(root, deno, files))) {
    for (const { name, declarations } of symbols) {
      for (const declaration of declarations) {
        if (declaration.kind !== "interface" || declaration.location.filename !== file) continue;
        const entry = { ...declaration, name };
        found.set(keyOf(entry), entry);
      }
    }
  }
  return found;
}

type Nodes = Record<string, { symbols: { name: string; declarations: Declaration[] }[] }>;

function documented(root: string, deno: string, files: string[]): Nodes {
  const json = execFileSync(deno, ["doc", "--json", "--private", ...files], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return JSON.parse(json).nodes;
}

/** Names that some entry point of the package exports. */
function namesBehind(root: string, deno: string): Set<string> {
  const { exports } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const nodes = documented(root, deno, Object.values<string>(exports));
  const entryPoints = Object.values<string>(exports).map((path) => pathToFileURL(join(root, path)).href);
  return new Set(
    entryPoints.flatMap((url) =>
      (nodes[url]?.symbols ?? []).filter(({ declarations }) =>
        declarations.some(({ declarationKind }) => declarationKind === "export")
      ).map(({ name }) => name)
    ),
  );
}

function keyOf({ name, location }: { name: string; location: { filename: string } }): string {
  return `${location.filename}#${name}`;
}

function relative(root: string, { location }: Declaration): string {
  return location.filename.slice(pathToFileURL(root).href.length).replace(/^\//, "");
}

function isOptions({ name, def }: Interface): boolean {
  return PARTS.test(name) && !/^(?:Checked|RequestOptions$)/.test(name) && (def.methods ?? []).length === 0;
}

function byPlace(a: Interface, b: Interface): number {
  const rank = ({ name }: Interface): number => FIRST.includes(name) ? 0 : 1;
  return rank(a) - rank(b) || (keyOf(a) < keyOf(b) ? -1 : 1);
}

/** Interfaces that this one names in a type or builds on. */
function referredBy(entry: Interface, all: Map<string, Interface>): Interface[] {
  const names = new Set<string>();
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    const { typeName } = node as { typeName?: unknown };
    if (typeof typeName === "string") names.add(typeName);
    for (const part of Object.values(node)) visit(part);
  };
  visit([entry.def.extends, entry.def.properties?.map(({ tsType }) => tsType)]);
  return [...all.values()].filter(({ name }) => names.has(name));
}

function described(entry: Interface, root: string, names: Set<string>): string {
  const path = relative(root, entry);
  const source = readFileSync(join(root, path));
  const bases = (entry.def.extends ?? []).map((base) => (base as { repr: string }).repr).filter((base) =>
    names.has(base)
  );
  const more = bases.length === 0 ? "" : ` Also takes what \`${bases.join("`, `")}\` takes.`;
  const lines = (entry.def.properties ?? []).map((property) => propertyLine(property, source));
  return `### ${entry.name}\n\n${sentences(entry.jsDoc)}${more}\n\n${lines.join("\n")}`;
}

function propertyLine({ name, optional, jsDoc, location }: Property, source: Uint8Array): string {
  const given = defaultBefore(source, location.byteIndex);
  const value = given === null ? "" : `, default \`${given}\``;
  const text = sentences(jsDoc).replace(/ ?@default .*$/, "");
  return `- **\`${name}${optional ? "?" : ""}\`**: \`${typeText(source, location.byteIndex)}\`${value}. ${text}`;
}

/** As the comment before a property has it: `deno doc` leaves those in the line of a sentence in the sentence. */
function defaultBefore(source: Uint8Array, start: number): string | null {
  const before = new TextDecoder().decode(source.subarray(0, start)).trimEnd();
  if (!before.endsWith("*/")) return null;
  const comment = before.slice(before.lastIndexOf("/**"));
  const value = /@default \{(.*)\}(.*?)(?:\*\/|\n)/.exec(comment);
  return value && `${value[1]}${value[2]}`.trim();
}

/** From the beginning of a property to its semicolon. */
function typeText(source: Uint8Array, start: number): string {
  const text = new TextDecoder().decode(source.subarray(start));
  let depth = 0;
  let end = 0;
  for (; end < text.length && (depth > 0 || text[end] !== ";"); end++) {
    if ("([{".includes(text[end]!)) depth++;
    else if (")]}".includes(text[end]!)) depth--;
  }
  const type = text.slice(text.indexOf(":") + 1, end).replaceAll(/\s+/g, " ").replaceAll("readonly ", "");
  return type.replaceAll(" | undefined", "").replace(/^ (?:\| )?/, "").replace(/^\((\(.*)\)$/, "$1").trim();
}

function sentences(jsDoc: Documented | undefined): string {
  return (jsDoc?.doc ?? "").replaceAll(/\{@link(?:code)? ([^}]+)\}/g, "`$1`").replaceAll(/\s*\n\s*/g, " ").trim();
}

if (import.meta.main) {
  const root = fileURLToPath(new URL("../", import.meta.url));
  writeFileSync(join(root, "docs/configuration.md"), referencePage(root, process.execPath));
}
