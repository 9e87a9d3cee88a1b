// A run as it is told, for components: everything that is kept of it, then what comes.

import { useEffect, useRef, useState } from "react";
import { trimmed } from "./connection";
import { RunLive, type Frame } from "./live";
import { threadChanged } from "./queries";
import { Gap, followRun, onReconnect } from "./socket";
import { Watched, useWatched } from "./store";

const NONE = new Watched(0);

/** Time after which what is caught up with is shown although there is more of it, in milliseconds. */
const SHOW_MS = 300;

interface Told {
  live: RunLive;
  /** Rises with every change of it, at most once per frame of the screen. */
  told: Watched<number>;
  /** Why the stream cannot be had. */
  problem: unknown;
}

/**
 * Follows a run. `onFrame` hears each frame after it was taken in, `onEnd` that the stream is over.
 * With `pace`, frames are shown no faster than a person can follow; see `Pace`. With `quiet` the
 * component is not drawn anew for what nodes say, only for what they do; whoever shows the text
 * watches `told`.
 */
export function useRun(
  thread: string | null,
  run: string | null,
  options: { onFrame?: (frame: Frame) => void; onEnd?: () => void; pace?: Pace; quiet?: boolean } = {},
): Told {
  const [state, setState] = useState<{ live: RunLive; version: Watched<number>; tasks: Watched<number>; problem: unknown }>(
    () => ({ live: new RunLive(), version: NONE, tasks: NONE, problem: null }),
  );
  const latest = useRef(options);
  latest.current = options;
  // Another socket is followed anew.
  const [session, setSession] = useState(0);
  useEffect(() => onReconnect(() => setSession((it) => it + 1)), []);
  useEffect(() => {
    const live = new RunLive();
    const version = new Watched(0);
    const tasks = new Watched(0);
    setState({ live, version, tasks, problem: null });
    if (!thread || !run) return;
    const abort = new AbortController();
    let status = "success";
    let shownAt = performance.now();
    const show = () => {
      shownAt = performance.now();
      version.set(live.version);
      tasks.set(live.tasksVersion);
    };
    // What is behind comes at once, and is shown at once: not a picture for each piece of it.
    const take = (frame: Frame, behind = false) => {
      live.take(frame);
      if (!behind || performance.now() - shownAt > SHOW_MS) show();
      latest.current.onFrame?.(frame);
    };
    const pace = latest.current.pace;
    const follow = followRun(thread, run, ({ kind, ns, data, at_ms }, behind) => {
      if (kind === "ended") status = String((data as { status?: unknown } | null)?.status ?? status);
      const frame: Frame = { event: [kind, ...ns].join("|"), data, at: at_ms };
      if (pace) pace.add(frame, take);
      else take(frame, behind);
    }, abort.signal);
    follow
      .then(() => pace?.drained(abort.signal))
      .then(() => {
        if (abort.signal.aborted) return;
        live.end(status);
        show();
        latest.current.onEnd?.();
      })
      .catch((problem: unknown) => {
        if (abort.signal.aborted) return;
        if (problem instanceof Gap) {
          trimmed();
          threadChanged(thread);
          setSession((it) => it + 1);
        // What was told goes a day after the run; what it left is still there.
        } else setState({ live, version, tasks, problem });
      });
    return () => {
      abort.abort();
      pace?.stop();
    };
  }, [thread, run, session]);
  useWatched(options.quiet ? state.tasks : state.version);
  return { live: state.live, told: state.version, problem: state.problem };
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
