/**
 * How the page looks: system fonts, two themes, one column on narrow screens.
 * @module
 */

/** Served at `/ui/style.css`. */
export const styleCss: string = String.raw`:root {
  color-scheme: light dark;
  --paper: light-dark(#f5f6f7, #101418);
  --card: light-dark(#ffffff, #181d23);
  --ink: light-dark(#16202a, #e4e9ee);
  --soft: light-dark(#566370, #9aa7b4);
  --line: light-dark(#dde2e7, #2a323b);
  --rail: light-dark(#e6eaee, #29313a);
  --accent: light-dark(#0f6b82, #53b9d1);
  --accent-ink: light-dark(#ffffff, #06222b);
  --accent-pale: light-dark(#dcedf2, #17323b);
  --mark: light-dark(#b45f06, #f0b429);
  --good: light-dark(#187a46, #4cc38a);
  --bad: light-dark(#b3261e, #ff8f85);
  --sidecar: light-dark(#6a4fb3, #b39df3);
  --guard: light-dark(#187a46, #4cc38a);
  --get: light-dark(#b45f06, #f0b429);
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  background: var(--paper);
  color: var(--ink);
  font-variant-numeric: tabular-nums;
}
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] { color-scheme: dark; }
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; }
h1, h2, h3, p, dl, dd, ol, fieldset, figure { margin: 0; padding: 0; }
ol { list-style: none; }
fieldset { border: 0; min-width: 0; }
button, input { font: inherit; color: inherit; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
[hidden] { display: none !important; }
.unseen {
  position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space:
  nowrap;
}
.skip { position: absolute; left: -999px; top: 8px; background: var(--card); padding: 6px 12px; z-index: 2; }
.skip:focus { left: 8px; }
.mono, code, pre, kbd { font-family: var(--mono); font-size: 0.93em; }
.quiet { color: var(--soft); font-weight: 400; }
.wrong { color: var(--bad); overflow-wrap: anywhere; }
kbd {
  border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 4px; padding: 0 5px; background:
  var(--card);
}

header, main, footer { max-width: 1360px; margin: 0 auto; padding: 0 20px; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 12px; padding-top: 16px; padding-bottom: 12px; }
header img { display: block; }
h1 { font-size: 19px; font-weight: 650; letter-spacing: -0.01em; overflow-wrap: anywhere; }
#headline { color: var(--soft); flex: 1 1 260px; }
.status { display: flex; align-items: center; gap: 7px; }
.dot { width: 9px; height: 9px; border-radius: 50%; background: var(--soft); }
[data-status="healthy"] .dot { background: var(--good); }
[data-status="degraded"] .dot { background: var(--mark); }
[data-status="unhealthy"] .dot, [data-status="unreachable"] .dot { background: var(--bad); }
main { display: grid; gap: 14px; grid-template-columns: minmax(0, 1fr); }
main > section, .columns-2 > section {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px;
}
section[aria-label="Figures"] { padding: 0; overflow: hidden; }
h2 { font-size: 14px; font-weight: 650; }
.head { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 6px 16px; }
.columns-2 { display: grid; gap: 14px; grid-template-columns: minmax(0, 2.3fr) minmax(250px, 1fr); align-items: start; }
#problem {
  border: 1px solid var(--bad); border-radius: 8px; padding: 8px 14px; color: var(--bad); overflow-wrap: anywhere;
}
footer { padding-top: 14px; padding-bottom: 24px; color: var(--soft); }

#figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(148px, 1fr)); gap: 1px; background: var(--line);
}
.tile { background: var(--card); padding: 10px 14px 8px; min-width: 0; }
.tile dt { color: var(--soft); font-size: 12px; }
.tile .value { display: block; font-size: 20px; font-weight: 600; letter-spacing: -0.01em; }
.tile .note { display: block; color: var(--soft); font-size: 12px; min-height: 1.45em; }
.spark { display: block; width: 100%; height: 26px; margin-top: 2px; }
.spark .line { fill: none; stroke: var(--accent); stroke-width: 1.4; vector-effect: non-scaling-stroke; }
.spark .area { fill: var(--accent-pale); }

button {
  border: 1px solid var(--line); border-radius: 6px; background: var(--card); padding: 5px 12px; cursor: pointer;
}
button:hover { border-color: var(--soft); }
button:disabled { opacity: 0.55; cursor: default; }
button.main { background: var(--accent); border-color: var(--accent); color: var(--accent-ink); font-weight: 600; }
button.danger { background: var(--bad); border-color: var(--bad); color: light-dark(#ffffff, #3a0a06); }
button.small { padding: 2px 10px; font-size: 12.5px; }
input[type="text"], input[type="password"] {
  width: 100%; border: 1px solid light-dark(#8d99a5, #5c6975); border-radius: 6px; background: var(--paper); padding:
  6px 10px; font-family: var(--mono);
}
#look-up-form { display: flex; flex-wrap: wrap; align-items: end; gap: 10px 14px; margin-top: 8px; }
.field { position: relative; display: grid; gap: 3px; min-width: 0; }
.field.grow { flex: 1 1 300px; }
.field label, .choice legend { font-size: 12px; padding: 0; }
.slash { position: absolute; right: 8px; bottom: 7px; color: var(--soft); font-size: 12px; pointer-events: none; }
input:focus + .slash { visibility: hidden; }
.columns { display: contents; }
.columns .field { flex: 0 1 150px; }
.choice legend { margin-bottom: 3px; }
.choice { display: flex; flex-wrap: wrap; }
.choice label { position: relative; }
.choice input { position: absolute; opacity: 0; inset: 0; margin: 0; cursor: pointer; }
.choice span {
  display: block; border: 1px solid var(--line); padding: 5px 11px; background: var(--card); margin-left: -1px;
}
.choice label:first-of-type span { border-radius: 6px 0 0 6px; margin-left: 0; }
.choice label:last-of-type span { border-radius: 0 6px 6px 0; }
.choice input:checked + span { background: var(--accent-pale); border-color: var(--accent); position: relative; }
.choice input:focus-visible + span { outline: 2px solid var(--accent); outline-offset: 2px; }
#measure span { padding: 2px 9px; font-size: 12.5px; }

.told { margin-top: 10px; overflow-wrap: anywhere; }
.told:empty { display: none; }
.told.found::before, .told.absent::before { content: "●"; margin-right: 7px; color: var(--good); }
.told.absent::before { color: var(--soft); content: "○"; }
[aria-busy="true"] { opacity: 0.6; }
.way {
  display: grid; grid-template-columns: 1fr 1fr 0.95fr 1.45fr 1.35fr; gap: 0 26px; margin-top: 12px; border-top: 1px
  solid var(--line); padding-top: 12px;
}
.step { position: relative; min-width: 0; }
.step h3 { font-size: 12px; font-weight: 600; color: var(--soft); margin-bottom: 2px; }
.step + .step::before { content: "→"; position: absolute; left: -20px; top: 19px; color: var(--soft); font-size: 15px; }
.big { font-size: 15px; font-weight: 600; }
.mono.big { font-size: 14px; overflow-wrap: anywhere; }
.clip { max-height: 4.4em; overflow: auto; }
.facts { display: grid; gap: 1px; margin-top: 4px; }
.facts div { display: flex; flex-wrap: wrap; gap: 0 8px; }
.facts dt { color: var(--soft); font-size: 12.5px; }
.facts dd { overflow-wrap: anywhere; min-width: 0; }
.hex { overflow-wrap: anywhere; word-break: break-word; }
.strip { display: block; width: 100%; height: 14px; margin: 5px 0; }
.rail { fill: var(--rail); }
.here { fill: var(--accent); }
.value-text {
  margin: 6px 0 0; padding: 7px 10px; max-height: 190px; overflow: auto; background: var(--paper); border-radius: 6px;
  border: 1px solid var(--line); white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12.5px;
}
.tree { display: block; width: 100%; max-width: 300px; margin-top: 2px; overflow: visible; }
.tree text { font-size: 11.5px; fill: var(--ink); }
text.tick { fill: var(--soft); font-size: 11px; }
.sheet { fill: var(--rail); }
.cell { stroke: var(--card); stroke-width: 1; }
.lens { fill: var(--accent-pale); opacity: 0.7; }
.taken.sidecar, .get-sidecar { fill: var(--sidecar); background: var(--sidecar); }
.taken.cache { fill: var(--good); }
.taken.get, .get-pages, .get-object { fill: var(--get); background: var(--get); }
.get-guard { fill: var(--guard); background: var(--guard); }
.get-manifest { fill: var(--soft); background: var(--soft); }
.key { font-size: 12px; display: flex; flex-wrap: wrap; align-items: center; gap: 2px 6px; }
.swatch { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 5px; }
.key .swatch { margin-right: 0; }
.swatch.sidecar { background: var(--sidecar); }
.swatch.cache { background: var(--good); }
.swatch.get { background: var(--get); }

table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding-bottom: 4px; }
th, td { text-align: left; padding: 3px 14px 3px 0; border-top: 1px solid var(--line); font-weight: 400; }
thead th { border-top: 0; color: var(--soft); font-size: 12px; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.gets { margin-top: 14px; border-top: 1px solid var(--line); padding-top: 10px; }
.gets tbody th { white-space: nowrap; }
.gets .of { overflow-wrap: anywhere; }
.bar-cell { width: 42%; padding-right: 0; }
.bar-cell svg { display: block; width: 100%; height: 10px; overflow: visible; }
.failed { color: var(--bad); }

#shards-chart { margin-top: 8px; min-height: 168px; }
#shards-chart:empty { display: none; }
.chart { border-radius: 4px; touch-action: pan-y; cursor: crosshair; }
.chart svg { display: block; width: 100%; }
.grid { stroke: var(--line); }
.mean { stroke: var(--mark); stroke-dasharray: 5 4; pointer-events: none; }
.bar .hit { fill: transparent; }
.bar .fill { fill: var(--accent); opacity: 0.72; }
.bar .most { fill: var(--accent); opacity: 0.3; }
.bar:hover .fill { opacity: 0.9; }
.bar.chosen .fill { opacity: 1; }
.bar.chosen .hit { fill: var(--accent-pale); }
.readout { min-height: 2.9em; padding: 2px 0 6px; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; max-height: 420px; overflow-y: auto; }
.scroll thead th { position: sticky; top: 0; background: var(--card); }
thead button { border: 0; background: none; padding: 0; color: inherit; font-size: inherit; }
tbody tr:hover { background: var(--accent-pale); }
.gets tbody tr:hover { background: none; }
.keys { width: 45%; padding-right: 0; }
.range { display: block; overflow-wrap: anywhere; font-family: var(--mono); font-size: 12.5px; }
.extent { display: block; width: 100%; height: 6px; }
.extent .span { fill: var(--accent); }
.more { margin: 8px 0; }

.entry { border-top: 1px solid var(--line); padding: 8px 0 9px; display: grid; gap: 2px; justify-items: start; }
#history-list { margin-top: 8px; max-height: 640px; overflow-y: auto; }
.entry-head { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
.entry-head time { font-weight: 600; }
.badge { font-size: 11.5px; border: 1px solid var(--line); border-radius: 9px; padding: 0 8px; }
.badge.current { border-color: var(--good); color: var(--good); }
.run { overflow-wrap: anywhere; }
.entry .small { margin-top: 4px; }

dialog {
  border: 1px solid var(--line); border-radius: 10px; background: var(--card); color: inherit; padding: 18px 20px;
  width: min(460px, calc(100vw - 32px));
}
dialog::backdrop { background: rgb(0 0 0 / 0.45); }
dialog form { display: grid; gap: 12px; }
dialog p { overflow-wrap: anywhere; }
dialog .wrong:empty { display: none; }
.buttons { display: flex; justify-content: end; gap: 8px; }

@media (max-width: 1080px) {
  .way { grid-template-columns: 1fr 1fr 1fr; gap: 16px 26px; }
  .step:nth-child(4) { grid-column: span 2; }
  .step:nth-child(4)::before { content: none; }
  .columns-2 { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 640px) {
  header, main, footer { padding-left: 12px; padding-right: 12px; }
  .way { grid-template-columns: minmax(0, 1fr); gap: 22px; }
  .step:nth-child(4) { grid-column: auto; }
  .step + .step::before, .step:nth-child(4)::before { content: "↓"; left: 2px; top: -21px; }
  h1 { flex: 1 1 80px; }
  #headline { order: 1; flex-basis: 100%; }
  .wide { display: none; }
  #figures { grid-template-columns: 1fr 1fr; }
  .bar-cell, .bar-head { display: none; }
  #look-up-form .main { flex: 1 1 100px; }
  .slash { display: none; }
}
@media (prefers-reduced-motion: no-preference) {
  .bar .fill { transition: opacity 0.12s; }
}
`;
