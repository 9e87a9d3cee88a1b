// Light or dark: the reader's choice, or the system's.

import { preferences } from "./preferences";

const system = window.matchMedia("(prefers-color-scheme: dark)");

function show() {
  const chosen = preferences.get().theme;
  const dark = chosen === "dark" || (chosen === "system" && system.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

/** Shows the theme, now and whenever the choice or the system's changes. */
export function applyTheme() {
  show();
  system.addEventListener("change", show);
  preferences.subscribe(show);
}
