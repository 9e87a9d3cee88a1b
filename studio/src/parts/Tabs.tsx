import { useId, type KeyboardEvent, type ReactNode } from "react";
import styles from "./Tabs.module.css";

export interface Tab<T extends string> {
  id: T;
  label: ReactNode;
}

interface Props<T extends string> {
  label: string;
  tabs: readonly Tab<T>[];
  chosen: T;
  onChoose: (tab: T) => void;
  children?: ReactNode;
  /** Beside the tabs. */
  aside?: ReactNode;
}

/** Tabs and the panel of the chosen one. Without a panel they choose what stands below. */
export function Tabs<T extends string>({ label, tabs, chosen, onChoose, children, aside }: Props<T>) {
  const id = useId();
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = tabs.findIndex((tab) => tab.id === chosen);
    const next = step ? tabs[(at + step + tabs.length) % tabs.length]
      : event.key === "Home" ? tabs[0] : event.key === "End" ? tabs.at(-1) : undefined;
    if (!next) return;
    event.preventDefault();
    onChoose(next.id);
    document.getElementById(`${id}-${next.id}`)?.focus();
  };
  return (
    <>
      <div className={styles.bar}>
        <div role="tablist" aria-label={label} className={styles.tabs} onKeyDown={onKey}>
          {tabs.map((tab) => (
            <button
              key={tab.id} id={`${id}-${tab.id}`} type="button" role="tab" className={styles.tab}
              aria-selected={tab.id === chosen} tabIndex={tab.id === chosen ? 0 : -1}
              aria-controls={children !== undefined && tab.id === chosen ? `${id}-panel` : undefined}
              onClick={() => onChoose(tab.id)}
            >
              {tab.label}
            </button>
          ))}
        </div>
        {aside}
      </div>
      {children !== undefined && (
        <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${chosen}`} className={styles.panel} tabIndex={0}>
          {children}
        </div>
      )}
    </>
  );
}
