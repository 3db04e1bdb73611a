/**
 * Regular expressions of `matches` that mean the same to RE2, which Python's engine uses, and to JavaScript.
 *
 * A pattern is read here and written again for JavaScript, so that nothing passes unseen: letters, escapes of ASCII,
 * classes, groups, alternatives, repetitions, anchors. Flags, Unicode properties, `\B` and the like are refused.
 *
 * RE2 takes time in proportion to the text, JavaScript tries one way after the other. What makes the ways exponentially
 * many is refused: repeating what can match in several ways, and very many parts that may be left out.
 * @module
 */
import type { CheckedNode } from "./ast.ts";
import { compileError } from "./cel_error.ts";

const REPEAT_MAX = 1000;
const SOURCE_MAX = 1000;
/** How often something may be repeated that can match in several ways. */
const LOOSE_REPEAT_MAX = 16;
/** Repetitions in a pattern whose number is not fixed. */
const LOOSE_MAX = 16;

const CLASS_ESCAPES: Readonly<Record<string, string>> = {
  d: "0-9",
  w: "0-9A-Za-z_",
  s: "\\t\\n\\f\\r ",
};

const POSIX: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7f",
  blank: "\\t ",
  digit: "0-9",
  lower: "a-z",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

const CONTROLS: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };
const PUNCTUATION = /[\\.[\]{}()*+?^$|/\-]/;

/**
 * The regular expression of a call of `matches`.
 *
 * @throws {ConfigValidationError} when it is no literal, or not of the subset.
 */
export function patternOf(source: string, node: CheckedNode): RegExp {
  const fail = (reason: string): Error => compileError(source, node, `regular expression: ${reason}`);
  if (node.kind !== "literal" || typeof node.value !== "string") throw fail("it must be a string literal");
  if (node.value.length > SOURCE_MAX) throw fail(`it must not be longer than ${SOURCE_MAX} characters`);
  return new RegExp(new PatternReader(node.value, fail).read(), "u");
}

/** What is known of a piece besides its text. */
interface Piece {
  readonly text: string;
  /** Nothing can be repeated, as of anchors. */
  readonly isAnchor: boolean;
  /** It can match one way only, at a given place. */
  readonly isRigid: boolean;
  /** Product of the bounds of repetitions in it. */
  readonly repeats: number;
}

class PatternReader {
  readonly #points: string[];
  readonly #fail: (reason: string) => Error;
  #next = 0;
  #looseCount = 0;

  constructor(pattern: string, fail: (reason: string) => Error) {
    this.#points = [...pattern];
    this.#fail = fail;
  }

  read(): string {
    const { text } = this.#alternatives();
    if (this.#next < this.#points.length) throw this.#fail('")" without "("');
    return text;
  }

  #alternatives(): Piece {
    let text = "";
    let isRigid = true;
    let repeats = 1;
    while (this.#next < this.#points.length && this.#points[this.#next] !== ")") {
      if (this.#take("|")) {
        text += "|";
        isRigid = false;
        continue;
      }
      const piece = this.#repeated(this.#atom());
      text += piece.text;
      isRigid &&= piece.isRigid;
      repeats = Math.max(repeats, piece.repeats);
    }
    return { text, isAnchor: false, isRigid, repeats };
  }

  #atom(): Piece {
    const point = this.#points[this.#next++]!;
    if (point === "(") return this.#group();
    if (point === "[") return plain(this.#set());
    if (point === ".") return plain("[^\\n]");
    if (point === "^" || point === "$") return { ...plain(point), isAnchor: true };
    if (point === "\\") return this.#escape();
    if ("*+?{".includes(point)) throw this.#fail(`"${point}" where nothing can be repeated`);
    return plain(literal(point.codePointAt(0)!));
  }

  #group(): Piece {
    const rest = this.#points.slice(this.#next, this.#next + 40).join("");
    const opening = /^\?(?::|P<[A-Za-z_]\w{0,30}>)/.exec(rest)?.[0];
    if (opening === undefined && rest.startsWith("?")) {
      throw this.#fail('groups must begin with "(", "(?:" or "(?P<name>"');
    }
    this.#next += opening?.length ?? 0;
    const inner = this.#alternatives();
    if (!this.#take(")")) throw this.#fail('"(" without ")"');
    return { ...inner, text: `(?:${inner.text})` };
  }

  #repeated(atom: Piece): Piece {
    const rest = this.#points.slice(this.#next, this.#next + 12).join("");
    const match = /^(?:[*+?]|\{(\d{1,4})(,?)(\d{0,4})\})\??/.exec(rest);
    if (!match) return atom;
    const [operator, leastText, comma, mostText] = match;
    this.#next += operator.length;
    if (atom.isAnchor) throw this.#fail("an anchor cannot be repeated here");
    if ("*+?{".includes(this.#points[this.#next] ?? "-")) throw this.#fail("a repetition cannot be repeated");
    const isUnbounded = leastText === undefined ? operator[0] !== "?" : comma === "," && mostText === "";
    const least = Number(leastText ?? 0);
    const most = Math.max(1, least, Number(mostText ?? 0));
    const repeats = atom.repeats * most;
    if ((comma === "" && mostText !== "") || (mostText && least > Number(mostText)) || repeats > REPEAT_MAX) {
      throw this.#fail(`bounds of repetitions must ascend, and be at most ${REPEAT_MAX} in all`);
    }
    if (!atom.isRigid && (isUnbounded || repeats > LOOSE_REPEAT_MAX)) {
      throw this.#fail("alternatives and repetitions cannot be repeated without bound, nor more than 16 times");
    }
    const isFixed = operator.replace("?", "") === `{${least}}`;
    if (!isFixed && ++this.#looseCount > LOOSE_MAX) throw this.#fail(`more than ${LOOSE_MAX} repetitions`);
    return { text: atom.text + operator, isAnchor: false, isRigid: atom.isRigid && isFixed, repeats };
  }

  #escape(): Piece {
    const point = this.#points[this.#next];
    if (point === "A" || point === "z" || point === "b") {
      this.#next++;
      return { ...plain(point === "A" ? "^" : point === "z" ? "$" : "\\b"), isAnchor: true };
    }
    const set = this.#classEscape();
    return plain(set ?? literal(this.#escapedPoint()));
  }

  /** `\d` and its like, in brackets. */
  #classEscape(): string | null {
    const name = this.#points[this.#next] ?? "";
    const members = CLASS_ESCAPES[name.toLowerCase()];
    if (members === undefined) return null;
    this.#next++;
    return `[${name === name.toLowerCase() ? "" : "^"}${members}]`;
  }

  #escapedPoint(): number {
    const point = this.#points[this.#next++] ?? "";
    const control = CONTROLS[point];
    if (control !== undefined) return control;
    if (PUNCTUATION.test(point)) return point.charCodeAt(0);
    const rest = this.#points.slice(this.#next, this.#next + 8).join("");
    const hex = point === "x" ? /^(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))/.exec(rest) : null;
    const value = hex ? parseInt(hex[1] ?? hex[2]!, 16) : NaN;
    if (!(value < 0xd800 || (value >= 0xe000 && value <= 0x10ffff))) throw this.#fail(`"\\${point}" is not supported`);
    this.#next += hex![0].length;
    return value;
  }

  #set(): string {
    let text = this.#take("^") ? "[^" : "[";
    for (let isFirst = true; isFirst || !this.#take("]"); isFirst = false) {
      const rest = this.#points.slice(this.#next, this.#next + 12).join("");
      const posix = /^\[:([a-z]+):\]/.exec(rest);
      if (posix) {
        const members = Object.hasOwn(POSIX, posix[1]!) ? POSIX[posix[1]!] : undefined;
        if (members === undefined) throw this.#fail(`"${posix[0]}" is not supported`);
        text += members;
        this.#next += posix[0].length;
      } else {
        text += this.#setMember(isFirst);
      }
    }
    return text + "]";
  }

  #setMember(isFirst: boolean): string {
    const point = this.#points[this.#next];
    if (point === undefined) throw this.#fail('"[" without "]"');
    const members = point === "\\" ? CLASS_ESCAPES[this.#points[this.#next + 1] ?? ""] : undefined;
    if (members !== undefined) {
      this.#next += 2;
      if (this.#points[this.#next] === "-" && this.#points[this.#next + 1] !== "]") {
        throw this.#fail('"-" in a class must stand between characters');
      }
      return members;
    }
    const low = this.#setPoint(isFirst);
    if (this.#points[this.#next] !== "-" || this.#points[this.#next + 1] === "]") return literal(low);
    this.#next++;
    const high = this.#setPoint(false);
    if (high < low) throw this.#fail("a range in a class must ascend");
    return `${literal(low)}-${literal(high)}`;
  }

  #setPoint(isFirst: boolean): number {
    const point = this.#points[this.#next++];
    if (point === undefined) throw this.#fail('"[" without "]"');
    if (point === "\\") return this.#escapedPoint();
    const isEdge = isFirst || this.#points[this.#next] === "]";
    if (point === "[" || (point === "]" && !isFirst) || (point === "-" && !isEdge)) {
      throw this.#fail(`"${point}" in a class must be written as "\\${point}"`);
    }
    return point.codePointAt(0)!;
  }

  #take(point: string): boolean {
    if (this.#points[this.#next] !== point) return false;
    this.#next++;
    return true;
  }
}

function plain(text: string): Piece {
  return { text, isAnchor: false, isRigid: true, repeats: 1 };
}

/** A character that stands for itself, whatever it is. */
function literal(codePoint: number): string {
  const text = String.fromCodePoint(codePoint);
  return /[0-9A-Za-z]/.test(text) || codePoint > 0xff ? text : `\\x${codePoint.toString(16).padStart(2, "0")}`;
}
