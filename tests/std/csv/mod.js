// Bun and Node find `@std/csv` here: the npm copy of the package that is `jsr:@std/csv` when published.
export * from "deno-std/csv/mod.js";
