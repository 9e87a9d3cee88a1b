// Filters of the list of threads that were given a name, kept in this browser.

import { Watched } from "./store";

export interface SavedFilter {
  name: string;
  /** As in the address, without a question mark. */
  query: string;
}

const KEY = "genesis-mesh.thread-filters";
/** Filters that are kept. */
export const FILTERS_MAX = 30;

export const savedFilters = new Watched<readonly SavedFilter[]>(read());

function read(): SavedFilter[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    if (!Array.isArray(kept)) return [];
    return kept.filter((it) => typeof it?.name === "string" && typeof it?.query === "string").slice(0, FILTERS_MAX);
  } catch {
    return [];
  }
}

function write(filters: readonly SavedFilter[]) {
  savedFilters.set(filters);
  try {
    localStorage.setItem(KEY, JSON.stringify(filters));
  } catch {
    // They then hold until the page is left.
  }
}

/** Keeps a filter under a name; the one that had it goes. */
export function saveFilter(name: string, query: string) {
  write([...savedFilters.get().filter((it) => it.name !== name), { name, query }]
    .sort((a, b) => a.name.localeCompare(b.name)).slice(0, FILTERS_MAX));
}

export function forgetFilter(name: string) {
  write(savedFilters.get().filter((it) => it.name !== name));
}
