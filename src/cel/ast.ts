/**
 * The shapes of an expression: as parsed, where operators are calls and nothing has a type yet, and as checked.
 * @module
 */
import type { CelType } from "./cel_type.ts";

/** A stretch of the source: offsets in UTF-16 units, the end excluded. */
export interface Place {
  readonly start: number;
  readonly end: number;
}

/** A parsed expression. Operators are calls of functions that have the operator's name; negation is `neg`. */
export type SyntaxNode =
  | LiteralNode
  | (Place & { readonly kind: "name"; readonly name: string; readonly isAbsolute: boolean })
  | (Place & { readonly kind: "select"; readonly operand: SyntaxNode; readonly field: string })
  | (Place & { readonly kind: "has"; readonly operand: SyntaxNode; readonly field: string })
  | (Place & {
    readonly kind: "call";
    readonly name: string;
    /** What stands before the dot of a method; it is not among the arguments. */
    readonly target: SyntaxNode | null;
    readonly args: readonly SyntaxNode[];
  })
  | (Place & { readonly kind: "list"; readonly items: readonly SyntaxNode[] })
  | (Place & { readonly kind: "map"; readonly keys: readonly SyntaxNode[]; readonly values: readonly SyntaxNode[] })
  | (Place & {
    readonly kind: "macro";
    readonly name: MacroName;
    readonly range: SyntaxNode;
    readonly variable: string;
    /** One expression, or two of `map` with a condition. */
    readonly args: readonly SyntaxNode[];
  });

/** A constant. Integers are numbers when safe, otherwise bigint; bytes are Uint8Array; a type is its name. */
export interface LiteralNode extends Place {
  readonly kind: "literal";
  readonly type: CelType;
  readonly value: unknown;
}

/** The functions that bind a variable. */
export type MacroName = "all" | "exists" | "exists_one" | "map" | "filter";

/** An expression whose every part has a type, and whose names are resolved. */
export type CheckedNode =
  | LiteralNode
  | (Place & { readonly kind: "column"; readonly type: CelType; readonly slot: number; readonly name: string })
  | (Place & { readonly kind: "local"; readonly type: CelType; readonly slot: number })
  | CheckedCall
  | (Place & { readonly kind: "list"; readonly type: CelType; readonly items: readonly CheckedNode[] })
  | (Place & {
    readonly kind: "map";
    readonly type: CelType;
    readonly keys: readonly CheckedNode[];
    readonly values: readonly CheckedNode[];
  })
  | CheckedMacro;

/** A call whose overload is known by its name and the types of its arguments; a method's target is the first one. */
export interface CheckedCall extends Place {
  readonly kind: "call";
  readonly type: CelType;
  readonly name: string;
  readonly args: readonly CheckedNode[];
}

/** A macro, whose variable is the local in `slot`. */
export interface CheckedMacro extends Place {
  readonly kind: "macro";
  readonly type: CelType;
  readonly name: MacroName;
  readonly range: CheckedNode;
  readonly slot: number;
  readonly args: readonly CheckedNode[];
}
