/**
 * A Worker that evaluates an expression for the rows of a request.
 * @module
 */
import { compileCel } from "../../src/cel/compile_cel.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const { expr, columns, rows } = await request.json();
    const { evaluate } = compileCel(expr, columns);
    return Response.json(rows.map((row: Record<string, unknown>) => evaluate(row)));
  },
};
