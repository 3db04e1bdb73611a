/**
 * The options of the explorer.
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError } from "../errors.ts";
import {
  anyFunction,
  checkFields,
  clockCheck,
  nonEmptyString,
  objectOf,
  optional,
  storeCheck,
} from "../option_fields.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import type { ManifestStore } from "../snapshots/manifest_store.ts";
import type { ObjectStore, ReadableStore } from "../stores/store.ts";

/** Options of `explorerHandler`. */
export interface ExplorerOptions {
  /** The reader that serves. It stays the caller's: the explorer refreshes it after a roll back and never closes it. */
  readonly reader: SnapshotReader;
  /** The place of the snapshot series. History and roll back need a store that can list and write. */
  readonly store: ObjectStore | ReadableStore;
  /** Where manifests and the pointer are kept. Default: in `store`. */
  readonly manifestStore?: ManifestStore | undefined;
  /** Key of the pointer in the store. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /** As for `openSnapshot`. */
  readonly resolveStore?: ((url: string) => ReadableStore) | undefined;
  /** What a roll back must send as a bearer token, 16 characters at least. Default: there is no roll back. */
  readonly token?: string | undefined;
  /** What all else that shows data must send as a bearer token. Default: everybody may look. */
  readonly readToken?: string | undefined;
  /** What the page calls the series. Default: the last part of the store's URL. */
  readonly title?: string | undefined;
  /** Is told of what clients are not told: failures of the store, damage. */
  readonly onError?: ((error: unknown, request: Request) => void) | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** Options with defaults filled in. */
export interface ExplorerPlace extends ExplorerOptions {
  readonly pointerKey: string;
  readonly clock: Clock;
}

/** What a header can carry. */
const TOKEN = /^[\x21-\x7e]+$/;

/** Checked below, as errors must not show it. */
const anything = (): null => null;

const CHECKS = {
  reader: objectOf("a reader, as openSnapshot gives it", "get", "info", "refresh", "stats"),
  store: storeCheck,
  manifestStore: optional(objectOf("a manifest store", "loadCurrent", "list", "setCurrent")),
  pointerKey: optional(nonEmptyString),
  resolveStore: optional(anyFunction),
  token: anything,
  readToken: anything,
  title: optional(nonEmptyString),
  onError: optional(anyFunction),
  clock: optional(clockCheck),
};

/**
 * Checks the options and fills in defaults.
 *
 * @throws {ConfigValidationError} naming the first wrong option.
 */
export function checkExplorerOptions(options: ExplorerOptions): ExplorerPlace {
  checkFields(options, "", CHECKS);
  checkToken(options.token, "token", 16);
  checkToken(options.readToken, "readToken", 1);
  return { ...options, pointerKey: options.pointerKey ?? "_CURRENT", clock: options.clock ?? systemClock() };
}

function checkToken(token: unknown, name: string, lengthMin: number): void {
  if (token === undefined || (typeof token === "string" && TOKEN.test(token) && token.length >= lengthMin)) return;
  throw new ConfigValidationError(
    `Cannot use option "${name}" as it must be a text of ${lengthMin} or more ASCII characters without spaces`,
    name,
  );
}
