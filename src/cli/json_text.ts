/**
 * JSON for people and pipes: names in the order given, characters outside of ASCII as they are.
 * @module
 */

/** A number that is rendered with a fraction even where it has none: `0.0`. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** What can be printed. */
export type Printable =
  | null
  | boolean
  | number
  | bigint
  | string
  | Float
  | readonly Printable[]
  | { readonly [name: string]: Printable };

/**
 * Renders a value on one line, with a blank after each comma and colon, or indented by two blanks a level.
 *
 * @example
 * ```ts
 * import { jsonText } from "./json_text.ts";
 *
 * if (jsonText({ b: "é", a: [1n] }, "line") !== '{"b": "é", "a": [1]}') throw new Error("unexpected text");
 * ```
 */
export function jsonText(value: Printable, layout: "line" | "indented"): string {
  return render(value, layout === "line" ? null : "");
}

/** @param indent What the lines of this level begin with; null for one line. */
function render(value: Printable, indent: string | null): string {
  if (value instanceof Float) return Number.isInteger(value.value) ? value.value.toFixed(1) : String(value.value);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = indent === null ? null : `${indent}  `;
  if (Array.isArray(value)) return enclosed("[]", value.map((item: Printable) => render(item, inner)), indent);
  const members = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${render(item, inner)}`);
  return enclosed("{}", members, indent);
}

function enclosed(brackets: string, items: readonly string[], indent: string | null): string {
  const [open, close] = brackets;
  if (items.length === 0) return brackets;
  if (indent === null) return `${open}${items.join(", ")}${close}`;
  return `${open}\n${items.map((item) => `${indent}  ${item}`).join(",\n")}\n${indent}${close}`;
}
