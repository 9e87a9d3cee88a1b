// How the Studio is connected: what the pill in the top bar says.

import { Watched } from "./store";

export type Connection =
  | { state: "connecting" }
  | { state: "live"; ms: number | null }
  | { state: "reconnecting"; attempt: number; at: number }
  /** Of so many events that were missed, so many are here. */
  | { state: "catching-up"; done: number; of: number }
  | { state: "caught-up"; events: number; seconds: number }
  /** The server puts pieces of text together, since they cannot be taken as fast as they come. */
  | { state: "slow" }
  /** Some of what was followed is no longer kept: it was read anew. */
  | { state: "gap" }
  | { state: "offline" }
  | { state: "signed-out" }
  | { state: "version"; version: string };

export const connection = new Watched<Connection>({ state: "connecting" });

/** When the server was last heard, in milliseconds since 1970. */
export const lastHeard = new Watched<number | null>(null);

/** How long what passes stays to be read. */
const SHOWN_MS = 5_000;
/** Time in which merged pieces are counted, and how many of them to an event are a slow view. */
const PIECES_MS = 1_000;
const PIECES_SLOW = 8;

let version: string | null = null;
let ms: number | null = null;

/** An answer or a frame came in. */
export function heard() {
  lastHeard.set(Date.now());
}

/** The socket is open, and nothing was missed. */
export function live(latency: number | undefined) {
  heard();
  ms = latency ?? ms;
  if (connection.get().state !== "version") connection.set({ state: "live", ms: rounded() });
}

/** What being caught up with does not put aside. */
const ABOVE = new Set<Connection["state"]>(["version", "gap"]);

/** The socket is open again, and what was missed comes in. */
export function catchingUp(done: number, of: number) {
  heard();
  if (!ABOVE.has(connection.get().state)) connection.set({ state: "catching-up", done, of });
}

/** What was missed is here; `since` is when the socket was lost. */
export function caughtUp(events: number, since: number) {
  heard();
  if (!ABOVE.has(connection.get().state)) passing({ state: "caught-up", events, seconds: (Date.now() - since) / 1000 });
}

/** What was missed is gone, and everything that is shown of it was read anew. */
export function trimmed() {
  if (connection.get().state !== "version") passing({ state: "gap" });
}

let counted = { at: 0, events: 0, pieces: 0 };

/** An event of text came in that stands for so many pieces. */
export function merged(pieces: number) {
  const now = Date.now();
  if (now - counted.at > PIECES_MS) counted = { at: now, events: 0, pieces: 0 };
  counted.events += 1;
  counted.pieces += pieces;
  const { state } = connection.get();
  if ((state === "live" || state === "slow") && counted.events > 1 && counted.pieces >= PIECES_SLOW * counted.events) passing({ state: "slow" });
}

let passes: ReturnType<typeof setTimeout> | undefined;

/** A state that is live again after a while. */
function passing(to: Connection & { state: "caught-up" | "slow" | "gap" }) {
  if (connection.get().state !== to.state) connection.set(to);
  clearTimeout(passes);
  passes = setTimeout(() => {
    if (connection.get().state === to.state) connection.set({ state: "live", ms: rounded() });
  }, SHOWN_MS);
}

export function latency(latency: number | undefined) {
  heard();
  ms = latency ?? ms;
  if (connection.get().state === "live") connection.set({ state: "live", ms: rounded() });
}

function rounded(): number | null {
  return ms === null ? null : Math.max(1, Math.round(ms));
}

/** The socket is lost, and tried again at a time in milliseconds since 1970. */
export function reconnecting(attempt: number, at: number) {
  const now = connection.get().state;
  if (now === "signed-out") return;
  connection.set(navigator.onLine ? { state: "reconnecting", attempt, at } : { state: "offline" });
}

/** The version that the server says it has. */
export function seen(found: string) {
  if (version !== null && version !== found) connection.set({ state: "version", version: found });
  else version = found;
}

export function signedOut() {
  connection.set({ state: "signed-out" });
}

export function signedIn() {
  connection.set({ state: "connecting" });
}

window.addEventListener("offline", () => connection.set({ state: "offline" }));
