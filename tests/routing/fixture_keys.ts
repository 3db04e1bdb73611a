/**
 * Keys as the Python-made vectors write them.
 * @module
 */
import { readFileSync } from "node:fs";
import type { Key } from "../../src/routing/key.ts";

/** A key with its Python type; integers in decimal, bytes in hex. */
export interface FixtureKey {
  type: "int" | "string" | "bytes" | "double" | "bool" | "null";
  value: string | boolean | null;
}

/** One file of the vectors. */
export function fixtureVectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/vectors/${name}.json`, import.meta.url), "utf8"));
}

/** The key; what is none in TypeScript passes for one, to see it refused. */
export function keyOf({ type, value }: FixtureKey): Key {
  if (type === "int") return BigInt(String(value));
  if (type === "bytes") return bytesOf(String(value));
  if (type === "double") return Number(value);
  return value as string;
}

/** Bytes from hex digits. */
export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}

/** Bytes as hex digits. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
