// A value that components can watch. Changes within one frame of the screen are told once.

import { useSyncExternalStore } from "react";

export class Watched<T> {
  #value: T;
  #listeners = new Set<() => void>();
  #told = 0;

  constructor(value: T) {
    this.#value = value;
  }

  get = () => this.#value;

  set(value: T) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    if (this.#told) return;
    const tell = () => {
      this.#told = 0;
      for (const listener of this.#listeners) listener();
    };
    // A hidden tab draws no frames but must not fall behind.
    this.#told = document.hidden ? window.setTimeout(tell, 0) : requestAnimationFrame(tell);
  }

  /** Sets it and tells of it at once: a control is drawn again before its event is over, or React
   * puts it back to what it was. */
  setNow(value: T) {
    this.#value = value;
    for (const listener of this.#listeners) listener();
  }

  update(change: (value: T) => T) {
    this.set(change(this.#value));
  }

  subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  };
}

export function useWatched<T>(watched: Watched<T>): T {
  return useSyncExternalStore(watched.subscribe, watched.get);
}
