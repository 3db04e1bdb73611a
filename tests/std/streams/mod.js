// Bun and Node find `@std/streams` here: the npm copy of the package that is `jsr:@std/streams` when published.
export * from "deno-std/streams/mod.js";
