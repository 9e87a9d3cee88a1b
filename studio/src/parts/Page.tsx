import { useEffect, type ReactNode } from "react";
import styles from "./Page.module.css";

interface Props {
  title: string;
  /** Beside the title. */
  note?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  /** The page fills the window and its parts scroll by themselves. */
  fills?: boolean;
}

/** A page: its one heading, and what is on it. */
export function Page({ title, note, actions, children, fills }: Props) {
  useEffect(() => {
    document.title = `${title} · Genesis Mesh`;
  }, [title]);
  return (
    <div className={fills ? styles.fills : styles.page}>
      <header className={styles.head}>
        <h1 tabIndex={-1}>{title}</h1>
        {note && <div className={styles.note}>{note}</div>}
        {actions && <div className={styles.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  );
}
