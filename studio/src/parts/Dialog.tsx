import { useEffect, useId, useRef, type ReactNode } from "react";
import { IconButton } from "./Button";
import styles from "./Dialog.module.css";

interface Props {
  title: string;
  /** Without it there is no way but through. */
  onClose?: () => void;
  children: ReactNode;
  actions?: ReactNode;
  wide?: boolean;
  /** The title is read out but not shown. */
  bare?: boolean;
}

/**
 * A dialog over the page: the rest waits, and the focus comes back when it closes. It begins at what
 * has `data-first`, else at the button that closes it.
 */
export function Dialog({ title, onClose, children, actions, wide, bare }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const close = useRef(onClose);
  close.current = onClose;
  useEffect(() => {
    const shown = dialog.current;
    const before = document.activeElement;
    shown?.showModal();
    shown?.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => {
      shown?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={[styles.dialog, wide && styles.wide, bare && styles.bare].filter(Boolean).join(" ")}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        close.current?.();
      }}
      // A press beside it lands on the dialog itself, not on what is inside.
      onMouseDown={(event) => event.target === dialog.current && close.current?.()}
    >
      <div className={styles.inside}>
        <header className={bare ? "visually-hidden" : styles.head}>
          <h2 id={heading}>{title}</h2>
          {!bare && onClose && <IconButton icon="close" label="Close" onClick={onClose} />}
        </header>
        <div className={styles.body}>{children}</div>
        {actions && <footer className={styles.actions}>{actions}</footer>}
      </div>
    </dialog>
  );
}
