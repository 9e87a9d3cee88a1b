// Keys. A screen says which it has while it is shown; the help lists them from here.

import { useEffect, useRef } from "react";
import { Watched } from "../data/store";
import { preferences } from "./preferences";

export interface Shortcut {
  /** As in `g h`, `?`, `Mod+k`, `Shift+[`. `Mod` is Command on a Mac, else Control. */
  keys: string;
  label: string;
  run: () => void;
}

interface Group {
  title: string;
  shortcuts: Shortcut[];
}

export const groups = new Watched<readonly Group[]>([]);

/** Time in which the second key of `g h` has to come. */
const SEQUENCE_MS = 1_000;
let first: { key: string; at: number } | null = null;

const isMac = /Mac|iP(hone|ad)/.test(navigator.platform);
export const modKey = isMac ? "⌘" : "Ctrl";

/** Offers shortcuts while the component is there. */
export function useShortcuts(title: string, shortcuts: Shortcut[]) {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  const shape = shortcuts.map((it) => `${it.keys}\n${it.label}`).join("\n");
  useEffect(() => {
    const group: Group = {
      title,
      shortcuts: latest.current.map((it, place) => ({
        ...it,
        run: () => latest.current[place]?.run(),
      })),
    };
    groups.update((all) => [...all, group]);
    return () => groups.update((all) => all.filter((it) => it !== group));
  }, [title, shape]);
}

function isField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
    !(target instanceof HTMLInputElement && /^(checkbox|radio|button|range)$/.test(target.type))
  );
}

function nameOf(event: KeyboardEvent): string {
  const mod = event.metaKey || event.ctrlKey ? "Mod+" : "";
  const alt = event.altKey ? "Alt+" : "";
  // The shift of `?` is in the key already; that of a bracket or an arrow is not on all keyboards.
  const code = { BracketLeft: "[", BracketRight: "]" }[event.code];
  const named = code ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const shift = event.shiftKey && (code || /^[a-z]$/.test(named) || event.key.length > 1);
  return `${mod}${alt}${shift ? "Shift+" : ""}${named}`;
}

function find(keys: string): Shortcut | undefined {
  // The newest group wins: a dialog over the screen under it.
  for (const group of [...groups.get()].reverse()) {
    const found = group.shortcuts.find((it) => it.keys === keys);
    if (found) return found;
  }
  return undefined;
}

window.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  const name = nameOf(event);
  const withMod = name.startsWith("Mod+") || name.startsWith("Alt+");
  if (!withMod && name !== "Escape") {
    if (!preferences.get().shortcuts || isField(event.target)) return;
    // Widgets with keys of their own.
    const role = (event.target as HTMLElement | null)?.closest?.("[role=menu],[role=listbox],dialog");
    if (role && name !== "?") return;
  }
  const sequence = first && event.timeStamp - first.at < SEQUENCE_MS ? `${first.key} ${name}` : null;
  const shortcut = (sequence && find(sequence)) || find(name);
  first = !sequence && name === "g" ? { key: "g", at: event.timeStamp } : null;
  if (shortcut) {
    event.preventDefault();
    shortcut.run();
  }
});
