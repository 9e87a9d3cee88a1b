// What the reader has chosen for this browser. Kept here and nowhere else.

import { useSyncExternalStore } from "react";

export interface Preferences {
  theme: "system" | "light" | "dark";
  /** Shortcuts of a single key. */
  shortcuts: boolean;
  /** The rail shows its words. */
  railOpen: boolean;
  /** How this person is called where something is assigned or answered. */
  name: string;
}

const KEY = "genesis-mesh.preferences";
const DEFAULTS: Preferences = { theme: "system", shortcuts: true, railOpen: true, name: "" };

function read(): Preferences {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    // Storage may be forbidden or hold something else: then nothing was chosen.
    return DEFAULTS;
  }
}

let current = read();
const listeners = new Set<() => void>();

export const preferences = {
  get: () => current,
  set(change: Partial<Preferences>) {
    current = { ...current, ...change };
    try {
      localStorage.setItem(KEY, JSON.stringify(current));
    } catch {
      // It then holds for this tab only.
    }
    for (const listener of listeners) listener();
  },
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

export function usePreferences(): Preferences {
  return useSyncExternalStore(preferences.subscribe, preferences.get);
}
