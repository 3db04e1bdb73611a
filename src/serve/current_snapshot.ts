/**
 * The snapshot that answers are of: its tag, and what has to be known of it to understand a request.
 * @module
 */
import type { KeyReader } from "../read/key_reader.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { RoutingSpec } from "../routing/router.ts";
import { tagOf } from "./entity_tag.ts";
import type { CheckedServeOptions } from "./serve_options.ts";

/** What is the same as long as a snapshot is current. */
export interface SnapshotFacts {
  readonly manifestRef: string;
  readonly tag: string;
  readonly keyEncoding: KeyEncoding;
  readonly routing: RoutingSpec;
  /** Whether lookups wait for requests, so that it matters when a client leaves. */
  readonly mayWait: boolean;
  /** Status and headers of a value. */
  readonly valueInit: ResponseInit;
}

/** What was read, and the tag of the snapshot that it is of; null when that cannot be said. */
export interface TaggedRead<T> {
  readonly result: T;
  readonly tag: string | null;
}

/** A snapshot that was replaced this often while one thing was read is replaced for ever. */
const ATTEMPTS = 3;

/** Reads of which it is known what snapshot they are of. */
export class CurrentSnapshot {
  readonly #reader: KeyReader;
  readonly #options: CheckedServeOptions;
  #facts: SnapshotFacts | null = null;

  constructor(reader: KeyReader, options: CheckedServeOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  /** What is known of the snapshot that is current now. */
  get facts(): SnapshotFacts {
    const ref = this.#reader.manifestRef;
    if (this.#facts?.manifestRef === ref) return this.#facts;
    const { keyEncoding, routing, access } = this.#reader.info;
    const tag = tagOf(ref);
    const { contentType, cacheControl } = this.#options;
    return this.#facts = {
      manifestRef: ref,
      tag,
      keyEncoding,
      routing,
      mayWait: access === "range" || access === "hydrate",
      valueInit: {
        headers: {
          "content-type": contentType,
          "etag": tag,
          "cache-control": cacheControl,
          "x-content-type-options": "nosniff",
        },
      },
    };
  }

  /**
   * Reads something, again when another snapshot became current meanwhile: a reader does not tell which of the two its
   * answer is of.
   */
  async read<T>(work: (facts: SnapshotFacts) => Promise<T>): Promise<TaggedRead<T>> {
    for (let attempt = 1;; attempt++) {
      const facts = this.facts;
      const result = await work(facts);
      if (this.#reader.manifestRef === facts.manifestRef) return { result, tag: facts.tag };
      if (attempt === ATTEMPTS) return { result, tag: null };
    }
  }
}
