// A run as it is told, for components: everything that is kept of it, then what comes.

import { useEffect, useRef, useState } from "react";
import { RunLive, type Frame } from "./live";
import { followRun, onReconnect } from "./socket";
import { Watched, useWatched } from "./store";

const NONE = new Watched(0);

interface Told {
  live: RunLive;
  /** Why the stream cannot be had. */
  problem: unknown;
}

/**
 * Follows a run. `onFrame` hears each frame after it was taken in, `onEnd` that the stream is over.
 * With `pace`, frames are shown no faster than a person can follow; see `Pace`.
 */
export function useRun(
  thread: string | null,
  run: string | null,
  options: { onFrame?: (frame: Frame) => void; onEnd?: () => void; pace?: Pace } = {},
): Told {
  const [state, setState] = useState<{ live: RunLive; version: Watched<number>; problem: unknown }>(
    () => ({ live: new RunLive(), version: NONE, problem: null }),
  );
  const latest = useRef(options);
  latest.current = options;
  // Another socket is followed anew.
  const [session, setSession] = useState(0);
  useEffect(() => onReconnect(() => setSession((it) => it + 1)), []);
  useEffect(() => {
    const live = new RunLive();
    const version = new Watched(0);
    setState({ live, version, problem: null });
    if (!thread || !run) return;
    const abort = new AbortController();
    let status = "success";
    const take = (frame: Frame) => {
      live.take(frame);
      version.set(live.version);
      latest.current.onFrame?.(frame);
    };
    const pace = latest.current.pace;
    const follow = followRun(thread, run, ({ kind, ns, data, at_ms }) => {
      if (kind === "ended") status = String((data as { status?: unknown } | null)?.status ?? status);
      const frame: Frame = { event: [kind, ...ns].join("|"), data, at: at_ms };
      if (pace) pace.add(frame, take);
      else take(frame);
    }, abort.signal);
    follow
      .then(() => pace?.drained(abort.signal))
      .then(() => {
        if (abort.signal.aborted) return;
        live.end(status);
        version.set(live.version);
        latest.current.onEnd?.();
      })
      .catch((problem: unknown) => {
        // What was told goes a day after the run; what it left is still there.
        if (!abort.signal.aborted) setState({ live, version, problem });
      });
    return () => {
      abort.abort();
      pace?.stop();
    };
  }, [thread, run, session]);
  useWatched(state.version);
  return { live: state.live, problem: state.problem };
}

/** Hands frames on in their order, with a pause before each that changes what a node does. */
export class Pace {
  #queue: { frame: Frame; take: (frame: Frame) => void }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiting: (() => void)[] = [];

  constructor(readonly pauseMs: number) {}

  add(frame: Frame, take: (frame: Frame) => void) {
    this.#queue.push({ frame, take });
    this.#timer ??= setTimeout(() => this.#next(), 0);
  }

  /** Hands on everything at once, now and from now on. */
  hurry() {
    (this as { pauseMs: number }).pauseMs = 0;
    clearTimeout(this.#timer);
    this.#next();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#queue = [];
  }

  /** Waits until everything was handed on. */
  drained(signal: AbortSignal): Promise<void> {
    if (this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      signal.addEventListener("abort", () => resolve());
    });
  }

  #next() {
    this.#timer = undefined;
    for (;;) {
      const item = this.#queue.shift();
      if (!item) break;
      item.take(item.frame);
      const following = this.#queue[0]?.frame.event;
      if (this.pauseMs > 0 && following?.startsWith("tasks")) {
        this.#timer = setTimeout(() => this.#next(), following.includes("|") ? this.pauseMs / 12 : this.pauseMs);
        return;
      }
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
