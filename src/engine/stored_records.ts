/**
 * What tasks have left in the store as small objects, for whoever publishes.
 * @module
 */
import type { ObjectStore } from "../stores/store.ts";

/** Requests under way at a time: a job of ten thousand tasks is read in seconds, not minutes. */
export const REQUESTS_AT_ONCE = 16;

/** A record. */
export interface StoredRecord {
  readonly key: string;
  readonly text: string;
}

/** All records below a folder, by key. Costs a LIST, and a GET for each. */
export async function loadRecords(
  folder: string,
  { store, signal }: { readonly store: ObjectStore; readonly signal?: AbortSignal | undefined },
): Promise<StoredRecord[]> {
  const keys: string[] = [];
  for await (const page of store.list(`${folder}/`, { signal })) keys.push(...page.map(({ key }) => key));
  const records: StoredRecord[] = [];
  for (let at = 0; at < keys.length; at += REQUESTS_AT_ONCE) {
    const group = keys.slice(at, at + REQUESTS_AT_ONCE);
    records.push(
      ...await Promise.all(group.map(async (key) => {
        const { body } = await store.get(key, { signal });
        return { key, text: await new Response(body).text() };
      })),
    );
  }
  return records;
}
