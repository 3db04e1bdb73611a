/**
 * Macros: `all`, `exists`, `exists_one`, `map` and `filter`.
 * @module
 */
import type { CheckedMacro, CheckedNode } from "./ast.ts";
import { isAbsorbable, Refusal } from "./cel_error.ts";
import type { Frame, Run } from "./frame.ts";

/** The engine that Python uses fails at this step of all macros of an evaluation. */
const STEPS_MAX = 10_000;

/** The closure of a macro. */
export function compileMacro(
  node: CheckedMacro,
  frame: Frame,
  compile: (node: CheckedNode) => Run,
): Run {
  const range = compile(node.range) as Run<unknown[] | Map<unknown, unknown>>;
  const args = node.args.map((arg) => compile(arg));
  const [first, second] = args as [Run<boolean>, Run | undefined];
  const { locals } = frame;
  const { slot } = node;
  function items(): unknown[] {
    const value = range();
    return value instanceof Map ? [...value.keys()] : value;
  }
  function bind(item: unknown): void {
    locals[slot] = item;
    takeStep(node, frame);
  }
  switch (node.name) {
    case "all":
    case "exists":
      return quantifier(items, {
        bind,
        test: first,
        decided: node.name === "exists",
        step: () => takeStep(node, frame),
      });
    case "exists_one":
      return () => {
        let count = 0;
        for (const item of items()) {
          bind(item);
          if (first()) count++;
        }
        return count === 1;
      };
    case "filter":
      return () =>
        items().filter((item) => {
          bind(item);
          return first();
        });
    case "map":
      return () => {
        const mapped: unknown[] = [];
        for (const item of items()) {
          bind(item);
          if (second === undefined) mapped.push((first as Run)());
          else if (first()) mapped.push(second());
        }
        return mapped;
      };
  }
}

interface Quantifier {
  readonly bind: (item: unknown) => void;
  readonly test: Run<boolean>;
  /** What one element's answer must be to decide: true for `exists`, false for `all`. */
  readonly decided: boolean;
  readonly step: () => void;
}

/** An element that decides does so even when others fail. */
function quantifier(items: () => unknown[], { bind, test, decided, step }: Quantifier): Run<boolean> {
  return () => {
    let failure: unknown = null;
    const all = items();
    for (let i = 0; i < all.length; i++) {
      bind(all[i]);
      try {
        if (test() !== decided) continue;
      } catch (thrown) {
        if (!isAbsorbable(thrown)) throw thrown;
        failure ??= thrown;
        continue;
      }
      // Python's engine begins the next step before it sees that all is decided.
      if (i + 1 < all.length) step();
      return decided;
    }
    if (failure !== null) throw failure;
    return !decided;
  };
}

function takeStep(node: CheckedMacro, frame: Frame): void {
  if (++frame.steps >= STEPS_MAX) throw new Refusal(`macros take at most ${STEPS_MAX - 1} steps`, node);
}
