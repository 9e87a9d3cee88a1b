// How a run is executed, where it is not to be as the assistant and the server have it.

import { useId } from "react";
import type { Durability } from "../../data/runs";
import styles from "./Composer.module.css";

export interface Settings {
  /** As it is written; empty for what the assistant has. */
  steps: string;
  durability: Durability | "";
}

export const AS_EVER: Settings = { steps: "", durability: "" };

/** Supersteps that a run may be given. */
const STEPS_MAX = 100_000;

const SAVED: Record<Durability, string> = {
  sync: "before the next step begins",
  async: "while the next step runs",
  exit: "once, when the run ends",
};

/** Why it cannot be run like this. */
export function refusedBy({ steps }: Settings): string | false {
  const many = Number(steps);
  return steps !== "" && !(Number.isInteger(many) && many >= 1 && many <= STEPS_MAX)
    && `the supersteps are no whole number from 1 to ${STEPS_MAX.toLocaleString("en")}`;
}

/** In words; nothing where all is as ever. */
export function toldSettings({ steps, durability }: Settings): string {
  return [steps && `at most ${steps} supersteps`, durability && `saved ${SAVED[durability]}`].filter(Boolean).join(", ");
}

export function RunSettings({ settings, onChange }: { settings: Settings; onChange: (settings: Settings) => void }) {
  const id = useId();
  const told = toldSettings(settings);
  const refused = refusedBy(settings);
  return (
    <details className={styles.options}>
      <summary>Settings{told && `: ${told}`}</summary>
      <div className={styles.settings}>
        <label htmlFor={`${id}-steps`}>Supersteps at most</label>
        <input
          id={`${id}-steps`} type="text" inputMode="numeric" placeholder="as the assistant has it" value={settings.steps} autoComplete="off"
          aria-invalid={refused !== false} aria-describedby={refused ? `${id}-refused` : undefined}
          onChange={(event) => onChange({ ...settings, steps: event.target.value.trim() })}
        />
        <label htmlFor={`${id}-saved`}>Each step is saved</label>
        <select id={`${id}-saved`} value={settings.durability} onChange={(event) => onChange({ ...settings, durability: event.target.value as Durability | "" })}>
          <option value="">as the server has it</option>
          {Object.entries(SAVED).map(([value, words]) => <option key={value} value={value}>{words}</option>)}
        </select>
        {refused && <p id={`${id}-refused`} className={styles.refused} role="alert">{refused.charAt(0).toUpperCase()}{refused.slice(1)}.</p>}
      </div>
    </details>
  );
}
