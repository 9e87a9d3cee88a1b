// A field for JSON that says at once, and at the field, what is wrong with it.

import { useId, type KeyboardEvent } from "react";
import styles from "./JsonField.module.css";

interface Props {
  label: string;
  text: string;
  onChange: (text: string) => void;
  /** What is wrong with the value though it is JSON. */
  problem?: string | null;
  rows?: number;
  onSubmit?: () => void;
  hideLabel?: boolean;
}

export type Parsed = { ok: true; value: unknown } | { ok: false; problem: string };

export function parseJson(text: string): Parsed {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  }
}

export function JsonField({ label, text, onChange, problem, rows = 8, onSubmit, hideLabel }: Props) {
  const id = useId();
  const parsed = parseJson(text);
  const wrong = parsed.ok ? problem : text.trim() ? parsed.problem : null;
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && onSubmit) {
      event.preventDefault();
      onSubmit();
    }
  };
  return (
    <div className={styles.field}>
      <label htmlFor={id} className={hideLabel ? "visually-hidden" : undefined}>{label}</label>
      <textarea
        id={id} rows={rows} value={text} spellCheck={false} className={styles.text} aria-invalid={Boolean(wrong)}
        aria-describedby={wrong ? `${id}-wrong` : undefined} onChange={(event) => onChange(event.target.value)} onKeyDown={onKey}
      />
      {wrong && <p id={`${id}-wrong`} className={styles.wrong} role="alert">{wrong}</p>}
    </div>
  );
}
