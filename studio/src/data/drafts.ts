// What was begun and not sent yet, kept in this browser until it is: answers, requests, texts.

import { useMemo, useSyncExternalStore } from "react";

const PREFIX = "genesis-mesh.draft.";
/** Characters of a draft; a longer one is kept in the page alone. */
const DRAFT_CHARS_MAX = 200_000;

const listeners = new Set<() => void>();

function changed() {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

function raw(name: string): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

function parsed(kept: string | null): unknown {
  try {
    return kept === null ? undefined : JSON.parse(kept);
  } catch {
    return undefined;
  }
}

export const draftOf = (name: string): unknown => parsed(raw(name));

/** What was begun under this name, wherever on the page it is changed. */
export function useDraft(name: string): unknown {
  const kept = useSyncExternalStore(subscribe, () => raw(name));
  return useMemo(() => parsed(kept), [kept]);
}

/** Whether something was begun under this name. */
export function useHasDraft(name: string): boolean {
  return useSyncExternalStore(subscribe, () => raw(name) !== null);
}

export function keepDraft(name: string, value: unknown) {
  try {
    const text = JSON.stringify(value);
    if (text !== undefined && text.length <= DRAFT_CHARS_MAX) localStorage.setItem(PREFIX + name, text);
  } catch {
    // A full or forbidden storage keeps nothing; the page still does.
  }
  changed();
}

export function dropDraft(name: string) {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // As above.
  }
  changed();
}
