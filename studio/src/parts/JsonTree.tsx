// A JSON value that opens piece by piece. What is closed is not rendered.

import { useState, type ReactNode } from "react";
import styles from "./JsonTree.module.css";

/** Characters of a text, and members of a list, that are shown before they are asked for. */
const TEXT_SHOWN = 280;
const MEMBERS_SHOWN = 100;

interface Props {
  value: unknown;
  /** Its key, where it has one. */
  name?: ReactNode;
  open?: boolean;
}

export function JsonTree({ value, name, open = false }: Props) {
  if (value !== null && typeof value === "object") return <Branch value={value} name={name} open={open} />;
  return (
    <div className={styles.leaf}>
      {name !== undefined && <span className={styles.key}>{name}</span>}
      <Scalar value={value} />
    </div>
  );
}

function Branch({ value, name, open }: { value: object; name?: ReactNode; open: boolean }) {
  const [isOpen, setOpen] = useState(open);
  const [shown, setShown] = useState(MEMBERS_SHOWN);
  const entries = Object.entries(value);
  return (
    <details className={styles.branch} open={isOpen} onToggle={(event) => {
      event.stopPropagation();
      setOpen(event.currentTarget.open);
    }}>
      <summary>
        {name !== undefined && <span className={styles.key}>{name}</span>}
        <span className={styles.kind}>{kindOf(value)}</span>
        {!isOpen && <span className={styles.preview}>{preview(entries, Array.isArray(value))}</span>}
      </summary>
      {isOpen && (
        <div className={styles.members}>
          {entries.slice(0, shown).map(([key, member]) => <JsonTree key={key} name={key} value={member} />)}
          {entries.length > shown && (
            <button type="button" className={styles.more} onClick={() => setShown(shown + MEMBERS_SHOWN * 10)}>
              {entries.length - shown} more
            </button>
          )}
        </div>
      )}
    </details>
  );
}

export function Scalar({ value }: { value: unknown }) {
  const [all, setAll] = useState(false);
  if (typeof value === "string") {
    const cut = !all && value.length > TEXT_SHOWN;
    return (
      <span className={styles.text}>
        {cut ? value.slice(0, TEXT_SHOWN) : value || <i className={styles.kind}>empty text</i>}
        {cut && (
          <button type="button" className={styles.more} onClick={() => setAll(true)}>
            … all {value.length.toLocaleString("en")} characters
          </button>
        )}
      </span>
    );
  }
  return <span className={styles.scalar} data-type={value === null ? "null" : typeof value}>{String(value)}</span>;
}

/** What kind of value it is, with its size. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return `list of ${value.length}`;
  if (typeof value === "object") {
    const count = Object.keys(value).length;
    return `${count} ${count === 1 ? "entry" : "entries"}`;
  }
  if (typeof value === "string") return `text, ${value.length.toLocaleString("en")}`;
  return typeof value;
}

/** What an object calls itself, if it does. */
function nameOf(value: object): string {
  const { name, title, topic, content, type, id, key } = value as Record<string, unknown>;
  const found = [name, title, topic, content, type, key, id].find((it) => typeof it === "string" && it.length > 0);
  return typeof found === "string" ? found.slice(0, 40) : "…";
}

function preview(entries: [string, unknown][], isList: boolean): string {
  const parts = entries.slice(0, 4).map(([key, value]) => {
    const shown = value !== null && typeof value === "object" ? nameOf(value) : String(value).slice(0, 40);
    return isList ? shown : `${key}: ${shown}`;
  });
  return parts.join(", ");
}
