// How the Studio is connected: what the pill in the top bar says.

import { Watched } from "./store";

export type Connection =
  | { state: "connecting" }
  | { state: "live"; ms: number | null }
  | { state: "reconnecting"; attempt: number; at: number }
  | { state: "caught-up"; seconds: number }
  | { state: "offline" }
  | { state: "signed-out" }
  | { state: "version"; version: string };

export const connection = new Watched<Connection>({ state: "connecting" });

/** When the server was last heard, in milliseconds since 1970. */
export const lastHeard = new Watched<number | null>(null);

/** How long "caught up" stays to be read. */
const CAUGHT_UP_SHOWN_MS = 5_000;

let version: string | null = null;
let ms: number | null = null;

/** An answer or a frame came in. */
export function heard() {
  lastHeard.set(Date.now());
}

/** The socket is open; `since` is when it was lost. */
export function live(latency: number | undefined, since: number | null) {
  heard();
  ms = latency ?? ms;
  const now = connection.get().state;
  if (now === "version") return;
  if (since === null) {
    connection.set({ state: "live", ms: rounded() });
    return;
  }
  connection.set({ state: "caught-up", seconds: (Date.now() - since) / 1000 });
  setTimeout(() => {
    if (connection.get().state === "caught-up") connection.set({ state: "live", ms: rounded() });
  }, CAUGHT_UP_SHOWN_MS);
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
