// The one socket of this tab: what happens on threads as it happens, and how the connection is.

import { MeshSocket, type Cursor, type MeshEvent, type State, type Subscription } from "../../../clients/socket-ts/mesh-socket";
import * as connection from "./connection";
import { credential } from "./session";
import { note } from "./wire";

/** Characters of a frame that are kept for the screen Wire. */
const NOTED_CHARS = 400;

/** A socket whose frames are noted. */
class NotedSocket extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    this.addEventListener("message", (event) => {
      const text = String(event.data);
      const head = text.slice(0, NOTED_CHARS);
      note({
        direction: "in", kind: "frame", path: "/ws", bytes: text.length, summary: head,
        name: member(head, "kind") ?? member(head, "type") ?? "frame", thread: member(head, "thread_id"),
        seq: /"seq":(\d+)/.exec(head)?.[1],
      });
    });
  }

  override send(data: string) {
    const head = data.slice(0, NOTED_CHARS);
    note({ direction: "out", kind: "frame", path: "/ws", bytes: data.length, summary: head, name: member(head, "op") ?? "frame", thread: member(head, "thread_id") });
    super.send(data);
  }
}

function member(text: string, name: string): string | undefined {
  return new RegExp(`"${name}":"([^"]*)"`).exec(text)?.[1];
}

let socket: MeshSocket | null = null;
let brokenAt: number | null = null;
/** What is followed now. */
const followed = new Set<Subscription>();
/** Since when there was no connection, and how far everything was that was followed then. */
let away: { since: number; from: Map<Subscription, number> } | null = null;
/** Without an event for this long there is nothing more to catch up with, in milliseconds: the last
 * events of a thread may be of a kind that is not followed. */
const QUIET_MS = 1_000;
let quiet: ReturnType<typeof setTimeout> | undefined;
const opened = new Set<() => void>();

/** The socket, which connects when it is first asked for. */
export function mesh(): MeshSocket {
  if (socket) return socket;
  const url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws`;
  socket = new MeshSocket(url, { token: credential() ?? undefined, WebSocket: NotedSocket });
  const own = socket;
  own.on("state", (state) => {
    if (own === socket) tell(state, own);
  });
  return socket;
}

/** Begins anew, as somebody else. Whoever follows something hears it end, and follows it again. */
export function reconnect() {
  socket?.close();
  socket = null;
  mesh();
  for (const listener of opened) listener();
}

/** Hears that there is another socket. */
export function onReconnect(listener: () => void): () => void {
  opened.add(listener);
  return () => opened.delete(listener);
}

/** Tries now, in place of waiting. */
export function retryNow() {
  mesh().retry_now();
}

function tell(state: State, own: MeshSocket) {
  switch (state.kind) {
    case "live":
      if (own.hello) connection.seen(own.hello.version);
      if (brokenAt === null) connection.live(own.latency_ms);
      else comeBack(own, brokenAt);
      brokenAt = null;
      // The first ping is on its way; its answer says how far the server is.
      setTimeout(() => connection.latency(own.latency_ms), 1_000);
      break;
    case "reconnecting":
      brokenAt ??= away?.since ?? Date.now();
      away = null;
      clearTimeout(quiet);
      connection.reconnecting(state.attempt, state.retry_at);
      break;
    case "refused":
      connection.signedOut();
      break;
    default:
  }
}

/** Connected again: tells how far it is with what was missed. */
function comeBack(own: MeshSocket, since: number) {
  away = { since, from: new Map([...followed].map((it) => [it, it.cursor?.seq ?? 0])) };
  connection.catchingUp(0, 0);
  // Its answer comes behind those that say how much was missed.
  own.ping().then(() => progress(), () => {});
}

/** Tells of what was missed, as long as some of it is missing. */
function progress(over = false) {
  if (!away) return;
  let done = 0;
  let of = 0;
  for (const [subscription, from] of away.from) {
    if (!followed.has(subscription) || !subscription.cursor) continue;
    done += Math.max(0, subscription.cursor.seq - from);
    of += Math.max(0, subscription.last - from);
  }
  clearTimeout(quiet);
  if (over || done >= of) {
    connection.caughtUp(done, away.since);
    away = null;
    return;
  }
  connection.catchingUp(done, of);
  quiet = setTimeout(() => progress(true), QUIET_MS);
}

setInterval(() => socket?.state.kind === "live" && connection.latency(socket.latency_ms), 15_000);

// A socket may outlive a short time without a network, and says nothing then.
window.addEventListener("online", () => {
  if (socket?.state.kind === "live") connection.live(socket.latency_ms);
  else socket?.retry_now();
});

/** What is followed of a run. */
const MODES = ["tasks", "messages", "custom"];

/** The events of a run are not kept any more. */
export class Trimmed extends Error {
  constructor() {
    super("what the run told is no longer kept");
    this.name = "Trimmed";
  }
}

/** Events between those that came and those that are kept are gone. */
export class Gap extends Error {
  constructor() {
    super("some of what the run told is no longer kept");
    this.name = "Gap";
  }
}

/**
 * Follows one run from its beginning until it ends. Every event comes once, in order, whatever
 * happens to the connection; `behind` says that there is more already. Throws `Trimmed` when
 * nothing of it is kept, and `Gap` when it has to be followed anew.
 */
export async function followRun(
  thread: string, run: string, onEvent: (event: MeshEvent, behind: boolean) => void, signal: AbortSignal,
): Promise<void> {
  let subscription: Subscription | null = null;
  const stop = () => subscription?.close();
  signal.addEventListener("abort", stop);
  let cursor: Cursor = { seq: 0 } as Cursor;
  let told = false;
  try {
    for (;;) {
      subscription = mesh().subscribe(thread, { cursor, follow: { modes: MODES, run_id: run, merge: true } });
      followed.add(subscription);
      let again: Cursor | null = null;
      for await (const item of subscription) {
        if (signal.aborted) return;
        if (item.type === "event") {
          const behind = item.seq < subscription.last;
          if (away) progress();
          else if (item.kind === "messages" && !behind) connection.merged(item.seq - (item.from ?? item.seq) + 1);
          told = true;
          onEvent(item, behind);
          if (item.kind === "ended" && item.run_id === run) return;
        } else if (item.type === "gap") {
          if (told) throw new Gap();
          // Older runs may be gone while this one is there: from the oldest that is.
          if (item.oldest === undefined || cursor.seq > 0) throw new Trimmed();
          again = { seq: item.oldest - 1 } as Cursor;
          break;
        } else if (item.type === "end") {
          return;
        }
      }
      if (!again || signal.aborted) return;
      followed.delete(subscription);
      subscription.close();
      cursor = again;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    if (subscription) followed.delete(subscription);
    subscription?.close();
  }
}
