/**
 * Random expressions that have a type, and random rows for them.
 *
 * All is decided by a list of numbers, so that whoever finds a difference can shorten the list.
 * @module
 */
import type { CelColumnType } from "../../src/cel/compile_cel.ts";

/** The columns of every random expression. */
export const COLUMNS: Readonly<Record<string, CelColumnType>> = {
  i: "int",
  j: "int",
  u: "uint",
  d: "double",
  s: "string",
  r: "string",
  b: "bytes",
  t: "bool",
};

type Type = CelColumnType | "timestamp" | "duration" | "ints" | "texts" | "map";

const INTS = "0 1 2 3 5 7 8 10 255 1000 2147483647 2147483648 4294967296 9007199254740991 9007199254740992 " +
  "9007199254740993 4611686018427387904 9223372036854775807";
const DOUBLES =
  "0.0 1.0 0.5 1.5 0.1 3.0 1e6 999999.5 1e-4 1e-5 123456.7 1e15 1e22 1e300 5e-324 9223372036854775807.0 " +
  "1.8e19 9007199254740993.0";
const TEXTS = [
  "''",
  "'a'",
  "'us'",
  "'é'",
  "'😀'",
  "'\\uFFFF'",
  "'a\\u0000b'",
  "'12'",
  "' -7 '",
  "'1e3'",
  "'true'",
  "'日本'",
];
const BYTES = ["b''", "b'a'", "b'\\xff'", "b'\\x00z'", "b'é'", "b'\\xe2\\x82'", "b'12'"];
const TIMES = [
  "'2024-02-29T13:14:15.678Z'",
  "'1969-12-31T23:59:59.5Z'",
  "'0001-01-01T00:00:00Z'",
  "'2000-12-31T23:59:60Z'",
];
const DURATIONS = ["'1.5s'", "'-90m'", "'1h30m'", "'0s'", "'10ns'", "'2500000h'"];
const PATTERNS = [
  "'^a'",
  "'[^a-z]'",
  "'.'",
  "'\\\\d+$'",
  "'a|é'",
  "'^.{2,3}$'",
  "'\\\\bu'",
  "'[[:alpha:]]s?'",
  "'\\\\s|\\\\W'",
];
const PARTS = "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds " +
  "getMilliseconds";
const ZONES = ["", "", "'UTC'", "'+02:00'", "'-05:30'", "'+23:59'"];

/** Values that columns are given. */
export const VALUES: Readonly<Record<CelColumnType, readonly unknown[]>> = {
  int: [
    ...INTS.split(" ").flatMap((text) => [BigInt(text), -BigInt(text)]),
    -(2n ** 63n),
    42n,
    -5n,
    1700000000n,
    253402300799n,
  ],
  uint: [...INTS.split(" ").map(BigInt), 2n ** 63n, 2n ** 64n - 1n, 2n ** 63n + 5n],
  double: [
    ...DOUBLES.split(" ").flatMap((text) => [Number(text), -Number(text)]),
    NaN,
    Infinity,
    -Infinity,
    0.30000000000000004,
    1 / 3,
    2 ** 63,
    -(2 ** 63),
    2 ** 64,
  ],
  string: [
    "",
    "a",
    "us",
    "us-1",
    "é",
    "e\u0301",
    "😀",
    "\uffff",
    "a\0b",
    "12",
    "-3",
    "1.5",
    "true",
    "日本語",
    "x".repeat(70),
  ],
  bytes: ["", "61", "ff", "00ff", "6100", "c3a9", "e282", "3132", "80".repeat(40)].map((hex) =>
    Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16))
  ),
  bool: [true, false],
};

/** Takes decisions from a list; when it is used up, always the first possibility. */
export class Choices {
  readonly #numbers: readonly number[];
  #next = 0;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  below(limit: number): number {
    return (this.#numbers[this.#next++] ?? 0) % limit;
  }

  of<T>(possibilities: readonly T[]): T {
    return possibilities[this.below(possibilities.length)]!;
  }
}

/** A row with a value for each column. */
export function randomRow(choices: Choices): Record<string, unknown> {
  return Object.fromEntries(Object.entries(COLUMNS).map(([name, type]) => [name, choices.of(VALUES[type])]));
}

/** The source of an expression of any type that a router takes, or bool or double. */
export function randomExpression(choices: Choices): string {
  const type = choices.of<Type>(["uint", "int", "bool", "string", "bytes", "double"]);
  return expression(type, { choices, depth: 4, variable: null });
}

interface Context {
  readonly choices: Choices;
  readonly depth: number;
  /** The variable of a macro around, of type int. */
  readonly variable: string | null;
}

function expression(type: Type, context: Context): string {
  const { choices } = context;
  if (context.depth === 0 || choices.below(8) === 0) return leaf(type, context);
  const inner: Context = { ...context, depth: context.depth - 1 };
  const of = (wanted: Type): string => expression(wanted, inner);
  if (choices.below(12) === 1) return `(${of("bool")} ? ${of(type)} : ${of(type)})`;
  if (choices.below(40) === 1) return `dyn(${of(type)})`;
  return choices.of(PRODUCTIONS[type])(of, inner);
}

function leaf(type: Type, { choices, variable }: Context): string {
  const columns = Object.entries(COLUMNS).filter(([, columnType]) => columnType === type);
  if (type === "int" && variable !== null && choices.below(2) === 0) return variable;
  if (columns.length > 0 && choices.below(3) > 0) return choices.of(columns)[0];
  const sign = (text: string): string => choices.below(3) === 0 ? `-${text}` : text;
  switch (type) {
    case "int":
      return sign(choices.of(INTS.split(" ")));
    case "uint":
      return `${choices.of([...INTS.split(" "), "18446744073709551615", "9223372036854775808"])}u`;
    case "double":
      return sign(choices.of(DOUBLES.split(" ")));
    case "bool":
      return choices.of(["true", "false"]);
    case "string":
      return choices.of(TEXTS);
    case "bytes":
      return choices.of(BYTES);
    case "timestamp":
      return `timestamp(${choices.of(TIMES)})`;
    case "duration":
      return `duration(${choices.of(DURATIONS)})`;
    case "ints":
      return choices.of(["[]", "[1]", "[0, 1, 2]", "[i, 3]", "[5, 5]"]);
    case "texts":
      return choices.of(["['us', 'eu']", "[s, 'a']", "['']"]);
    case "map":
      return choices.of(["{'us': 1, 'a': 2}", "{s: i}", "{}", "{'x': 1 / 0}"]);
  }
}

type Production = (of: (type: Type) => string, context: Context) => string;

function withVariable({ choices, depth }: Context, type: Type): [string, string] {
  const variable = choices.of(["x", "y", "i"]);
  return [variable, expression(type, { choices, depth, variable })];
}

function macro(name: string, body: Type): Production {
  return (of, context) => {
    const range = of("ints");
    const [variable, inner] = withVariable(context, body);
    return `${range}.${name}(${variable}, ${inner})`;
  };
}

function arithmetic(type: Type, operators: string): Production[] {
  return operators.split(" ").map((operator): Production => (of) => `(${of(type)} ${operator} ${of(type)})`);
}

const COMPARED: readonly Type[] = ["int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration"];

const PRODUCTIONS: Readonly<Record<Type, readonly Production[]>> = {
  int: [
    ...arithmetic("int", "+ - * / % %"),
    (of) => `-(${of("int")})`,
    (of, { choices }) => `int(${of(choices.of(["uint", "double", "string", "timestamp", "int"]))})`,
    (of, { choices }) => `size(${of(choices.of(["string", "bytes", "ints", "map"]))})`,
    (of, { choices }) => `${of("timestamp")}.${choices.of(PARTS.split(" "))}(${choices.of(ZONES)})`,
    (of, { choices }) => `${of("duration")}.${choices.of(PARTS.split(" ").slice(6))}()`,
    (of) => `${of("ints")}[${of("int")}]`,
    (of) => `${of("map")}[${of("string")}]`,
  ],
  uint: [
    ...arithmetic("uint", "+ - * / % %"),
    (of, { choices }) => `shard_hash(${of(choices.of(["int", "uint", "string", "bytes"]))})`,
    (of, { choices }) =>
      `shard_hash(${of(choices.of(["int", "uint", "string", "bytes"]))}) % ${
        choices.of(["8", "1", "1000003", "2147483648", "4294967296"])
      }u`,
    (of, { choices }) => `uint(${of(choices.of(["int", "double", "string", "uint"]))})`,
  ],
  double: [
    ...arithmetic("double", "+ - * /"),
    (of) => `-(${of("double")})`,
    (of, { choices }) => `double(${of(choices.of(["int", "uint", "string", "double"]))})`,
  ],
  string: [
    ...arithmetic("string", "+ +"),
    (of, { choices }) =>
      `string(${of(choices.of(["int", "uint", "double", "bool", "bytes", "timestamp", "duration", "string"]))})`,
  ],
  bytes: [...arithmetic("bytes", "+"), (of, { choices }) => `bytes(${of(choices.of(["string", "bytes"]))})`],
  bool: [
    (of) => `(${of("bool")} && ${of("bool")})`,
    (of) => `(${of("bool")} || ${of("bool")})`,
    (of) => `!(${of("bool")})`,
    (of, { choices }) => {
      const type = choices.of(COMPARED);
      return `(${of(type)} ${choices.of(["==", "!=", "<", "<=", ">", ">="])} ${of(type)})`;
    },
    (of, { choices }) => `${of("string")}.${choices.of(["startsWith", "endsWith", "contains"])}(${of("string")})`,
    (of, { choices }) => `${of("string")}.matches(${choices.of(PATTERNS)})`,
    (of) => `(${of("int")} in ${of("ints")})`,
    (of) => `(${of("string")} in ${of("texts")})`,
    (of) => `(${of("string")} in ${of("map")})`,
    (of) => `has(${of("map")}.us)`,
    (of) => `(${of("ints")} == ${of("ints")})`,
    (of) => `(${of("map")} != ${of("map")})`,
    (of) => `bool(${of("string")})`,
    macro("all", "bool"),
    macro("exists", "bool"),
    macro("exists_one", "bool"),
  ],
  timestamp: [
    (of) => `timestamp(${of("int")})`,
    (of) => `(${of("timestamp")} + ${of("duration")})`,
    (of) => `(${of("timestamp")} - ${of("duration")})`,
    (of) => `(${of("duration")} + ${of("timestamp")})`,
    (of) => `timestamp(string(${of("timestamp")}))`,
  ],
  duration: [
    ...arithmetic("duration", "+ -"),
    (of) => `(${of("timestamp")} - ${of("timestamp")})`,
    (of) => `duration(string(${of("duration")}))`,
  ],
  ints: [
    ...arithmetic("ints", "+"),
    (of) => `[${of("int")}, ${of("int")}]`,
    macro("map", "int"),
    macro("filter", "bool"),
  ],
  texts: [...arithmetic("texts", "+"), (of) => `[${of("string")}, ${of("string")}]`],
  map: [(of) => `{${of("string")}: ${of("int")}, 'k': 1}`],
};
