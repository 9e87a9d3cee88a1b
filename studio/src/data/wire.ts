// What went over the wire in this tab: requests, and frames of streams. Read by the screen Wire.

import { Watched } from "./store";

export interface WireEntry {
  id: number;
  /** Milliseconds since 1970. */
  at: number;
  direction: "out" | "in";
  kind: "request" | "frame";
  /** Path of the request or stream. */
  path: string;
  /** Method and status of a request, name of a frame. */
  name: string;
  status?: number;
  /** Time to the head of the answer, in milliseconds. */
  took?: number;
  /** Number of a frame in its stream. */
  seq?: string;
  thread?: string;
  bytes?: number;
  /** The beginning of the content. */
  summary: string;
}

/** Entries kept; older ones are forgotten first. */
export const WIRE_ENTRIES_MAX = 5_000;
/** Characters of content kept with an entry. */
const SUMMARY_CHARS_MAX = 400;

export const wire = new Watched<readonly WireEntry[]>([]);
export const wirePaused = new Watched(false);

let nextId = 1;
let buffer: WireEntry[] = [];
let flushing = false;

/** Notes an entry. Cheap: the list is replaced once per turn of the event loop. */
export function note(entry: Omit<WireEntry, "id" | "at">): WireEntry {
  const summary = entry.summary.slice(0, SUMMARY_CHARS_MAX);
  const noted = { ...entry, summary: masked(summary), id: nextId++, at: Date.now() };
  if (wirePaused.get()) return noted;
  buffer.push(noted);
  if (!flushing) {
    flushing = true;
    setTimeout(() => {
      flushing = false;
      const added = buffer;
      buffer = [];
      wire.update((entries) => [...entries, ...added].slice(-WIRE_ENTRIES_MAX));
    }, 100);
  }
  return noted;
}

export function clearWire() {
  buffer = [];
  wire.set([]);
}

/** Keys whose values are secrets wherever they occur. */
const SECRET = /("(?:api_?key|token|secret|password|authorization|x-api-key)"\s*:\s*)"(?:[^"\\]|\\.)*"?/gi;

/** The text without the values of secrets. */
export function masked(text: string): string {
  return text.replace(SECRET, '$1"…"');
}
