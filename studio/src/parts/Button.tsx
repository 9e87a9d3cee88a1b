import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import { Icon, type IconName } from "./icons";
import styles from "./Button.module.css";

interface Props extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "disabled"> {
  kind?: "primary" | "plain" | "quiet" | "danger";
  icon?: IconName;
  /** Why it cannot be pressed now: it stays reachable and says so. */
  refused?: string | false | null;
  busy?: boolean;
  ref?: Ref<HTMLButtonElement>;
  children?: ReactNode;
}

/** A button. One that cannot be pressed now stays in the tab order and tells why. */
export function Button({ kind = "plain", icon, refused, busy, children, onClick, className, ...rest }: Props) {
  const off = Boolean(refused) || busy;
  return (
    <button
      type="button"
      {...rest}
      className={[styles.button, styles[kind], !children && styles.square, className].filter(Boolean).join(" ")}
      aria-disabled={off || undefined}
      aria-busy={busy || undefined}
      title={refused || rest.title}
      onClick={off ? (event) => event.preventDefault() : onClick}
    >
      {icon && <Icon name={icon} />}
      {children}
      {refused && <span className="visually-hidden">, not now: {refused}</span>}
    </button>
  );
}

/** A button of an icon alone; the label is read out and shown on hover. */
export function IconButton({ label, ...rest }: Props & { label: string; icon: IconName }) {
  return <Button kind="quiet" title={label} aria-label={label} {...rest} />;
}
