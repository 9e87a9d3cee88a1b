// All moments of a thread on one axis: supersteps, questions, forks, failures.

import { useMemo } from "react";
import type { Step } from "../../data/history";
import { StateMark } from "../../parts/StateMark";
import { Button } from "../../parts/Button";
import { titleOf } from "./StepList";
import styles from "./Scrubber.module.css";

/** Marks that are drawn; a longer thread shows those that matter. */
const MARKS_MAX = 120;

interface Props {
  steps: Step[];
  at: string | null;
  /** Whether the end is looked at, and goes on. */
  live: boolean;
  /** A run is on the thread. */
  active: boolean;
  onSelect: (step: Step) => void;
  onLive: () => void;
}

export function Scrubber({ steps, at, live, active, onSelect, onLive }: Props) {
  const moments = useMemo(() => steps.filter((step) => step.checkpoint), [steps]);
  const place = moments.findIndex((step) => step.checkpoint?.id === at);
  const open = steps.filter((step) => !step.checkpoint);
  const now = place >= 0 ? moments[place] : moments.at(-1);
  const marks = useMemo(() => {
    const every = Math.ceil(moments.length / MARKS_MAX);
    return moments.map((step, index) => ({ step, index }))
      .filter(({ step, index }) => index % every === 0 || step.kind !== "tasks" || step.state !== "done");
  }, [moments]);
  if (moments.length === 0) return null;
  return (
    <div className={styles.scrubber}>
      <div className={styles.axis}>
        <div className={styles.marks} aria-hidden="true">
          {marks.map(({ step, index }) => (
            <i key={step.key} data-kind={step.kind} data-state={step.state} style={{ insetInlineStart: `${(100 * index) / Math.max(1, moments.length - 1)}%` }} />
          ))}
        </div>
        <input
          type="range" min={0} max={Math.max(0, moments.length - 1)} value={place >= 0 ? place : moments.length - 1}
          aria-label="Moment" aria-valuetext={now ? `Step ${now.number}, ${titleOf(now)}` : undefined}
          onChange={(event) => {
            const step = moments[Number(event.target.value)];
            if (step) onSelect(step);
          }}
        />
      </div>
      <span className={styles.now}>
        {now && <>{now.number} of {moments.at(-1)?.number ?? 0}</>}
      </span>
      {active ? <StateMark state="running" /> : open[0] && live && <StateMark state={open.at(-1)?.state ?? "idle"} />}
      {!live && <Button kind="plain" onClick={onLive}>Back to live</Button>}
    </div>
  );
}
