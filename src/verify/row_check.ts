/**
 * The rows of a shard against what its manifest says of them.
 * @module
 */
import type { Guard } from "../backends/guard.ts";
import { ShardyfusionError } from "../errors.ts";
import { compareBytes, type Key, type KeyEncoding, logicalKey } from "../routing/key.ts";
import type { Router } from "../routing/router.ts";
import type { ShardEntry } from "../snapshots/manifest.ts";
import type { ProblemKind } from "./verify_report.ts";

/** Takes a problem of the shard's file. */
export type ReportProblem = (kind: ProblemKind, message: string, byteOffset?: number) => void;

/** What rows are compared with. */
export interface RowRules {
  readonly shard: ShardEntry;
  readonly keyEncoding: KeyEncoding;
  /** Null where the key alone does not tell the shard. */
  readonly router: Router | null;
  /** What must know all keys; null without one. */
  readonly guard: Guard | null;
  /** Distinct rows that the writer recorded; undefined where it recorded none. */
  readonly distinctRows: number | undefined;
}

const KEY_BYTES: Readonly<Partial<Record<KeyEncoding, number>>> = { u64be: 8, u32be: 4 };

/** Takes the keys of a shard in the order in which they stand. */
export class RowCheck {
  rowCount = 0;
  readonly #rules: RowRules;
  readonly #report: ReportProblem;
  readonly #keyBytes: number | undefined;
  #first: Uint8Array | undefined;
  #last: Uint8Array | undefined;

  constructor(rules: RowRules, report: ReportProblem) {
    this.#rules = rules;
    this.#report = report;
    this.#keyBytes = KEY_BYTES[rules.keyEncoding];
  }

  /** Takes a key, which must not change any more; `byteOffset` says where its row begins. */
  add(key: Uint8Array, byteOffset: number): void {
    const { guard, keyEncoding } = this.#rules;
    this.rowCount++;
    if (this.#last !== undefined && compareBytes(this.#last, key) >= 0) {
      this.#report("order", `key ${shownKey(key)} stands behind ${shownKey(this.#last)}`, byteOffset);
    }
    this.#first ??= key;
    this.#last = key;
    if (this.#keyBytes !== undefined && key.length !== this.#keyBytes) {
      const message = `key ${
        shownKey(key)
      } is ${key.length} bytes long: keys of "${keyEncoding}" have ${this.#keyBytes}`;
      this.#report("key", message, byteOffset);
      return;
    }
    this.#checkRoute(key, byteOffset);
    if (guard !== null && !guard.mayContain(key)) {
      this.#report("guard", `key ${shownKey(key)} is in the shard, but its guard says that it is not`, byteOffset);
    }
  }

  /** Compares the rows with what the manifest says of all of them; to be called after the last one. */
  finish(): void {
    const { shard, distinctRows } = this.#rules;
    const { rowCount } = this;
    if (distinctRows !== undefined && rowCount !== distinctRows) {
      this.#report("count", `there are ${rowCount} rows: the manifest records ${distinctRows} distinct ones`);
    }
    if (rowCount > shard.rowCount) {
      this.#report("count", `there are ${rowCount} rows: the manifest says that ${shard.rowCount} were written`);
    } else if (rowCount === 0 && shard.rowCount > 0) {
      this.#report("count", `there is no row: the manifest says that ${shard.rowCount} were written`);
    }
    this.#checkBound("minKey", "smallest", [shard.minKey, this.#first]);
    this.#checkBound("maxKey", "largest", [shard.maxKey, this.#last]);
  }

  #checkRoute(key: Uint8Array, byteOffset: number): void {
    const { router, shard } = this.#rules;
    if (router === null) return;
    try {
      const shardId = router.route(this.#routedKey(key));
      if (shardId === shard.shardId) return;
      this.#report("route", `key ${shownKey(key)} belongs into shard ${shardId}`, byteOffset);
    } catch (error) {
      if (!(error instanceof ShardyfusionError)) throw error;
      this.#report("key", `key ${shownKey(key)} belongs into no shard: ${error.message}`, byteOffset);
    }
  }

  /** What is routed like the key that was written; byte strings go where their text goes. */
  #routedKey(key: Uint8Array): Key {
    if (this.#keyBytes === undefined) return key;
    const view = new DataView(key.buffer, key.byteOffset, key.length);
    if (key.length === 4) return view.getUint32(0);
    const high = view.getUint32(0);
    return high < 0x20_0000 ? high * 0x1_0000_0000 + view.getUint32(4) : view.getBigUint64(0);
  }

  #checkBound(
    kind: "minKey" | "maxKey",
    word: string,
    [stated, stored]: readonly [ShardEntry["minKey"], Uint8Array | undefined],
  ): void {
    if (stated === null) return;
    if (stored === undefined) {
      return this.#report(kind, `there is no row: the manifest says that the ${word} key is ${shownStated(stated)}`);
    }
    if (this.#keyBytes !== undefined && stored.length !== this.#keyBytes) return;
    const found = logicalKey(this.#rules.keyEncoding, stored);
    // Bytes that are no text have no form in a manifest.
    if (found === null || found === stated) return;
    this.#report(kind, `the ${word} key is ${shownStated(found)}: the manifest says ${shownStated(stated)}`);
  }
}

function shownStated(key: bigint | string): string {
  return typeof key === "string" ? JSON.stringify(key) : String(key);
}

/** A stored key in hex digits, cut where it is long. */
function shownKey(key: Uint8Array): string {
  const digits = Array.from(key.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `x'${digits}${key.length > 16 ? "…" : ""}'`;
}
