/**
 * The page: its landmarks and what is the same for every snapshot. The modules beside it fill it in.
 * @module
 */

/** Served at `/`. Addresses are relative, so that the page may lie behind a prefix. */
export const indexHtml: string = String.raw`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Snapshot</title>
<link rel="icon" href="ui/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="ui/style.css">
<script src="ui/theme.js"></script>
<script type="module" src="ui/app.js"></script>
</head>
<body>
<a class="skip" href="#key">Skip to the look-up</a>
<header>
  <img src="ui/icon.svg" alt="" width="28" height="28">
  <h1 id="title">Snapshot</h1>
  <p id="headline"></p>
  <p id="status" class="status"><span class="dot" aria-hidden="true"></span><span id="status-text">loading</span></p>
  <button id="theme" type="button">Theme</button>
</header>
<main>
  <div id="problem" role="alert" hidden></div>
  <section aria-label="Figures">
    <dl id="figures"></dl>
  </section>

  <section id="look-up" aria-labelledby="look-up-title">
    <h2 id="look-up-title">Look-up</h2>
    <form id="look-up-form" autocomplete="off">
      <div class="field grow">
        <label for="key">Key <span id="key-hint" class="quiet"></span></label>
        <input id="key" name="key" type="text" required maxlength="4096" spellcheck="false" autocapitalize="off"
          aria-keyshortcuts="/" enterkeyhint="search" aria-describedby="key-hint">
        <kbd class="slash" aria-hidden="true">/</kbd>
      </div>
      <div id="columns" class="columns"></div>
      <fieldset class="choice" id="state">
        <legend>Range reader</legend>
        <label><input type="radio" name="state" value="warm" checked><span>warm</span></label>
        <label><input type="radio" name="state" value="cold"><span>cold</span></label>
      </fieldset>
      <fieldset class="choice" id="form" hidden>
        <legend>Typed as</legend>
        <label><input type="radio" name="form" value="text" checked><span>text</span></label>
        <label><input type="radio" name="form" value="hex"><span>hex</span></label>
      </fieldset>
      <button type="submit" class="main">Look up</button>
    </form>
    <p id="look-up-told" class="told" role="status"></p>
    <div id="look-up-result"></div>
  </section>

  <div class="columns-2">
    <section id="shards" aria-labelledby="shards-title">
      <div class="head">
        <h2 id="shards-title">Shards</h2>
        <fieldset class="choice" id="measure">
          <legend class="unseen">What the chart shows</legend>
          <label><input type="radio" name="measure" value="rows" checked><span>rows</span></label>
          <label><input type="radio" name="measure" value="bytes"><span>bytes</span></label>
          <label><input type="radio" name="measure" value="beside"><span>guard + sidecar</span></label>
          <label><input type="radio" name="measure" value="requests"><span>GETs</span></label>
        </fieldset>
      </div>
      <p id="shards-note" class="quiet"></p>
      <div id="shards-chart"></div>
      <p id="shards-readout" class="readout"></p>
      <div id="shards-table"></div>
    </section>

    <section id="history" aria-labelledby="history-title">
      <div class="head">
        <h2 id="history-title" tabindex="-1">History</h2>
        <p id="history-note" class="quiet"></p>
      </div>
      <ol id="history-list"></ol>
    </section>
  </div>
</main>
<footer>
  <p><kbd>/</kbd> look up · <kbd>T</kbd> theme · in the chart <kbd>←</kbd> <kbd>→</kbd> choose a shard</p>
</footer>
<p id="announcer" class="unseen" role="status"></p>

<dialog id="roll-back" aria-labelledby="roll-back-title">
  <form id="roll-back-form" method="dialog" autocomplete="off">
    <h2 id="roll-back-title">Roll back</h2>
    <p id="roll-back-text"></p>
    <div class="field">
      <label for="roll-back-token">Token of the server</label>
      <input id="roll-back-token" type="password" required minlength="16" autocomplete="off">
    </div>
    <p id="roll-back-problem" class="wrong" role="alert"></p>
    <p class="buttons">
      <button type="button" id="roll-back-cancel">Cancel</button>
      <button type="submit" class="main danger">Roll back</button>
    </p>
  </form>
</dialog>

<dialog id="sign-in" aria-labelledby="sign-in-title">
  <form id="sign-in-form" method="dialog" autocomplete="off">
    <h2 id="sign-in-title">Who reads here needs a token</h2>
    <div class="field">
      <label for="sign-in-token">Token for reading</label>
      <input id="sign-in-token" type="password" required autocomplete="off">
    </div>
    <p id="sign-in-problem" class="wrong" role="alert"></p>
    <p class="buttons"><button type="submit" class="main">Go on</button></p>
  </form>
</dialog>
</body>
</html>
`;

/** Served at `/ui/icon.svg`. */
export const iconSvg: string = String.raw`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#0f5f74"/>
<g fill="#fff"><rect x="6" y="14" width="4" height="12" rx="1"/><rect x="12" y="8" width="4" height="18" rx="1"/>
<rect x="18" y="11" width="4" height="15" rx="1" fill="#f0b429"/><rect x="24" y="16" width="3" height="10" rx="1"/></g>
</svg>
`;
