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
      connection.live(own.latency_ms, brokenAt);
      brokenAt = null;
      // The first ping is on its way; its answer says how far the server is.
      setTimeout(() => connection.latency(own.latency_ms), 1_000);
      break;
    case "reconnecting":
      brokenAt ??= Date.now();
      connection.reconnecting(state.attempt, state.retry_at);
      break;
    case "refused":
      connection.signedOut();
      break;
    default:
  }
}

setInterval(() => socket?.state.kind === "live" && connection.latency(socket.latency_ms), 15_000);

// A socket may outlive a short time without a network, and says nothing then.
window.addEventListener("online", () => {
  if (socket?.state.kind === "live") connection.live(socket.latency_ms, null);
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

/**
 * Follows one run from its beginning until it ends. Every event comes once, in order, whatever
 * happens to the connection. Throws `Trimmed` when nothing of it is kept.
 */
export async function followRun(
  thread: string, run: string, onEvent: (event: MeshEvent) => void, signal: AbortSignal,
): Promise<void> {
  let subscription: Subscription | null = null;
  const stop = () => subscription?.close();
  signal.addEventListener("abort", stop);
  let cursor: Cursor = { seq: 0 } as Cursor;
  try {
    for (;;) {
      subscription = mesh().subscribe(thread, { cursor, follow: { modes: MODES, run_id: run, merge: true } });
      let again: Cursor | null = null;
      for await (const item of subscription) {
        if (signal.aborted) return;
        if (item.type === "event") {
          onEvent(item);
          if (item.kind === "ended" && item.run_id === run) return;
        } else if (item.type === "gap") {
          // Older runs may be gone while this one is there: from the oldest that is.
          if (item.oldest === undefined || cursor.seq > 0) throw new Trimmed();
          again = { seq: item.oldest - 1 } as Cursor;
          break;
        } else if (item.type === "end") {
          return;
        }
      }
      if (!again || signal.aborted) return;
      subscription.close();
      cursor = again;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    subscription?.close();
  }
}
