/**
 * Which functions there are, for which types, and what they give.
 *
 * Exactly what the engine that Python uses has, as far as its answers can be had exactly: an overload that is missing
 * here is refused when an expression is compiled.
 * @module
 */
import { type CelType, type ScalarType, unify } from "./cel_type.ts";

const TIME_PARTS =
  "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds getMilliseconds";

/** `arguments:result` of functions and operators whose types have no parameters. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  "+": "int,int:int uint,uint:uint double,double:double string,string:string bytes,bytes:bytes " +
    "timestamp,duration:timestamp duration,timestamp:timestamp duration,duration:duration",
  "-": "int,int:int uint,uint:uint double,double:double timestamp,timestamp:duration timestamp,duration:timestamp " +
    "duration,duration:duration",
  "*": "int,int:int uint,uint:uint double,double:double",
  "/": "int,int:int uint,uint:uint double,double:double",
  "%": "int,int:int uint,uint:uint",
  "neg": "int:int double:double",
  "!": "bool:bool",
  "&&": "bool,bool:bool",
  "||": "bool,bool:bool",
  "size": "string:int bytes:int",
  "matches": "string,string:bool",
  "int": "int:int uint:int double:int string:int timestamp:int",
  "uint": "uint:uint int:uint double:uint string:uint",
  "double": "double:double int:double uint:double string:double",
  "string": "string:string int:string uint:string double:string bool:string bytes:string timestamp:string " +
    "duration:string",
  "bytes": "bytes:bytes string:bytes",
  "bool": "bool:bool string:bool",
  "timestamp": "timestamp:timestamp string:timestamp int:timestamp",
  "duration": "duration:duration string:duration",
  "shard_hash": "int:uint uint:uint string:uint bytes:uint",
};

/** The same for methods: the target is the first argument. */
const METHODS: Readonly<Record<string, string>> = {
  size: FUNCTIONS.size!,
  matches: FUNCTIONS.matches!,
  startsWith: "string,string:bool",
  endsWith: "string,string:bool",
  contains: "string,string:bool",
  ...Object.fromEntries(TIME_PARTS.split(" ").map((name) => [name, "timestamp:int timestamp,string:int"])),
  getHours: "timestamp:int timestamp,string:int duration:int",
  getMinutes: "timestamp:int timestamp,string:int duration:int",
  getSeconds: "timestamp:int timestamp,string:int duration:int",
  getMilliseconds: "timestamp:int timestamp,string:int duration:int",
};

const ORDERED = new Set<CelType>(
  ["bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "none"] satisfies ScalarType[],
);

/** True for types that keys of maps may have. */
export function isMapKey(type: CelType): boolean {
  return type === "int" || type === "uint" || type === "bool" || type === "string" || type === "none";
}

/** True when there is a function, or a method, of that name for whatever types. */
export function isKnown(name: string, isMethod: boolean): boolean {
  return Object.hasOwn(isMethod ? METHODS : FUNCTIONS, name) || (!isMethod && (name === "type" || name === "dyn"));
}

/** The type of what a function or operator gives for arguments of these types; null when it does not take them. */
export function resultType(name: string, args: readonly CelType[], isMethod: boolean): CelType | null {
  const listed = isMethod ? METHODS : FUNCTIONS;
  if (Object.hasOwn(listed, name)) {
    const result = listedResult(listed[name]!, args);
    if (result !== null) return result;
  }
  const [first, second] = args;
  if (first === undefined) return null;
  if (second === undefined) {
    if (name === "type" && !isMethod) return "type";
    // It puts off to run time which types meet. Where the same ones meet that are known here, nothing changes.
    if (name === "dyn" && !isMethod) return first;
    return name === "size" && typeof first !== "string" ? "int" : null;
  }
  return args.length === 2 ? binaryResult(name, first, second) : args.length === 3 ? ternaryResult(name, args) : null;
}

function listedResult(overloads: string, args: readonly CelType[]): CelType | null {
  for (const overload of overloads.split(" ")) {
    const [parameters, result] = overload.split(":") as [string, ScalarType];
    const wanted = parameters.split(",") as ScalarType[];
    if (wanted.length === args.length && wanted.every((type, i) => unify(type, args[i]!) !== null)) return result;
  }
  return null;
}

function binaryResult(name: string, a: CelType, b: CelType): CelType | null {
  switch (name) {
    case "==":
    case "!=":
      return unify(a, b) === null ? null : "bool";
    case "<":
    case "<=":
    case ">":
    case ">=": {
      const type = unify(a, b);
      return type !== null && ORDERED.has(type) ? "bool" : null;
    }
    case "+":
      return isList(a) && isList(b) ? unify(a, b) : null;
    case "in":
      if (b === "none") return "bool";
      if (typeof b === "string" || (b.kind === "map" && !isMapKey(a))) return null;
      return unify(a, b.kind === "list" ? b.item : b.key) === null ? null : "bool";
    case "index":
      if (a === "none") return "none";
      if (
        typeof a === "string" || (a.kind === "map" && !isMapKey(b)) ||
        unify(a.kind === "list" ? "int" : a.key, b) === null
      ) return null;
      return a.kind === "list" ? a.item : a.value;
    default:
      return null;
  }
}

function isList(type: CelType): boolean {
  return type === "none" || (typeof type !== "string" && type.kind === "list");
}

function ternaryResult(name: string, [condition, yes, no]: readonly CelType[]): CelType | null {
  return name === "?:" && unify(condition!, "bool") !== null ? unify(yes!, no!) : null;
}
