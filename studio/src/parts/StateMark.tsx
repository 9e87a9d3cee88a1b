// The states of nodes, runs and threads: a glyph, a word and a border; colour is extra. Steps,
// canvas and lists use the same set.

import styles from "./StateMark.module.css";

export type NodeState =
  | "idle" | "queued" | "running" | "waiting" | "done" | "skipped" | "failed" | "cancelled";

export const STATES: Record<NodeState, { glyph: string; word: string }> = {
  idle: { glyph: "○", word: "idle" },
  queued: { glyph: "◔", word: "queued" },
  running: { glyph: "▶", word: "running" },
  waiting: { glyph: "✋", word: "waiting for a person" },
  done: { glyph: "✓", word: "done" },
  skipped: { glyph: "–", word: "skipped" },
  failed: { glyph: "✕", word: "failed" },
  cancelled: { glyph: "■", word: "cancelled" },
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

interface Props {
  state: NodeState;
  /** In place of the state's own word. */
  word?: string;
  /** The word is read out but not shown. */
  terse?: boolean;
}

export function StateMark({ state, word, terse }: Props) {
  const { glyph, word: own } = STATES[state];
  return (
    <span className={styles.mark} data-state={state} title={terse ? word ?? own : undefined}>
      <span className={styles.glyph} aria-hidden="true">{glyph}</span>
      <span className={terse ? "visually-hidden" : undefined}>{word ?? own}</span>
    </span>
  );
}
