// The glyphs of states, drawn here: fonts have them or not.

import type { NodeState } from "./StateMark";

const SHAPES: Record<NodeState, React.ReactNode> = {
  idle: <circle cx="6" cy="6" r="4" />,
  queued: <><circle cx="6" cy="6" r="4" strokeDasharray="2 1.6" /><path d="M6 3.6V6l1.8 1.1" /></>,
  running: <path d="M3.5 2.2v7.6L10 6z" fill="currentColor" />,
  waiting: <path d="M3.2 7.4V4.2M3.2 4.8V3.4a.9.9 0 0 1 1.8 0V5.4M5 5V2.2a.9.9 0 0 1 1.8 0V5M6.8 5.2V3a.9.9 0 0 1 1.7 0v3.2M8.5 6.2V4.6a.8.8 0 0 1 1.6 0v3.1a3.4 3.4 0 0 1-6.3 1.6L2 6.8a.8.8 0 0 1 1.2-.9z" />,
  done: <path d="M2 6.4 4.8 9.2 10 3.2" strokeWidth="1.8" />,
  skipped: <path d="M2.5 6h7" strokeWidth="1.8" />,
  failed: <path d="M2.8 2.8l6.4 6.4M9.2 2.8 2.8 9.2" strokeWidth="1.9" />,
  cancelled: <path d="M3 3h6v6H3z" fill="currentColor" />,
};

/** The drawing alone, 12 by 12, for a picture of its own. */
export function GlyphShape({ state }: { state: NodeState }) {
  return (
    <g fill="none" stroke="currentColor" strokeWidth="1.2" strokeLinecap="round" strokeLinejoin="round">{SHAPES[state]}</g>
  );
}

export function Glyph({ state }: { state: NodeState }) {
  return (
    <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" focusable="false"><GlyphShape state={state} /></svg>
  );
}
