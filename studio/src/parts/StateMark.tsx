// The states of nodes, runs and threads: a glyph, a word and a border; colour is extra. Steps,
// canvas and lists use the same set.

import { Glyph } from "./Glyph";
import styles from "./StateMark.module.css";

export type NodeState =
  | "idle" | "queued" | "running" | "waiting" | "done" | "skipped" | "failed" | "cancelled";

export const WORDS: Record<NodeState, string> = {
  idle: "idle",
  queued: "queued",
  running: "running",
  waiting: "waiting for a person",
  done: "done",
  skipped: "skipped",
  failed: "failed",
  cancelled: "cancelled",
};

/** What a run's status is in these words. */
export function ofRun(status: string): NodeState {
  switch (status) {
    case "pending": return "queued";
    case "running": return "running";
    case "success": return "done";
    case "interrupted": return "cancelled";
    default: return "failed";
  }
}

/** What a thread's status is in these words. */
export function ofThread(status: string, waits: boolean): NodeState {
  switch (status) {
    case "busy": return "running";
    case "interrupted": return waits ? "waiting" : "cancelled";
    case "error": return "failed";
    default: return "idle";
  }
}

/** In words, where the state's own would say too little. */
export function wordOfThread(status: string, questions: number): string | undefined {
  if (questions > 0) return `${questions} ${questions === 1 ? "question" : "questions"}`;
  return status === "interrupted" ? "paused" : undefined;
}

interface Props {
  state: NodeState;
  /** In place of the state's own word. */
  word?: string;
  /** The word is read out but not shown. */
  terse?: boolean;
}

export function StateMark({ state, word, terse }: Props) {
  const own = WORDS[state];
  return (
    <span className={styles.mark} data-state={state} title={terse ? word ?? own : undefined}>
      <Glyph state={state} />
      <span className={terse ? "visually-hidden" : undefined}>{word ?? own}</span>
    </span>
  );
}
