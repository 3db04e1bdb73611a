/**
 * The theme that somebody chose here before, set before the page is drawn.
 * @module
 */

/** Served at `/ui/theme.js`, as a script that the page waits for. */
export const themeJs: string = String.raw`"use strict";
try {
  const theme = localStorage.getItem("shardy-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme is taken.
}
`;
