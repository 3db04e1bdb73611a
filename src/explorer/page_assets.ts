/**
 * The parts of the page, by their paths.
 * @module
 */
import { xxh3Hex } from "../bytes/xxh3.ts";
import { appJs } from "./page/app_js.ts";
import { domJs } from "./page/dom_js.ts";
import { historyJs } from "./page/history_js.ts";
import { iconSvg, indexHtml } from "./page/index_html.ts";
import { keyScaleJs } from "./page/key_scale_js.ts";
import { liveJs } from "./page/live_js.ts";
import { lookUpJs } from "./page/look_up_js.ts";
import { requestsJs } from "./page/requests_js.ts";
import { shardsJs } from "./page/shards_js.ts";
import { styleCss } from "./page/style_css.ts";
import { themeJs } from "./page/theme_js.ts";
import { treeJs } from "./page/tree_js.ts";

/** A part of the page. */
export interface PageAsset {
  readonly text: string;
  /** Its media type. */
  readonly type: string;
  /** A tag of its content. */
  readonly etag: string;
}

const SCRIPT = "text/javascript; charset=utf-8";

/** All parts by path; tags are computed here, so keep the map. */
export function pageAssets(): ReadonlyMap<string, PageAsset> {
  const parts: [path: string, text: string, type: string][] = [
    ["/", indexHtml, "text/html; charset=utf-8"],
    ["/ui/style.css", styleCss, "text/css; charset=utf-8"],
    ["/ui/icon.svg", iconSvg, "image/svg+xml"],
    ["/ui/theme.js", themeJs, SCRIPT],
    ["/ui/app.js", appJs, SCRIPT],
    ["/ui/dom.js", domJs, SCRIPT],
    ["/ui/history.js", historyJs, SCRIPT],
    ["/ui/key_scale.js", keyScaleJs, SCRIPT],
    ["/ui/live.js", liveJs, SCRIPT],
    ["/ui/look_up.js", lookUpJs, SCRIPT],
    ["/ui/requests.js", requestsJs, SCRIPT],
    ["/ui/shards.js", shardsJs, SCRIPT],
    ["/ui/tree.js", treeJs, SCRIPT],
  ];
  return new Map(parts.map(([path, text, type]) => {
    const etag = `"${xxh3Hex(new TextEncoder().encode(text))}"`;
    return [path, { text, type, etag }];
  }));
}
