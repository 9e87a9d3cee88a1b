/**
 * A client of the native socket (`/ws`) of Genesis Mesh. No dependencies; for browsers, and for
 * Node from version 22 on.
 *
 *     const mesh = new MeshSocket("ws://127.0.0.1:8080/ws");
 *     const { run_id, events } = await mesh.start(
 *       { assistant_id: "agent", input: { messages: [] }, stream_mode: ["updates", "messages"] },
 *       { follow: { merge: true } },
 *     );
 *     for await (const item of events) {
 *       if (item.type === "event") console.log(item.seq, item.kind, item.data);
 *       if (item.type === "event" && item.kind === "ended" && item.run_id === run_id) break;
 *     }
 *     mesh.close();
 *
 * - `new MeshSocket(url, options?)` connects at once, and again whenever the connection is lost.
 * - `start(run, {thread_id?, follow?, key?})`, `answer(thread_id, answer, …)`,
 *   `answers(thread_id, {id: answer}, …)`, `cancel(thread_id, run_id, action?)`,
 *   `update(thread_id, values, as_node?)`, `fork(thread_id, checkpoint_id, …)` and `ping()` are
 *   promises. They wait while there is no connection. What was sent when the connection was lost is
 *   sent again if that does nothing twice (`start` and `answer` carry a key); `update` and `fork`
 *   fail with the code `connection_lost`.
 * - `subscribe(thread_id, {cursor?, snapshot?, follow?})` is an async iterator over events,
 *   snapshots and gaps of one thread. It goes on exactly where it was after every cut: `cursor` of
 *   the iterator is the place, and can be kept for another day. Leaving the loop ends it.
 * - `watch({since?})` is an async iterator over threads that change.
 * - `on("state", …)` hears how the connection is; `state`, `hello` and `latency_ms` say it.
 *
 * No event comes twice and none is missed: the cursor moves in the same step in which an event is
 * put into the iterator's queue, frames of a connection that was given up are not heard, and a
 * number that does not grow ends the connection rather than being passed on. The queue is bounded:
 * the server sends as many events as there is room for (`credit`).
 */

// ---- what is sent and what comes; the server's JSON Schema says it in full ----

/** What of a thread is told, and how. */
export interface Follow {
  /** `values`, `updates`, `messages`, `custom`, `tasks`, `checkpoints`, `debug`, `tools`; all without. */
  modes?: string[];
  /** Only from these places and below: `node` or `node:task` joined by `|`; `""` is the root. */
  namespaces?: string[];
  /** Levels below those places. */
  depth?: number;
  /** Only of this run. */
  run_id?: string;
  /** Pieces of one message that are ready together may come as one event. */
  merge?: boolean;
  /** States come over the wire as what changed; what the iterator gives is whole. */
  patch?: boolean;
  /** Text of messages comes before it is stored, as deltas. */
  early?: boolean;
}

/** A place in a thread's log. */
export interface Cursor {
  log: string;
  seq: number;
}

export interface MeshEvent {
  type: "event";
  thread_id: string;
  /** 1, 2, 3 …; numbers that do not come were filtered out, or merged. */
  seq: number;
  /** The first number that it stands for, when it stands for several. */
  from?: number;
  run_id?: string;
  /** `begun`, `ended`, `updated`, `returned`, or the mode. */
  kind: string;
  /** Empty for the root. */
  ns: string[];
  step: number;
  node?: string;
  at_ms: number;
  data: unknown;
  /** Of a piece of a message: where its text begins, in characters; replaces what there is from there on. */
  at?: number;
}

/** Text of a message that is not stored yet; the event that has it later does not come, unless it has more. */
export interface Delta {
  type: "delta";
  thread_id: string;
  message_id: string;
  /** Where the text begins in that of the message, in characters. */
  at: number;
  text: string;
  /** Events up to this one are stored and were told. */
  after?: number;
  /** What message it is, in its first delta. */
  of?: { run_id: string; ns?: string[]; step: number; node?: string; chunk: unknown; metadata: unknown };
}

export interface Snapshot {
  type: "snapshot";
  thread_id: string;
  /** Events after this one follow. */
  seq: number;
  thread: Thread;
}

export interface Gap {
  type: "gap";
  thread_id: string;
  after: number;
  oldest?: number;
  last: number;
  reason: "trimmed" | "ahead" | "other_log";
}

/** The subscription is over: nothing comes after it. */
export interface End {
  type: "end";
  thread_id: string;
  reason: "deleted" | "done" | "failed";
}

export type Item = MeshEvent | Delta | Snapshot | Gap | End;

/** A thread, as `GET /threads/{thread_id}` gives it. */
export interface Thread {
  thread_id: string;
  status: "idle" | "busy" | "interrupted" | "error";
  created_at: string;
  updated_at: string;
  metadata: Record<string, unknown>;
  values: unknown;
  interrupts?: Record<string, { id: string; value: unknown }[]>;
  [member: string]: unknown;
}

export interface OpenRun {
  run_id: string;
  status: "pending" | "running";
  assistant_id: string;
  created_at: string;
}

/** A thread changed: how it is now, or null when it was deleted. */
export interface ThreadChange {
  type: "thread";
  thread_id: string;
  thread: Thread | null;
  runs: OpenRun[];
}

/** More threads changed than are remembered: list them anew. */
export interface Resync {
  type: "resync";
}

export interface Hello {
  protocol: string;
  server: string;
  version: string;
  incarnation: number;
  connection: string;
  limits: { subscriptions: number; calls: number; message_bytes: number; credit: number; namespaces: number };
}

export interface Started {
  run_id: string;
  thread_id: string;
  after: number;
  log: string;
}

/** The body of `POST /threads/{thread_id}/runs`. */
export interface Run {
  assistant_id: string;
  input?: unknown;
  [member: string]: unknown;
}

/** How the connection is. */
export type State =
  | { kind: "connecting" }
  | { kind: "live" }
  /** `retry_at` is a time of `Date.now()`. */
  | { kind: "reconnecting"; attempt: number; retry_at: number; reason: string }
  /** The server wants no more of us: a credential that is not valid, for instance. */
  | { kind: "refused"; error: MeshError }
  | { kind: "closed" };

export interface Options {
  /** An API key or bearer token; it travels as a subprotocol, never in the address. */
  token?: string;
  /** Events that wait in the queue of one iterator, at most. */
  queue?: number;
  /** The class to connect with; `WebSocket` of the platform without. */
  WebSocket?: new (url: string, protocols: string[]) => WebSocket;
  /** Milliseconds between two pings; 0 for none. */
  ping_every_ms?: number;
  /** A number from 0 up to 1, for the spread of waiting times. */
  random?: () => number;
}

/** What the server, or this client, refused. */
export class MeshError extends Error {
  readonly code: string;
  readonly pointer?: string;
  readonly reference?: string;

  constructor(problem: { code: string; message: string; pointer?: string; reference?: string }) {
    super(problem.message);
    this.name = "MeshError";
    this.code = problem.code;
    this.pointer = problem.pointer;
    this.reference = problem.reference;
  }
}

const PROTOCOL = "genesis-mesh.v1";
const BEARER = "genesis-mesh.bearer.";

/** Events that wait in the queue of one iterator, unless chosen. */
const QUEUE = 256;

/** Milliseconds between two pings, unless chosen. */
const PING_EVERY_MS = 15_000;

/** Milliseconds that the other side has to answer a ping, or to say hello. */
const ANSWER_WAIT_MS = 10_000;

/** Wait before a call is sent again that the server is still carrying out, and how often. */
const EARLY_WAIT_MS = 100;
const EARLY_MAX = 50;

/** First and longest wait before connecting again, in milliseconds. */
const RETRY_MS = 250;
const RETRY_MS_MAX = 10_000;

/** Codes after which connecting again would end the same way. */
const HOPELESS = new Set(["unauthenticated", "invalid_credential", "not_authorized"]);

type Members = Record<string, unknown>;
type Frame = Members & { type: string };

interface Call {
  id: number;
  members: Members;
  /** Whether doing it twice is as good as doing it once. */
  again: boolean;
  sent: boolean;
  /** How often the server was still at work on it when it was sent again. */
  early: number;
  done: (result: never) => void;
  failed: (error: MeshError) => void;
}

/** A queue with one reader. */
class Queue<T> implements AsyncIterableIterator<T> {
  protected readonly waiting: T[] = [];
  private reader?: { resolve: (next: IteratorResult<T>) => void; reject: (error: unknown) => void };
  private over?: { error?: unknown };
  private readonly left: () => void;

  constructor(left: () => void) {
    this.left = left;
  }

  get length(): number {
    return this.waiting.length;
  }

  push(item: T): void {
    if (this.over) return;
    const reader = this.reader;
    if (reader) {
      this.reader = undefined;
      this.taken();
      reader.resolve({ value: item, done: false });
    } else {
      this.waiting.push(item);
    }
  }

  /** Nothing comes after what waits. */
  finish(error?: unknown): void {
    if (this.over) return;
    this.over = { error };
    const reader = this.reader;
    this.reader = undefined;
    if (!reader) return;
    if (error === undefined) reader.resolve({ value: undefined, done: true });
    else reader.reject(error);
  }

  /** Called when the reader takes an item. */
  protected taken(): void {}

  next(): Promise<IteratorResult<T>> {
    const item = this.waiting.shift();
    if (item !== undefined) {
      this.taken();
      return Promise.resolve({ value: item, done: false });
    }
    if (this.over) {
      const { error } = this.over;
      this.over = {};
      return error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error);
    }
    if (this.reader) return Promise.reject(new Error("an iterator has one reader"));
    return new Promise((resolve, reject) => {
      this.reader = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<T>> {
    this.waiting.length = 0;
    this.finish();
    this.left();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** The events of one thread; see `MeshSocket.subscribe`. */
export class Subscription extends Queue<Item> {
  readonly thread_id: string;
  readonly follow: Follow;
  /** How far it is: what was put into the queue. None before the server told where it begins. */
  cursor?: Cursor;
  /** The last event that there was when this began, or was resumed: up to it, it is catching up. */
  last = 0;
  /** @internal */ readonly snapshot: boolean;
  /** @internal */ readonly room: number;
  private readonly credit: (add: number) => void;
  private free = 0;
  private state?: { seq: number; value: unknown };

  /** @internal */
  constructor(
    thread_id: string,
    options: { cursor?: Cursor; snapshot?: boolean; follow?: Follow },
    room: number,
    credit: (add: number) => void,
    left: () => void,
  ) {
    super(left);
    this.thread_id = thread_id;
    this.follow = options.follow ?? {};
    this.cursor = options.cursor;
    this.snapshot = options.snapshot ?? false;
    this.room = room;
    this.credit = credit;
  }

  /** Whether everything that there was when this began has come. */
  get caught_up(): boolean {
    return this.cursor !== undefined && this.cursor.seq >= this.last;
  }

  /** Ends it. */
  close(): void {
    void this.return();
  }

  /** @internal Room in the queue that the server may fill on a new connection. */
  begin(): number {
    this.free = 0;
    this.state = undefined;
    return Math.max(this.room - this.length, 0);
  }

  /** @internal Where the server begins. */
  begins(at: Cursor, last: number): void {
    this.cursor = at;
    this.last = last;
  }

  /** @internal Takes a frame; false when it cannot be one that follows. */
  take(frame: Frame): boolean {
    if (frame.type === "event") {
      const event = frame as unknown as MeshEvent & { patch?: Patch; base?: number };
      if (!this.cursor || (event.from ?? event.seq) <= this.cursor.seq) return false;
      event.ns ??= [];
      if (event.kind === "values" && event.ns.length === 0) {
        if (event.patch) {
          if (this.state?.seq !== event.base) return false;
          event.data = patched(this.state!.value, event.patch);
          delete event.patch;
          delete event.base;
        }
        if (this.follow.patch) this.state = { seq: event.seq, value: event.data };
      }
      this.cursor = { log: this.cursor.log, seq: event.seq };
    } else if (frame.type === "delta" && frame.after !== undefined) {
      if (!this.cursor || (frame.after as number) <= this.cursor.seq) return false;
      this.cursor = { log: this.cursor.log, seq: frame.after as number };
    }
    this.push(frame as unknown as Item);
    return true;
  }

  /** Gives the server half the queue at a time, so that few calls are needed. */
  protected override taken(): void {
    this.free += 1;
    if (this.free * 2 >= this.room) {
      this.credit(this.free);
      this.free = 0;
    }
  }
}

/** A connection to a server, and again to it for as long as it is open. */
export class MeshSocket {
  /** What the server said first, on the connection that is or was last. */
  hello?: Hello;
  /** How long the last ping took. */
  latency_ms?: number;
  state: State = { kind: "connecting" };

  private readonly url: string;
  private readonly options: Required<Omit<Options, "token">> & { token?: string };
  private socket?: WebSocket;
  /** Whether the server said hello on it. */
  private open = false;
  /** Calls that are not answered, in the order in which they were made. */
  private readonly calls = new Map<number, Call>();
  private readonly subscriptions = new Map<string, Subscription>();
  private watching?: Queue<ThreadChange | Resync>;
  private watched_since?: string;
  private readonly listeners = new Map<string, Set<(state: State) => void>>();
  private last_id = 0;
  private attempt = 0;
  private retry_ms?: number;
  private refusal?: MeshError;
  private retry?: ReturnType<typeof setTimeout>;
  private patience?: ReturnType<typeof setTimeout>;
  private pings?: ReturnType<typeof setInterval>;

  constructor(url: string, options: Options = {}) {
    this.url = url;
    this.options = {
      queue: QUEUE,
      WebSocket: globalThis.WebSocket,
      ping_every_ms: PING_EVERY_MS,
      random: Math.random,
      ...options,
    };
    this.connect();
  }

  // ---- calls ----

  /** Makes a run. With `follow` also gives the events of its thread, from just before the run. */
  async start(
    run: Run,
    options: { thread_id?: string; follow?: Follow; key?: string } = {},
  ): Promise<Started & { events?: Subscription }> {
    return this.made("start", { run, thread_id: options.thread_id }, options);
  }

  /** Answers the one open question of a thread. */
  async answer(
    thread_id: string,
    answer: unknown,
    options: { follow?: Follow; key?: string; stream_mode?: string[] } = {},
  ): Promise<Started & { events?: Subscription }> {
    const { stream_mode } = options;
    return this.made("answer", { thread_id, answer: answer ?? null, stream_mode }, options);
  }

  /** Answers open questions of a thread by their ids. */
  async answers(
    thread_id: string,
    answers: Record<string, unknown>,
    options: { follow?: Follow; key?: string; stream_mode?: string[] } = {},
  ): Promise<Started & { events?: Subscription }> {
    const { stream_mode } = options;
    return this.made("answer", { thread_id, answers, stream_mode }, options);
  }

  /** Ends a run. */
  async cancel(thread_id: string, run_id: string, action: "after_step" | "interrupt" | "rollback" = "interrupt"): Promise<void> {
    await this.call("cancel", { thread_id, run_id, action }, true);
  }

  /** Changes the newest state of a thread. Gives the checkpoint that it has now. */
  async update(thread_id: string, values: unknown, as_node?: string): Promise<Members> {
    const { checkpoint } = await this.call<{ checkpoint: Members }>("update", { thread_id, values, as_node }, false);
    return checkpoint;
  }

  /** Begins a new branch at a checkpoint. Gives the checkpoint that it has now. */
  async fork(
    thread_id: string,
    checkpoint_id: string,
    options: { values?: unknown; as_node?: string; checkpoint_ns?: string } = {},
  ): Promise<Members> {
    const members = { thread_id, checkpoint_id, ...options };
    const { checkpoint } = await this.call<{ checkpoint: Members }>("fork", members, false);
    return checkpoint;
  }

  /** Milliseconds to the server and back. */
  async ping(): Promise<number> {
    const begun = performance.now();
    await this.call("ping", {}, true);
    this.latency_ms = performance.now() - begun;
    return this.latency_ms;
  }

  /** Follows a thread: after `cursor`, or from a snapshot, or from now on. */
  subscribe(
    thread_id: string,
    options: { cursor?: Cursor; snapshot?: boolean; follow?: Follow } = {},
  ): Subscription {
    const subscription = this.opened(thread_id, options);
    if (this.open) this.follow(subscription);
    return subscription;
  }

  /** Tells of threads that change; with `since` also of those that changed after that time. */
  watch(options: { since?: string } = {}): AsyncIterableIterator<ThreadChange | Resync> {
    if (this.watching) throw new Error("threads are watched already");
    this.watched_since = options.since;
    const watching = new Queue<ThreadChange | Resync>(() => {
      if (this.watching !== watching) return;
      this.watching = undefined;
      if (this.open) void this.call("unwatch", {}, true).catch(() => {});
    });
    this.watching = watching;
    if (this.open) this.look();
    return watching;
  }

  // ---- the connection ----

  /** Hears how the connection is. Gives a function that ends that. */
  on(event: "state", listener: (state: State) => void): () => void {
    const listeners = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Connects now rather than when the wait is over. */
  retry_now(): void {
    if (this.state.kind === "reconnecting") this.connect();
  }

  /** Ends the connection for good: calls fail, iterators end. */
  close(): void {
    if (this.state.kind === "closed") return;
    this.end({ kind: "closed" }, new MeshError({ code: "closed", message: "the client was closed" }));
  }

  /** @internal Gives the connection up, as if it had been cut. For tests. */
  cut(): void {
    this.lost("cut");
  }

  private connect(): void {
    clearTimeout(this.retry);
    const protocols = [PROTOCOL];
    if (this.options.token) protocols.push(BEARER + this.options.token);
    const socket = new this.options.WebSocket(this.url, protocols);
    this.socket = socket;
    // What an earlier connection still says is not heard.
    const heard = <E>(act: (event: E) => void) => (event: E) => {
      if (this.socket === socket) act(event);
    };
    socket.onmessage = heard((event: MessageEvent) => this.hear(JSON.parse(String(event.data)) as Frame));
    socket.onclose = heard((event: CloseEvent) => this.lost(event.reason || `closed with ${event.code}`));
    socket.onerror = heard(() => {});
    this.patience = setTimeout(heard(() => this.lost("no hello")), ANSWER_WAIT_MS);
  }

  private hear(frame: Frame): void {
    switch (frame.type) {
      case "hello":
        return this.begin(frame as unknown as Hello);
      case "ack":
      case "error":
        return this.answered(frame);
      case "event":
      case "delta":
      case "snapshot":
      case "gap":
      case "end": {
        const thread_id = frame.thread_id as string;
        const subscription = this.subscriptions.get(thread_id);
        // What was on its way when it was closed.
        if (!subscription) return;
        if (!subscription.take(frame)) return this.lost("an event that does not follow");
        if (frame.type === "end") {
          this.subscriptions.delete(thread_id);
          subscription.finish();
        }
        return;
      }
      case "thread": {
        const change = frame as unknown as ThreadChange;
        const { updated_at } = change.thread ?? {};
        if (updated_at && (!this.watched_since || updated_at > this.watched_since)) this.watched_since = updated_at;
        this.watching?.push(change);
        return;
      }
      case "resync":
        this.watching?.push({ type: "resync" });
        return;
      case "goaway":
        this.retry_ms = frame.retry_ms as number;
        return;
      default: // of a later version
    }
  }

  /** Everything that was going on goes on. */
  private begin(hello: Hello): void {
    clearTimeout(this.patience);
    this.hello = hello;
    this.open = true;
    this.attempt = 0;
    const waiting = [...this.calls.values()];
    for (const subscription of this.subscriptions.values()) this.follow(subscription);
    if (this.watching) this.look();
    for (const call of waiting) this.send(call);
    const every = this.options.ping_every_ms;
    if (every > 0) {
      this.pings = setInterval(() => {
        clearTimeout(this.patience);
        this.patience = setTimeout(() => this.lost("no answer to a ping"), ANSWER_WAIT_MS);
        this.ping().then(
          () => clearTimeout(this.patience),
          () => {},
        );
      }, every);
    }
    this.become({ kind: "live" });
    if (every > 0) void this.ping().catch(() => {});
  }

  private follow(subscription: Subscription): void {
    const { thread_id, cursor, snapshot, follow } = subscription;
    const credit = subscription.begin();
    const members: Members = { thread_id, snapshot, follow: { ...follow, credit } };
    if (cursor) {
      members.after = cursor.seq;
      members.log = cursor.log;
    }
    const current = () => this.subscriptions.get(thread_id) === subscription;
    this.call<{ log: string; after: number; last: number }>(
      "subscribe",
      members,
      false,
      ({ log, after, last }) => {
        if (current()) subscription.begins({ log, seq: after }, last);
      },
    ).catch((error: MeshError) => {
      // After a cut it is asked for anew.
      if (error.code === "connection_lost" || !current()) return;
      this.subscriptions.delete(thread_id);
      subscription.finish(error);
    });
  }

  private look(): void {
    this.call<{ since: string }>("watch", { since: this.watched_since }, false, ({ since }) => {
      this.watched_since ??= since;
    }).catch((error: MeshError) => {
      if (error.code === "connection_lost") return;
      const watching = this.watching;
      this.watching = undefined;
      watching?.finish(error);
    });
  }

  private opened(
    thread_id: string,
    options: { cursor?: Cursor; snapshot?: boolean; follow?: Follow },
  ): Subscription {
    if (this.subscriptions.has(thread_id)) throw new Error(`thread ${thread_id} is followed already`);
    const subscription: Subscription = new Subscription(
      thread_id,
      options,
      this.options.queue,
      (add) => {
        if (!this.open || this.subscriptions.get(thread_id) !== subscription) return;
        this.call("credit", { thread_id, add }, false).catch(() => {});
      },
      () => {
        if (this.subscriptions.get(thread_id) !== subscription) return;
        this.subscriptions.delete(thread_id);
        if (this.open) this.call("unsubscribe", { thread_id }, false).catch(() => {});
      },
    );
    this.subscriptions.set(thread_id, subscription);
    return subscription;
  }

  /** Calls what makes a run. */
  private async made(
    op: string,
    members: Members,
    options: { follow?: Follow; key?: string },
  ): Promise<Started & { events?: Subscription }> {
    const key = options.key ?? crypto.randomUUID();
    const { follow } = options;
    const credit = this.options.queue;
    const subscribe = follow && { ...follow, credit };
    let events: Subscription | undefined;
    const started = await this.call<Started>(op, { ...members, key, subscribe }, true, (started) => {
      // In the step in which the answer comes, since events may stand right behind it.
      if (!follow) return;
      const { thread_id, after, log } = started;
      events = this.subscriptions.get(thread_id);
      if (events) return;
      events = this.opened(thread_id, { follow });
      events.begin();
      events.begins({ log, seq: after }, after);
    });
    return { ...started, events };
  }

  /** Calls something. `at_once` is given the answer before anything that comes after it is heard. */
  private call<T>(op: string, members: Members, again: boolean, at_once?: (result: T) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.state.kind === "closed" || this.state.kind === "refused") {
        reject(new MeshError({ code: "closed", message: "the client was closed" }));
        return;
      }
      const id = ++this.last_id;
      const call: Call = {
        id,
        members: { op, id, ...members },
        again,
        sent: false,
        early: 0,
        done: (result: T) => {
          at_once?.(result);
          resolve(result);
        },
        failed: reject,
      };
      this.calls.set(id, call);
      if (this.open) this.send(call);
    });
  }

  private send(call: Call): void {
    call.sent = true;
    this.socket?.send(JSON.stringify(call.members));
  }

  private answered(frame: Frame): void {
    const call = this.calls.get(frame.id as number);
    if (call) this.calls.delete(call.id);
    if (frame.type === "ack") {
      call?.done(frame.result as never);
      return;
    }
    const error = new MeshError(frame.error as ConstructorParameters<typeof MeshError>[0]);
    if (call?.again && error.code === "key_in_use" && call.early++ < EARLY_MAX) {
      // What was sent before a cut is still being carried out.
      this.calls.set(call.id, call);
      const socket = this.socket;
      setTimeout(() => {
        if (this.socket === socket && this.calls.has(call.id)) this.send(call);
      }, EARLY_WAIT_MS);
    } else if (call) call.failed(error);
    else this.refusal = error;
  }

  /** The connection is gone; another one will come. */
  private lost(reason: string): void {
    if (this.state.kind === "closed" || this.state.kind === "refused") return;
    this.drop();
    const refusal = this.refusal;
    this.refusal = undefined;
    if (refusal && HOPELESS.has(refusal.code)) {
      this.end({ kind: "refused", error: refusal }, refusal);
      return;
    }
    const lost = new MeshError({ code: "connection_lost", message: "the connection was lost" });
    for (const call of [...this.calls.values()]) {
      if (call.sent && !call.again) {
        this.calls.delete(call.id);
        call.failed(lost);
      }
      call.sent = false;
    }
    this.attempt += 1;
    const longest = Math.min(RETRY_MS * 2 ** (this.attempt - 1), RETRY_MS_MAX);
    const wait = this.retry_ms ?? longest * (0.5 + this.options.random() / 2);
    this.retry_ms = undefined;
    this.retry = setTimeout(() => this.connect(), wait);
    const retry_at = Date.now() + wait;
    this.become({ kind: "reconnecting", attempt: this.attempt, retry_at, reason: refusal?.message ?? reason });
  }

  /** Hears this connection no more. */
  private drop(): void {
    clearTimeout(this.patience);
    clearInterval(this.pings);
    const socket = this.socket;
    this.socket = undefined;
    this.open = false;
    // Closing while it opens is an error of its own, which nobody hears.
    socket?.close();
  }

  private end(state: State, error: MeshError): void {
    clearTimeout(this.retry);
    this.drop();
    const is_refused = state.kind === "refused";
    for (const call of this.calls.values()) call.failed(error);
    this.calls.clear();
    for (const subscription of this.subscriptions.values()) subscription.finish(is_refused ? error : undefined);
    this.subscriptions.clear();
    this.watching?.finish(is_refused ? error : undefined);
    this.watching = undefined;
    this.become(state);
  }

  private become(state: State): void {
    this.state = state;
    for (const listener of this.listeners.get("state") ?? []) listener(state);
  }
}

// ---- JSON Patch (RFC 6902), as far as differences of states need it ----

type Patch = { op: "add" | "remove" | "replace"; path: string; value?: unknown }[];

/** A new value; what did not change is shared with the old one. */
export function patched(value: unknown, patch: Patch): unknown {
  return patch.reduce((value, { op, path, value: put }) => changed(value, steps(path), op, put), value);
}

function steps(path: string): string[] {
  return path
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function changed(value: unknown, [step, ...below]: string[], op: Patch[number]["op"], put: unknown): unknown {
  if (step === undefined) return put;
  if (Array.isArray(value)) {
    const copy = [...value];
    const index = step === "-" ? copy.length : Number(step);
    if (below.length > 0) copy[index] = changed(copy[index], below, op, put);
    else if (op === "add") copy.splice(index, 0, put);
    else if (op === "remove") copy.splice(index, 1);
    else copy[index] = put;
    return copy;
  }
  const copy = new Map(Object.entries((value ?? {}) as Members));
  if (below.length > 0) copy.set(step, changed(copy.get(step), below, op, put));
  else if (op === "remove") copy.delete(step);
  else copy.set(step, put);
  return Object.fromEntries(copy);
}
