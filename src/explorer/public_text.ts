/**
 * Texts that leave the process: without the place where objects lie.
 * @module
 */

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A text in which the store's URL, which may be a path on this machine, is left out. */
export function publicText(text: string, { url }: { readonly url: string }): string {
  const path = url.startsWith("file://") ? decodedPath(url) : url;
  return text.replaceAll(url, "…").replaceAll(path, "…");
}

/** What a series is called: the last part of its store's URL. */
export function seriesName({ url }: { readonly url: string }): string {
  const name = url.replace(/[?#].*$/, "").replace(/\/+$/, "").split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function decodedPath(url: string): string {
  try {
    return decodeURIComponent(new URL(url).pathname);
  } catch {
    return url;
  }
}
