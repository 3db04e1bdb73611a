/**
 * Reads the pointer and manifests from a store. Sends GET and nothing else.
 * @module
 */
import { ConfigValidationError, ManifestParseError, ObjectNotFoundError } from "../errors.ts";
import { anyFunction, checkFields, nonEmptyString, optional } from "../option_fields.ts";
import type { ReadableStore } from "../stores/store.ts";
import { joinUrl, keyUnder, manifestKeyOfRef } from "./layout.ts";
import type { Manifest } from "./manifest.ts";
import type { CurrentPointer, ManifestOptions, ManifestReader, PointerOptions } from "./manifest_store.ts";
import { parsePointer, POINTER_BYTES_MAX } from "./pointer.ts";
import { readManifest } from "./read_manifest.ts";

/** Options of {@linkcode objectManifestReader}. */
export interface ManifestReaderOptions {
  /** Key of the pointer in the store. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /**
   * Finds the store of a manifest that lies neither in the store nor under its own `s3_prefix`. It is given the URL of
   * the manifest's folder, and the keys of the store that it gives must begin there. Default: such refs are errors.
   */
  readonly resolveStore?: ((url: string) => ReadableStore) | undefined;
  /** Opens manifests, of very many shards without reading all of them: `openManifest`. Default: reads them whole. */
  readonly open?: OpenManifest | undefined;
}

/** Reads or opens the manifest of a key; the ref is for errors. */
export type OpenManifest = (
  store: ReadableStore,
  place: readonly [key: string, ref: string],
  options: ManifestOptions,
) => Promise<Manifest>;

/** The checks of the options. */
const CHECKS = {
  pointerKey: optional(nonEmptyString),
  resolveStore: optional(anyFunction),
  open: optional(anyFunction),
};

const readWhole: OpenManifest = async (store, [key, ref], { signal }) =>
  await readManifest(await (await store.get(key, { signal })).bytes(), ref);

/**
 * Reads manifests from a store that need not be able to write or to list.
 *
 * A ref under the store's own `url` names an object of the store. Any other ref is looked up in the store by its last
 * three segments, `manifests/…/…`, and counts only when it lies under the `s3_prefix` that the manifest itself states:
 * a copy of a series opens wherever it was copied to.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 */
export function objectManifestReader(store: ReadableStore, options: ManifestReaderOptions = {}): ManifestReader {
  checkFields(options, "", CHECKS);
  const { pointerKey = "_CURRENT", resolveStore, open = readWhole } = options;
  return {
    loadCurrent: (request = {}) => loadPointer(store, pointerKey, request),
    loadManifest: (ref, request = {}) => loadManifest({ store, resolveStore, open }, ref, request),
  };
}

/**
 * The pointer; null when there is none.
 *
 * @throws {ManifestParseError} when it is malformed.
 */
export async function loadPointer(
  store: ReadableStore,
  pointerKey: string,
  request: PointerOptions,
): Promise<CurrentPointer | null> {
  const found = await loadPointerBytes(store, pointerKey, request);
  return found === undefined ? request.known! : found === null ? null : parsePointer(found.bytes, found);
}

/** The pointer unparsed; null when there is none, undefined when it is still the one that is known. */
export async function loadPointerBytes(
  store: ReadableStore,
  pointerKey: string,
  { signal, known }: PointerOptions,
): Promise<{ bytes: Uint8Array; ref: string; version: string | null } | null | undefined> {
  const ref = joinUrl(store.url, pointerKey);
  try {
    const version = known?.version;
    const object = version && store.getIfChanged
      ? await store.getIfChanged(pointerKey, version, { signal })
      : await store.get(pointerKey, { signal });
    if (object === null) return undefined;
    if (object.sizeBytes > POINTER_BYTES_MAX) {
      await object.body.cancel();
      throw new ManifestParseError(
        `Cannot read the pointer "${ref}" as it must be at most ${POINTER_BYTES_MAX} bytes: ` +
          `current value is ${object.sizeBytes}`,
        ref,
      );
    }
    return { bytes: await object.bytes(), ref, version: object.etag };
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
}

interface ManifestPlaces {
  readonly store: ReadableStore;
  readonly resolveStore: ((url: string) => ReadableStore) | undefined;
  readonly open: OpenManifest;
}

async function loadManifest(places: ManifestPlaces, ref: string, request: ManifestOptions): Promise<Manifest> {
  const { store, resolveStore, open } = places;
  const ownKey = keyUnder(store.url, ref);
  if (ownKey !== null) return await open(store, [ownKey, ref], request);
  const mirrored = await loadMirrored(places, ref, request);
  if (mirrored !== null) return mirrored;
  if (resolveStore === undefined) {
    throw new ConfigValidationError(
      `Cannot read the manifest "${ref}" as it must lie under "${store.url}" or under the place that it states: ` +
        "give the option `resolveStore` to say which store has it",
      "resolveStore",
    );
  }
  const nameAt = ref.lastIndexOf("/") + 1;
  return await open(resolveStore(ref.slice(0, Math.max(0, nameAt - 1))), [ref.slice(nameAt), ref], request);
}

/** The manifest, when the store holds a copy of the series that the ref belongs to; else null. */
async function loadMirrored(
  { store, resolveStore, open }: ManifestPlaces,
  ref: string,
  request: ManifestOptions,
): Promise<Manifest | null> {
  const key = manifestKeyOfRef(ref);
  if (key === null) return null;
  try {
    const manifest = await open(store, [key, ref], request);
    return keyUnder(manifest.s3Prefix, ref) === key ? manifest : null;
  } catch (error) {
    if (error instanceof ObjectNotFoundError && resolveStore !== undefined) return null;
    throw error;
  }
}
