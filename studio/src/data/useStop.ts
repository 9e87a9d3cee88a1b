// Stopping a run, and why that could not be done.

import { useState } from "react";
import { cancelRun, type Stop } from "./runs";

interface Asked {
  run: string;
  how: Stop;
  /** Why it is not done. */
  problem?: unknown;
}

/** Stops this run; `asked` is what was asked of it last, and answered. */
export function useStop(thread: string, run: string | undefined): { stop: (how: Stop) => void; asked: Asked | null } {
  const [asked, setAsked] = useState<Asked | null>(null);
  const stop = async (how: Stop) => {
    if (run === undefined) return;
    setAsked(null);
    try {
      await cancelRun(thread, run, how);
      setAsked({ run, how });
    } catch (problem) {
      setAsked({ run, how, problem });
    }
  };
  return { stop: (how) => void stop(how), asked: asked?.run === run ? asked : null };
}
