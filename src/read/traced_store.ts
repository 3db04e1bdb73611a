/**
 * A store whose GET requests are spans.
 * @module
 */
import { traced, type Tracer } from "../spans.ts";
import type { ReadableStore } from "../stores/store.ts";

/**
 * The same store, traced: `shardyfusion.store.get` until an answer begins, `shardyfusion.store.get_ranges` until all
 * ranges have come. All else that the store can do is left as it is.
 */
export function tracedStore<S extends ReadableStore>(inner: S, tracer: Tracer): S {
  const get: ReadableStore["get"] = (key, options) =>
    traced(tracer, { name: "shardyfusion.store.get", attributes: { url: `${inner.url}/${key}` } }, async (note) => {
      const stored = await inner.get(key, options);
      note({ "size_bytes": stored.sizeBytes });
      return stored;
    });
  const getIfChanged: NonNullable<ReadableStore["getIfChanged"]> = (key, etag, options) =>
    traced(tracer, { name: "shardyfusion.store.get", attributes: { url: `${inner.url}/${key}` } }, async (note) => {
      const stored = await inner.getIfChanged!(key, etag, options);
      note(stored === null ? { "is_changed": false } : { "is_changed": true, "size_bytes": stored.sizeBytes });
      return stored;
    });
  const getRanges: ReadableStore["getRanges"] = (key, ranges, options) => {
    const attributes = {
      url: `${inner.url}/${key}`,
      "range_count": ranges.length,
      "size_bytes": ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
    };
    return traced(
      tracer,
      { name: "shardyfusion.store.get_ranges", attributes },
      () => inner.getRanges(key, ranges, options),
    );
  };
  const replaced: Readonly<Record<PropertyKey, unknown>> = {
    get,
    getRanges,
    ...(inner.getIfChanged === undefined ? {} : { getIfChanged }),
  };
  // What stores can do beside that differs, and is asked by looking whether there is such a method.
  return new Proxy(inner, {
    get(target, name) {
      if (Object.hasOwn(replaced, name)) return replaced[name];
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}
