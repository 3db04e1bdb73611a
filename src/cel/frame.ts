/**
 * What closures of one expression share.
 * @module
 */
import type { NulRule } from "./bindings.ts";

/** Evaluates a part of an expression. */
export type Run<T = unknown> = () => T;

/** What closures of one expression share. */
export interface Frame {
  readonly slots: unknown[];
  readonly locals: unknown[];
  readonly nul: NulRule;
  readonly source: string;
  /** Steps of macros in this evaluation. */
  steps: number;
}
