// Bun and Node find `@std/yaml` here: the npm copy of the package that is `jsr:@std/yaml` when published.
export * from "deno-std/yaml/mod.js";
