// How the Studio is connected: what the pill in the top bar says.

import { Watched } from "./store";

export type Connection =
  | { state: "connecting" }
  | { state: "live"; ms: number | null }
  | { state: "reconnecting"; attempt: number; at: number }
  | { state: "caught-up"; events: number; seconds: number }
  | { state: "offline" }
  | { state: "signed-out" }
  | { state: "version"; version: string };

export const connection = new Watched<Connection>({ state: "connecting" });

/** When the server was last heard, in milliseconds since 1970. */
export const lastHeard = new Watched<number | null>(null);

/** Wait before a try, in milliseconds: doubling, at most 15 s, spread so that tabs do not march. */
export function backoff(attempt: number): number {
  return Math.min(500 * 2 ** (attempt - 1), 15_000) * (0.75 + Math.random() * 0.5);
}

/** How long "caught up" stays to be read. */
const CAUGHT_UP_SHOWN_MS = 5_000;

let version: string | null = null;
let retry: ReturnType<typeof setTimeout> | undefined;
let attempt = 0;
let ms: number | null = null;
const waiters = new Set<() => void>();

/** The server has answered. */
export function heard(took?: number) {
  lastHeard.set(Date.now());
  if (took !== undefined) ms = took;
  attempt = 0;
  clearTimeout(retry);
  retry = undefined;
  const now = connection.get().state;
  if (now !== "version" && now !== "signed-out" && now !== "caught-up") {
    connection.set({ state: "live", ms: ms === null ? null : Math.round(ms) });
  }
  for (const waiter of waiters) waiter();
  waiters.clear();
}

/** The server did not answer. Tries to reach it until it does. */
export function lost() {
  if (retry !== undefined) return;
  if (!navigator.onLine) {
    connection.set({ state: "offline" });
    return;
  }
  attempt += 1;
  const wait = backoff(attempt);
  connection.set({ state: "reconnecting", attempt, at: Date.now() + wait });
  retry = setTimeout(() => void reach(), wait);
}

async function reach() {
  retry = undefined;
  const began = performance.now();
  try {
    const response = await fetch("/info", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    seen(((await response.json()) as { version: string }).version);
    heard(performance.now() - began);
  } catch {
    lost();
  }
}

/** Tries now, in place of waiting. */
export function reachNow() {
  clearTimeout(retry);
  retry = undefined;
  void reach();
}

/** The version that the server says it has. */
export function seen(found: string) {
  if (version !== null && version !== found) connection.set({ state: "version", version: found });
  else version = found;
}

/** A feed has read again what it had missed. */
export function caughtUp(events: number, seconds: number) {
  connection.set({ state: "caught-up", events, seconds });
  setTimeout(() => {
    if (connection.get().state === "caught-up") {
      connection.set({ state: "live", ms: ms === null ? null : Math.round(ms) });
    }
  }, CAUGHT_UP_SHOWN_MS);
}

export function signedOut() {
  connection.set({ state: "signed-out" });
}

export function signedIn() {
  connection.set({ state: "connecting" });
}

/** Waits until the server was heard again, or the signal fires. */
export function untilHeard(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      waiters.delete(done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    waiters.add(done);
    signal.addEventListener("abort", done);
  });
}

window.addEventListener("offline", () => connection.set({ state: "offline" }));
window.addEventListener("online", reachNow);
