/**
 * From tokens to a tree: precedence climbing over the operators, recursive descent for the rest.
 * @module
 */
import type { MacroName, Place, SyntaxNode } from "./ast.ts";
import { compileError } from "./cel_error.ts";
import { type Token, tokensOf } from "./lexer.ts";
import { bytesLiteral, numberLiteral, stringLiteral } from "./literals.ts";

/** How tightly binary operators bind; all of them group to the left. */
const STRENGTH: ReadonlyMap<string, number> = new Map([
  ["||", 1],
  ["&&", 2],
  ...["<", "<=", ">=", ">", "==", "!=", "in"].map((name): [string, number] => [name, 3]),
  ...["+", "-"].map((name): [string, number] => [name, 4]),
  ...["*", "/", "%"].map((name): [string, number] => [name, 5]),
]);

/** Words that no name may be; `in`, `true`, `false` and `null` are part of the grammar. */
const RESERVED = new Set(
  ("as break const continue else false for function if import in let loop package namespace null return true var " +
    "void while").split(" "),
);

/** Words that are not even names of fields. */
const KEYWORDS = new Set(["in", "true", "false", "null"]);

/** How many arguments macros have. */
const MACROS: ReadonlyMap<string, readonly number[]> = new Map([
  ["all", [2]],
  ["exists", [2]],
  ["exists_one", [2]],
  ["map", [2, 3]],
  ["filter", [2]],
]);

/** Expressions inside expressions, at most: what the engine that Python uses takes. */
const DEPTH_MAX = 32;

/** Operands of one chain of `&&` or `||`, which do not count as nested. */
const OPERANDS_MAX = 1000;

/**
 * The tree of an expression.
 *
 * @throws {ConfigValidationError} when it does not follow the grammar, or is nested more than 32 deep.
 */
export function parseExpression(source: string): SyntaxNode {
  return new Parser(source).parseAll();
}

class Parser {
  readonly #source: string;
  readonly #tokens: Token[];
  #next = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = tokensOf(source);
  }

  parseAll(): SyntaxNode {
    const node = this.#expression();
    if (this.#token.kind !== "end") throw this.#unexpected();
    checkDepth(this.#source, node);
    return node;
  }

  get #token(): Token {
    return this.#tokens[this.#next]!;
  }

  #expression(): SyntaxNode {
    if (++this.#depth > DEPTH_MAX) throw this.#tooDeep();
    const condition = this.#binary(1);
    if (!this.#take("?")) {
      this.#depth--;
      return condition;
    }
    // Not a whole expression: the grammar wants parentheses around a condition in here.
    const yes = this.#binary(1);
    this.#expect(":");
    const no = this.#expression();
    this.#depth--;
    return call("?:", [condition, yes, no], { start: condition.start, end: no.end });
  }

  #binary(least: number): SyntaxNode {
    let left = this.#unary();
    for (;;) {
      const { kind, text } = this.#token;
      const strength = kind === "symbol" || text === "in" ? STRENGTH.get(text) : undefined;
      if (strength === undefined || strength < least) return left;
      this.#next++;
      const right = this.#binary(strength + 1);
      left = call(text, [left, right], { start: left.start, end: right.end });
    }
  }

  /** Signs of one kind; an even number of them is as none, without a look at what follows. */
  #unary(): SyntaxNode {
    const first = this.#token;
    const sign = first.kind === "symbol" && (first.text === "-" || first.text === "!") ? first.text : "";
    if (sign === "") return this.#member(this.#primary(null));
    let count = 0;
    while (this.#take(sign)) count++;
    // A single minus, or one behind other signs, belongs to the number: so the least int can be written.
    let minus = sign === "-" && count === 1 ? first : null;
    if (sign === "!" && this.#token.text === "-") minus = this.#tokens[this.#next++]!;
    const isNumber = this.#token.kind === "int" || this.#token.kind === "double";
    if (minus !== null && sign === "!" && !isNumber) throw this.#unexpected();
    const operand = this.#member(this.#primary(isNumber ? minus : null));
    if (isNumber && minus === first) return operand;
    if (count % 2 === 0) return operand;
    return call(sign === "-" ? "neg" : "!", [operand], { start: first.start, end: operand.end });
  }

  #member(operand: SyntaxNode): SyntaxNode {
    let node = operand;
    for (;;) {
      if (this.#take(".")) {
        node = this.#afterDot(node);
      } else if (this.#take("[")) {
        const index = this.#expression();
        const end = this.#expect("]").end;
        node = call("index", [node, index], { start: node.start, end });
      } else {
        return node;
      }
    }
  }

  #afterDot(target: SyntaxNode): SyntaxNode {
    const field = this.#token;
    if (field.kind !== "name" || KEYWORDS.has(field.text)) throw this.#unexpected();
    this.#next++;
    if (!this.#take("(")) {
      return { kind: "select", operand: target, field: field.text, start: target.start, end: field.end };
    }
    const { items, end } = this.#items(")", false);
    const place = { start: target.start, end };
    if (MACROS.get(field.text)?.includes(items.length)) {
      return this.#macro(field.text as MacroName, [target, ...items], place);
    }
    return { ...place, kind: "call", name: field.text, target, args: items };
  }

  #macro(name: MacroName, [range, variable, ...args]: SyntaxNode[], place: Place): SyntaxNode {
    if (variable!.kind !== "name" || variable!.isAbsolute || variable!.name === "__result__") {
      throw compileError(this.#source, variable!, `the variable of ${name}() must be a simple name`);
    }
    return { ...place, kind: "macro", name, range: range!, variable: variable!.name, args };
  }

  #primary(minus: Token | null): SyntaxNode {
    const token = this.#token;
    this.#next++;
    const { start, end } = token;
    if (token.kind === "int" || token.kind === "uint" || token.kind === "double") {
      return numberLiteral(this.#source, token, minus);
    }
    if (token.kind === "string") return stringLiteral(this.#source, token);
    if (token.kind === "bytes") return bytesLiteral(this.#source, token);
    if (token.kind === "name") {
      if (token.text === "null") return { start, end, kind: "literal", type: "null_type", value: null };
      if (token.text === "true" || token.text === "false") {
        return { start, end, kind: "literal", type: "bool", value: token.text === "true" };
      }
      return this.#nameOrCall(token, start);
    }
    if (token.text === "." && this.#token.kind === "name") return this.#nameOrCall(this.#tokens[this.#next++]!, start);
    if (token.text === "(") {
      const node = this.#expression();
      return { ...node, start, end: this.#expect(")").end };
    }
    if (token.text === "[") {
      const list = this.#items("]", true);
      return { start, end: list.end, kind: "list", items: list.items };
    }
    if (token.text === "{") return this.#map(start);
    this.#next--;
    throw this.#unexpected();
  }

  #nameOrCall(token: Token, start: number): SyntaxNode {
    const name = token.text;
    if (RESERVED.has(name)) throw compileError(this.#source, token, "this word is reserved");
    const isAbsolute = start < token.start;
    if (!this.#take("(")) return { kind: "name", name, isAbsolute, start, end: token.end };
    const { items, end } = this.#items(")", false);
    if (name === "has" && items.length === 1 && !isAbsolute) {
      const [operand] = items;
      if (operand!.kind !== "select") {
        throw compileError(this.#source, operand!, "has() must be given the selection of a field, as in has(m.field)");
      }
      return { kind: "has", operand: operand!.operand, field: operand!.field, start, end };
    }
    return { kind: "call", name, target: null, args: items, start, end };
  }

  /** Expressions between commas up to the closing bracket, which is taken as well. */
  #items(closing: string, mayTrail: boolean): { items: SyntaxNode[]; end: number } {
    const items: SyntaxNode[] = [];
    for (;;) {
      const { end } = this.#token;
      if (this.#take(closing)) return { items, end };
      if (this.#isAtNext(items.length, closing, mayTrail)) items.push(this.#expression());
    }
  }

  /**
   * Takes the comma before all elements but the first, and says whether one follows. Where a comma may trail, it may
   * even stand alone.
   */
  #isAtNext(count: number, closing: string, mayTrail: boolean): boolean {
    if (count === 0 && !(mayTrail && this.#take(","))) return true;
    if (count > 0) this.#expect(",");
    const isEnd = mayTrail && this.#token.text === closing;
    if (!isEnd && count === 0) throw this.#unexpected();
    return !isEnd;
  }

  #map(start: number): SyntaxNode {
    const keys: SyntaxNode[] = [];
    const values: SyntaxNode[] = [];
    for (;;) {
      const { end } = this.#token;
      if (this.#take("}")) return { kind: "map", keys, values, start, end };
      if (!this.#isAtNext(keys.length, "}", true)) continue;
      keys.push(this.#expression());
      this.#expect(":");
      values.push(this.#expression());
    }
  }

  #take(symbol: string): boolean {
    const { kind, text } = this.#token;
    if (kind !== "symbol" || text !== symbol) return false;
    this.#next++;
    return true;
  }

  #expect(symbol: string): Token {
    const token = this.#token;
    if (!this.#take(symbol)) throw compileError(this.#source, token, `expected "${symbol}"`);
    return token;
  }

  #unexpected(): Error {
    const reason = this.#token.kind === "end" ? "expected an expression" : "this cannot stand here";
    return compileError(this.#source, this.#token, reason);
  }

  #tooDeep(): Error {
    return compileError(this.#source, this.#token, `expressions must not be nested more than ${DEPTH_MAX} deep`);
  }
}

function call(name: string, args: SyntaxNode[], place: Place): SyntaxNode {
  return { start: place.start, end: place.end, kind: "call", name, target: null, args };
}

/** Chains such as `a + b + c` nest without parentheses; those of `&&` and `||` count as balanced trees. */
function checkDepth(source: string, root: SyntaxNode): void {
  const depths = new Map<SyntaxNode, number>();
  const open = [root];
  while (open.length > 0) {
    const node = open.at(-1)!;
    const children = childrenOf(node);
    const waiting = children.filter((child) => !depths.has(child));
    if (waiting.length > 0) {
      open.push(...waiting);
      continue;
    }
    open.pop();
    const deepest = children.reduce((most, child) => Math.max(most, depths.get(child)!), 0);
    if (isChain(node) && children.length > OPERANDS_MAX) {
      throw compileError(source, node, `a chain must not have more than ${OPERANDS_MAX} operands`);
    }
    const own = isChain(node) ? Math.ceil(Math.log2(children.length)) : 1;
    depths.set(node, deepest + own);
    if (deepest + own > DEPTH_MAX) {
      throw compileError(source, node, `expressions must not be nested more than ${DEPTH_MAX} deep`);
    }
  }
}

function isChain(node: SyntaxNode): boolean {
  return node.kind === "call" && (node.name === "&&" || node.name === "||");
}

function childrenOf(node: SyntaxNode): readonly SyntaxNode[] {
  switch (node.kind) {
    case "select":
    case "has":
      return [node.operand];
    case "call":
      if (isChain(node)) return chainOf(node, node.name);
      return node.target === null ? node.args : [node.target, ...node.args];
    case "list":
      return node.items;
    case "map":
      return [...node.keys, ...node.values];
    case "macro":
      return [node.range, ...node.args];
    default:
      return [];
  }
}

/** All operands of a chain of one logical operator. */
function chainOf(root: SyntaxNode, name: string): SyntaxNode[] {
  const operands: SyntaxNode[] = [];
  const open: SyntaxNode[] = [root];
  while (open.length > 0) {
    const node = open.pop()!;
    if (node.kind === "call" && node.name === name) open.push(...node.args);
    else operands.push(node);
  }
  return operands;
}
