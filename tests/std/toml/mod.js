// Bun and Node find `@std/toml` here: the npm copy of the package that is `jsr:@std/toml` when published.
export * from "deno-std/toml/mod.js";
