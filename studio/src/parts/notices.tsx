// What is shown when there is nothing, not yet, or not at all.

import { useEffect, useState, type ReactNode } from "react";
import { Refused } from "../data/client";
import { Button } from "./Button";
import { CopyText } from "./CopyText";
import styles from "./notices.module.css";

/** Nothing is here: one sentence, one action. */
export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className={styles.empty}>
      <p className={styles.title}>{title}</p>
      {children && <p className={styles.text}>{children}</p>}
      {action}
    </div>
  );
}

/** Time before anything is shown of a wait, and before it is called long. */
const SHOW_AFTER_MS = 150;
const LONG_AFTER_MS = 5_000;

/** Something is on its way: nothing at first, then a skeleton, then words and a way out. */
export function Loading({ what, lines = 4, onRetry }: { what: string; lines?: number; onRetry?: () => void }) {
  const [phase, setPhase] = useState(0);
  useEffect(() => {
    const show = setTimeout(() => setPhase(1), SHOW_AFTER_MS);
    const long = setTimeout(() => setPhase(2), LONG_AFTER_MS);
    return () => {
      clearTimeout(show);
      clearTimeout(long);
    };
  }, []);
  return (
    <div className={styles.loading} aria-busy="true" role="status">
      {phase === 0 ? <span className="visually-hidden">Loading {what}</span> : (
        <>
          <span className="visually-hidden">Loading {what}</span>
          {Array.from({ length: lines }, (_, line) => <span key={line} className={styles.bone} />)}
        </>
      )}
      {phase === 2 && (
        <p>
          Still loading {what}. {onRetry && <Button onClick={onRetry}>Retry</Button>}
        </p>
      )}
    </div>
  );
}

interface Failure {
  /** What failed, as a sentence without a full stop. */
  what: string;
  error: unknown;
  /** What is safe in spite of it. */
  safe?: ReactNode;
  onRetry?: () => void;
  actions?: ReactNode;
}

/** A failure, at the place where it happened. */
export function Failed({ what, error, safe, onRetry, actions }: Failure) {
  const refused = error instanceof Refused ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div className={styles.failed} role="alert">
      <p className={styles.title}>{what}</p>
      <p className={styles.message}>
        {error instanceof TypeError && /fetch/i.test(message) ? `The server did not answer: ${message}` : message}
      </p>
      {safe && <p className={styles.text}>{safe}</p>}
      {(refused?.requestId || refused?.code) && (
        <details className={styles.cause}>
          <summary>Details</summary>
          <dl>
            {refused.request && <><dt>Request</dt><dd><code>{refused.request}</code></dd></>}
            <dt>Status</dt><dd>{refused.status}{refused.code ? ` ${refused.code}` : ""}</dd>
            {refused.pointer && <><dt>Field</dt><dd><code>{refused.pointer}</code></dd></>}
            {refused.requestId && <><dt>Id</dt><dd><CopyText text={refused.requestId} /></dd></>}
          </dl>
        </details>
      )}
      {(onRetry || actions) && (
        <div className={styles.actions}>
          {onRetry && <Button onClick={onRetry}>Try again</Button>}
          {actions}
        </div>
      )}
    </div>
  );
}
