import { useEffect, useState } from "react";
import { Icon } from "./icons";
import styles from "./CopyText.module.css";

const CONFIRM_MS = 1_600;

/** Copies a text; says so for a moment. */
export function useCopy(): [boolean, (text: string) => void] {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), CONFIRM_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  return [copied, (text) => void navigator.clipboard.writeText(text).then(() => setCopied(true))];
}

/** A short text, such as an id, that a press copies. */
export function CopyText({ text, shown }: { text: string; shown?: string }) {
  const [copied, copy] = useCopy();
  return (
    <button type="button" className={styles.copy} onClick={() => copy(text)} title={`Copy ${text}`}>
      <code>{shown ?? text}</code>
      <Icon name="copy" size={12} />
      <span role="status">{copied ? "copied" : ""}</span>
    </button>
  );
}
