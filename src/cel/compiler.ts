/**
 * From a checked expression to closures: one for each part, chosen by its type, so that evaluating looks at no types.
 *
 * Values lie in slots that all closures of an expression share; evaluating is synchronous and must not begin again
 * before it has ended.
 * @module
 */
import type { CheckedCall, CheckedNode } from "./ast.ts";
import { columnReader, type NulRule } from "./bindings.ts";
import { callOf } from "./calls.ts";
import { isAbsorbable } from "./cel_error.ts";
import type { CheckedExpression } from "./checker.ts";
import { listOf, mapOf, membership } from "./collections.ts";
import type { Frame, Run } from "./frame.ts";
import { hashOf, hashRemainder } from "./hashing.ts";
import { compileMacro } from "./macros.ts";
import { type Integer, remainder } from "./numbers.ts";

/** An expression ready to run over the slots of its frame. */
export function compileChecked(
  { root, columns, localCount }: CheckedExpression,
  source: string,
  nul: NulRule,
): { frame: Frame; run: Run } {
  const frame: Frame = {
    slots: new Array(columns.length).fill(undefined),
    locals: new Array(localCount).fill(undefined),
    nul,
    source,
    steps: 0,
  };
  return { frame, run: compileNode(root, frame) };
}

/** The closure of one part. */
export function compileNode(node: CheckedNode, frame: Frame): Run {
  const compile = (part: CheckedNode): Run => compileNode(part, frame);
  switch (node.kind) {
    case "literal": {
      const { value } = node;
      return () => value;
    }
    case "column":
      return columnReader(node, frame);
    case "local": {
      const { locals } = frame;
      const { slot } = node;
      return () => locals[slot];
    }
    case "call":
      return compileCall(node, frame, compile);
    case "list":
      return listOf(node, node.items.map(compile));
    case "map":
      return mapOf(node, node.keys.map(compile), node.values.map(compile));
    case "macro":
      return compileMacro(node, frame, compile);
  }
}

function compileCall(node: CheckedCall, frame: Frame, compile: (part: CheckedNode) => Run): Run {
  switch (node.name) {
    case "shard_hash":
      return hashOf(node, frame, compile);
    case "%": {
      const fused = hashRemainder(node, frame, compile) ?? columnRemainder(node, frame, compile);
      if (fused) return fused;
      break;
    }
    case "in":
      return membership(node, node.args.map(compile));
    case "&&":
    case "||":
      return logical(node.args.map(compile) as Run<boolean>[], node.name === "||");
    case "?:": {
      const [condition, yes, no] = node.args.map(compile) as [Run<boolean>, Run, Run];
      return () => condition() ? yes() : no();
    }
  }
  return callOf(node, node.args.map(compile), frame.source);
}

/** `column % N`, the shortest of routing rules, in one closure; null for anything else. */
function columnRemainder(
  node: CheckedCall,
  { slots }: Frame,
  compile: (part: CheckedNode) => Run,
): Run<Integer> | null {
  const [column, literal] = node.args as [CheckedNode, CheckedNode];
  const divisor = literal.kind === "literal" ? literal.value : null;
  // Engines divide 32-bit numbers by an instruction, others by a call.
  if (column.kind !== "column" || typeof divisor !== "number" || divisor < 1 || divisor > 0x7fffffff) return null;
  const { slot } = column;
  const read = compile(column) as Run<Integer>;
  return () => {
    const value = slots[slot];
    if (typeof value === "number" && (value | 0) === value && value >= 0) return (value | 0) % divisor;
    return remainder(read(), divisor, node);
  };
}

/** `decided` on either side decides, even when the other side fails. */
function logical([left, right]: Run<boolean>[], decided: boolean): Run<boolean> {
  return () => {
    let first: boolean;
    try {
      first = left!();
    } catch (thrown) {
      if (!isAbsorbable(thrown) || right!() !== decided) throw thrown;
      return decided;
    }
    return first === decided ? decided : right!();
  };
}
