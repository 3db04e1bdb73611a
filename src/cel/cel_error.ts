/**
 * Failures of expressions: when compiling, a matter of configuration, and when evaluating, one of rows.
 * @module
 */
import { CelEvaluationError, ConfigValidationError } from "../errors.ts";
import type { Place } from "./ast.ts";

const QUOTED_MAX = 60;

/** The error for an expression that cannot be compiled: names line, column and the offending piece. */
export function compileError(source: string, place: Place, reason: string): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot compile CEL expression: ${reason}, at ${quotedPlace(source, place)}`,
    "expr",
  );
}

/** A failure of the language itself, such as a division by zero; `&&`, `||` and some macros may absorb it. */
export class Fault {
  readonly reason: string;
  readonly place: Place;
  constructor(reason: string, place: Place) {
    this.reason = reason;
    this.place = place;
  }
}

/** What cannot be answered as Python answers it. Nothing absorbs it, as the answer might then differ. */
export class Refusal extends Fault {}

/** True for failures that logical operators may absorb. */
export function isAbsorbable(thrown: unknown): boolean {
  return thrown instanceof Fault && !(thrown instanceof Refusal);
}

/** What callers see of a failure; other things that were thrown stay as they are. */
export function evaluationError(source: string, thrown: unknown): unknown {
  if (!(thrown instanceof Fault)) return thrown;
  return new CelEvaluationError(
    `Cannot evaluate CEL expression: ${thrown.reason}, at ${quotedPlace(source, thrown.place)}`,
    source,
  );
}

function quotedPlace(source: string, { start, end }: Place): string {
  const before = source.slice(0, start);
  const line = before.split("\n").length;
  const column = start - before.lastIndexOf("\n");
  const piece = source.slice(start, end);
  const shown = piece === ""
    ? "the end"
    : JSON.stringify(piece.length > QUOTED_MAX ? piece.slice(0, QUOTED_MAX) + "…" : piece);
  return `line ${line}, column ${column}: ${shown}`;
}
