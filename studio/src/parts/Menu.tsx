import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { Button } from "./Button";
import type { IconName } from "./icons";
import styles from "./Menu.module.css";

export interface MenuItem {
  label: string;
  /** What it does, in one line. */
  note?: string;
  icon?: IconName;
  danger?: boolean;
  run: () => void;
}

interface Props {
  label: string;
  items: MenuItem[];
  icon?: IconName;
  kind?: "plain" | "quiet" | "danger";
  children?: ReactNode;
  /** Opens it when this rises. */
  openOn?: number;
  /** Why it cannot be opened now. */
  refused?: string | false | null;
}

/** A button that opens a list of things to do. */
export function Menu({ label, items, icon, kind = "quiet", children, openOn = 0, refused }: Props) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  useEffect(() => {
    if (openOn > 0 && !refused) setOpen(true);
    // Only its rising opens it.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [openOn]);
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const onPress = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", onPress);
    return () => document.removeEventListener("pointerdown", onPress);
  }, [open]);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    const all = [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") close();
    else if (event.key === "Tab") setOpen(false);
    else if (step) all[(at + step + all.length) % all.length]?.focus();
    else return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div className={styles.menu} ref={box} onKeyDown={open ? onKey : undefined}>
      <Button
        ref={button} kind={kind} icon={icon} aria-haspopup="menu" aria-expanded={open} aria-controls={open ? id : undefined}
        aria-label={children ? undefined : label} title={children ? undefined : label} onClick={() => setOpen(!open)}
        refused={refused}
      >
        {children}
      </Button>
      {open && (
        <div role="menu" id={id} aria-label={label} className={styles.list}>
          {items.map((item) => (
            <button
              key={item.label} type="button" role="menuitem" className={styles.item} data-danger={item.danger || undefined}
              onClick={() => {
                close();
                item.run();
              }}
            >
              <span>{item.label}</span>
              {item.note && <small>{item.note}</small>}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
