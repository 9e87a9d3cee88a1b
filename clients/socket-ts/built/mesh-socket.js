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
/** What the server, or this client, refused. */
export class MeshError extends Error {
    code;
    pointer;
    reference;
    constructor(problem) {
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
/** First and longest wait before connecting again, in milliseconds. */
const RETRY_MS = 250;
const RETRY_MS_MAX = 10_000;
/** Codes after which connecting again would end the same way. */
const HOPELESS = new Set(["unauthenticated", "invalid_credential", "not_authorized"]);
/** A queue with one reader. */
class Queue {
    waiting = [];
    reader;
    over;
    left;
    constructor(left) {
        this.left = left;
    }
    get length() {
        return this.waiting.length;
    }
    push(item) {
        if (this.over)
            return;
        const reader = this.reader;
        if (reader) {
            this.reader = undefined;
            this.taken();
            reader.resolve({ value: item, done: false });
        }
        else {
            this.waiting.push(item);
        }
    }
    /** Nothing comes after what waits. */
    finish(error) {
        if (this.over)
            return;
        this.over = { error };
        const reader = this.reader;
        this.reader = undefined;
        if (!reader)
            return;
        if (error === undefined)
            reader.resolve({ value: undefined, done: true });
        else
            reader.reject(error);
    }
    /** Called when the reader takes an item. */
    taken() { }
    next() {
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
        if (this.reader)
            return Promise.reject(new Error("an iterator has one reader"));
        return new Promise((resolve, reject) => {
            this.reader = { resolve, reject };
        });
    }
    return() {
        this.waiting.length = 0;
        this.finish();
        this.left();
        return Promise.resolve({ value: undefined, done: true });
    }
    [Symbol.asyncIterator]() {
        return this;
    }
}
/** The events of one thread; see `MeshSocket.subscribe`. */
export class Subscription extends Queue {
    thread_id;
    follow;
    /** How far it is: what was put into the queue. None before the server told where it begins. */
    cursor;
    /** The last event that there was when this began, or was resumed: up to it, it is catching up. */
    last = 0;
    /** @internal */ snapshot;
    /** @internal */ room;
    credit;
    free = 0;
    state;
    /** @internal */
    constructor(thread_id, options, room, credit, left) {
        super(left);
        this.thread_id = thread_id;
        this.follow = options.follow ?? {};
        this.cursor = options.cursor;
        this.snapshot = options.snapshot ?? false;
        this.room = room;
        this.credit = credit;
    }
    /** Whether everything that there was when this began has come. */
    get caught_up() {
        return this.cursor !== undefined && this.cursor.seq >= this.last;
    }
    /** Ends it. */
    close() {
        void this.return();
    }
    /** @internal Room in the queue that the server may fill on a new connection. */
    begin() {
        this.free = 0;
        this.state = undefined;
        return Math.max(this.room - this.length, 0);
    }
    /** @internal Where the server begins. */
    begins(at, last) {
        this.cursor = at;
        this.last = last;
    }
    /** @internal Takes a frame; false when it cannot be one that follows. */
    take(frame) {
        if (frame.type === "event") {
            const event = frame;
            if (!this.cursor || (event.from ?? event.seq) <= this.cursor.seq)
                return false;
            event.ns ??= [];
            if (event.kind === "values" && event.ns.length === 0) {
                if (event.patch) {
                    if (this.state?.seq !== event.base)
                        return false;
                    event.data = patched(this.state.value, event.patch);
                    delete event.patch;
                    delete event.base;
                }
                if (this.follow.patch)
                    this.state = { seq: event.seq, value: event.data };
            }
            this.cursor = { log: this.cursor.log, seq: event.seq };
        }
        this.push(frame);
        return true;
    }
    /** Gives the server half the queue at a time, so that few calls are needed. */
    taken() {
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
    hello;
    /** How long the last ping took. */
    latency_ms;
    state = { kind: "connecting" };
    url;
    options;
    socket;
    /** Whether the server said hello on it. */
    open = false;
    /** Calls that are not answered, in the order in which they were made. */
    calls = new Map();
    subscriptions = new Map();
    watching;
    watched_since;
    listeners = new Map();
    last_id = 0;
    attempt = 0;
    retry_ms;
    refusal;
    retry;
    patience;
    pings;
    constructor(url, options = {}) {
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
    async start(run, options = {}) {
        return this.made("start", { run, thread_id: options.thread_id }, options);
    }
    /** Answers the one open question of a thread. */
    async answer(thread_id, answer, options = {}) {
        const { stream_mode } = options;
        return this.made("answer", { thread_id, answer: answer ?? null, stream_mode }, options);
    }
    /** Answers open questions of a thread by their ids. */
    async answers(thread_id, answers, options = {}) {
        const { stream_mode } = options;
        return this.made("answer", { thread_id, answers, stream_mode }, options);
    }
    /** Ends a run. */
    async cancel(thread_id, run_id, action = "interrupt") {
        await this.call("cancel", { thread_id, run_id, action }, true);
    }
    /** Changes the newest state of a thread. Gives the checkpoint that it has now. */
    async update(thread_id, values, as_node) {
        const { checkpoint } = await this.call("update", { thread_id, values, as_node }, false);
        return checkpoint;
    }
    /** Begins a new branch at a checkpoint. Gives the checkpoint that it has now. */
    async fork(thread_id, checkpoint_id, options = {}) {
        const members = { thread_id, checkpoint_id, ...options };
        const { checkpoint } = await this.call("fork", members, false);
        return checkpoint;
    }
    /** Milliseconds to the server and back. */
    async ping() {
        const begun = performance.now();
        await this.call("ping", {}, true);
        this.latency_ms = performance.now() - begun;
        return this.latency_ms;
    }
    /** Follows a thread: after `cursor`, or from a snapshot, or from now on. */
    subscribe(thread_id, options = {}) {
        const subscription = this.opened(thread_id, options);
        if (this.open)
            this.follow(subscription);
        return subscription;
    }
    /** Tells of threads that change; with `since` also of those that changed after that time. */
    watch(options = {}) {
        if (this.watching)
            throw new Error("threads are watched already");
        this.watched_since = options.since;
        const watching = new Queue(() => {
            if (this.watching !== watching)
                return;
            this.watching = undefined;
            if (this.open)
                void this.call("unwatch", {}, true).catch(() => { });
        });
        this.watching = watching;
        if (this.open)
            this.look();
        return watching;
    }
    // ---- the connection ----
    /** Hears how the connection is. Gives a function that ends that. */
    on(event, listener) {
        const listeners = this.listeners.get(event) ?? new Set();
        this.listeners.set(event, listeners.add(listener));
        return () => listeners.delete(listener);
    }
    /** Connects now rather than when the wait is over. */
    retry_now() {
        if (this.state.kind === "reconnecting")
            this.connect();
    }
    /** Ends the connection for good: calls fail, iterators end. */
    close() {
        if (this.state.kind === "closed")
            return;
        this.end({ kind: "closed" }, new MeshError({ code: "closed", message: "the client was closed" }));
    }
    /** @internal Gives the connection up, as if it had been cut. For tests. */
    cut() {
        this.lost("cut");
    }
    connect() {
        clearTimeout(this.retry);
        const protocols = [PROTOCOL];
        if (this.options.token)
            protocols.push(BEARER + this.options.token);
        const socket = new this.options.WebSocket(this.url, protocols);
        this.socket = socket;
        // What an earlier connection still says is not heard.
        const heard = (act) => (event) => {
            if (this.socket === socket)
                act(event);
        };
        socket.onmessage = heard((event) => this.hear(JSON.parse(String(event.data))));
        socket.onclose = heard((event) => this.lost(event.reason || `closed with ${event.code}`));
        socket.onerror = heard(() => { });
        this.patience = setTimeout(heard(() => this.lost("no hello")), ANSWER_WAIT_MS);
    }
    hear(frame) {
        switch (frame.type) {
            case "hello":
                return this.begin(frame);
            case "ack":
            case "error":
                return this.answered(frame);
            case "event":
            case "snapshot":
            case "gap":
            case "end": {
                const thread_id = frame.thread_id;
                const subscription = this.subscriptions.get(thread_id);
                // What was on its way when it was closed.
                if (!subscription)
                    return;
                if (!subscription.take(frame))
                    return this.lost("an event that does not follow");
                if (frame.type === "end") {
                    this.subscriptions.delete(thread_id);
                    subscription.finish();
                }
                return;
            }
            case "thread": {
                const change = frame;
                const { updated_at } = change.thread ?? {};
                if (updated_at && (!this.watched_since || updated_at > this.watched_since))
                    this.watched_since = updated_at;
                this.watching?.push(change);
                return;
            }
            case "resync":
                this.watching?.push({ type: "resync" });
                return;
            case "goaway":
                this.retry_ms = frame.retry_ms;
                return;
            default: // of a later version
        }
    }
    /** Everything that was going on goes on. */
    begin(hello) {
        clearTimeout(this.patience);
        this.hello = hello;
        this.open = true;
        this.attempt = 0;
        const waiting = [...this.calls.values()];
        for (const subscription of this.subscriptions.values())
            this.follow(subscription);
        if (this.watching)
            this.look();
        for (const call of waiting)
            this.send(call);
        const every = this.options.ping_every_ms;
        if (every > 0) {
            this.pings = setInterval(() => {
                clearTimeout(this.patience);
                this.patience = setTimeout(() => this.lost("no answer to a ping"), ANSWER_WAIT_MS);
                this.ping().then(() => clearTimeout(this.patience), () => { });
            }, every);
        }
        this.become({ kind: "live" });
        if (every > 0)
            void this.ping().catch(() => { });
    }
    follow(subscription) {
        const { thread_id, cursor, snapshot, follow } = subscription;
        const credit = subscription.begin();
        const members = { thread_id, snapshot, follow: { ...follow, credit } };
        if (cursor) {
            members.after = cursor.seq;
            members.log = cursor.log;
        }
        const current = () => this.subscriptions.get(thread_id) === subscription;
        this.call("subscribe", members, false, ({ log, after, last }) => {
            if (current())
                subscription.begins({ log, seq: after }, last);
        }).catch((error) => {
            // After a cut it is asked for anew.
            if (error.code === "connection_lost" || !current())
                return;
            this.subscriptions.delete(thread_id);
            subscription.finish(error);
        });
    }
    look() {
        this.call("watch", { since: this.watched_since }, false, ({ since }) => {
            this.watched_since ??= since;
        }).catch((error) => {
            if (error.code === "connection_lost")
                return;
            const watching = this.watching;
            this.watching = undefined;
            watching?.finish(error);
        });
    }
    opened(thread_id, options) {
        if (this.subscriptions.has(thread_id))
            throw new Error(`thread ${thread_id} is followed already`);
        const subscription = new Subscription(thread_id, options, this.options.queue, (add) => {
            if (!this.open || this.subscriptions.get(thread_id) !== subscription)
                return;
            this.call("credit", { thread_id, add }, false).catch(() => { });
        }, () => {
            if (this.subscriptions.get(thread_id) !== subscription)
                return;
            this.subscriptions.delete(thread_id);
            if (this.open)
                this.call("unsubscribe", { thread_id }, false).catch(() => { });
        });
        this.subscriptions.set(thread_id, subscription);
        return subscription;
    }
    /** Calls what makes a run. */
    async made(op, members, options) {
        const key = options.key ?? crypto.randomUUID();
        const { follow } = options;
        const credit = this.options.queue;
        const subscribe = follow && { ...follow, credit };
        let events;
        const started = await this.call(op, { ...members, key, subscribe }, true, (started) => {
            // In the step in which the answer comes, since events may stand right behind it.
            if (!follow)
                return;
            const { thread_id, after, log } = started;
            events = this.subscriptions.get(thread_id);
            if (events)
                return;
            events = this.opened(thread_id, { follow });
            events.begin();
            events.begins({ log, seq: after }, after);
        });
        return { ...started, events };
    }
    /** Calls something. `at_once` is given the answer before anything that comes after it is heard. */
    call(op, members, again, at_once) {
        return new Promise((resolve, reject) => {
            if (this.state.kind === "closed" || this.state.kind === "refused") {
                reject(new MeshError({ code: "closed", message: "the client was closed" }));
                return;
            }
            const id = ++this.last_id;
            const call = {
                id,
                members: { op, id, ...members },
                again,
                sent: false,
                done: (result) => {
                    at_once?.(result);
                    resolve(result);
                },
                failed: reject,
            };
            this.calls.set(id, call);
            if (this.open)
                this.send(call);
        });
    }
    send(call) {
        call.sent = true;
        this.socket?.send(JSON.stringify(call.members));
    }
    answered(frame) {
        const call = this.calls.get(frame.id);
        if (call)
            this.calls.delete(call.id);
        if (frame.type === "ack") {
            call?.done(frame.result);
            return;
        }
        const error = new MeshError(frame.error);
        if (call)
            call.failed(error);
        else
            this.refusal = error;
    }
    /** The connection is gone; another one will come. */
    lost(reason) {
        if (this.state.kind === "closed" || this.state.kind === "refused")
            return;
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
    drop() {
        clearTimeout(this.patience);
        clearInterval(this.pings);
        const socket = this.socket;
        this.socket = undefined;
        this.open = false;
        // Closing while it opens is an error of its own, which nobody hears.
        socket?.close();
    }
    end(state, error) {
        clearTimeout(this.retry);
        this.drop();
        const is_refused = state.kind === "refused";
        for (const call of this.calls.values())
            call.failed(error);
        this.calls.clear();
        for (const subscription of this.subscriptions.values())
            subscription.finish(is_refused ? error : undefined);
        this.subscriptions.clear();
        this.watching?.finish(is_refused ? error : undefined);
        this.watching = undefined;
        this.become(state);
    }
    become(state) {
        this.state = state;
        for (const listener of this.listeners.get("state") ?? [])
            listener(state);
    }
}
/** A new value; what did not change is shared with the old one. */
export function patched(value, patch) {
    return patch.reduce((value, { op, path, value: put }) => changed(value, steps(path), op, put), value);
}
function steps(path) {
    return path
        .split("/")
        .slice(1)
        .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}
function changed(value, [step, ...below], op, put) {
    if (step === undefined)
        return put;
    if (Array.isArray(value)) {
        const copy = [...value];
        const index = step === "-" ? copy.length : Number(step);
        if (below.length > 0)
            copy[index] = changed(copy[index], below, op, put);
        else if (op === "add")
            copy.splice(index, 0, put);
        else if (op === "remove")
            copy.splice(index, 1);
        else
            copy[index] = put;
        return copy;
    }
    const copy = new Map(Object.entries((value ?? {})));
    if (below.length > 0)
        copy.set(step, changed(copy.get(step), below, op, put));
    else if (op === "remove")
        copy.delete(step);
    else
        copy.set(step, put);
    return Object.fromEntries(copy);
}
