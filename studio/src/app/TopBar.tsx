import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { infoQuery } from "../data/queries";
import { IconButton } from "../parts/Button";
import { Icon } from "../parts/icons";
import { Pill } from "./Pill";
import { preferences, usePreferences } from "./preferences";
import { modKey } from "./shortcuts";
import styles from "./TopBar.module.css";

interface Props {
  onMenu: () => void;
  onPalette: () => void;
  onHelp: () => void;
}

export function TopBar({ onMenu, onPalette, onHelp }: Props) {
  const { theme } = usePreferences();
  const { data: info } = useQuery(infoQuery);
  const dark = document.documentElement.dataset.theme === "dark";
  return (
    <header className={styles.bar}>
      <span className={styles.menu}><IconButton icon="menu" label="Open the menu" onClick={onMenu} /></span>
      <Link href="/" className={styles.brand} aria-label="Genesis Mesh, home">
        <img src="/icon.svg" alt="" width="20" height="20" />
        <span>Genesis Mesh</span>
      </Link>
      {info && info.unsafe_settings.length > 0 && (
        <span className={styles.unsafe} title={info.unsafe_settings.join(", ")}>Unsafe settings</span>
      )}
      <button type="button" className={styles.search} onClick={onPalette}>
        <Icon name="search" />
        <span className="hidden-on-phones">Go to anything</span>
        <kbd aria-hidden="true">{modKey} K</kbd>
      </button>
      <Pill />
      <span className={styles.wide}>
        <IconButton
          icon={dark ? "sun" : "moon"} label={dark ? "Use the light theme" : "Use the dark theme"}
          onClick={() => preferences.set({ theme: dark ? "light" : "dark" })} key={theme}
        />
        <button type="button" className={styles.help} onClick={onHelp} aria-label="Show keys" title="Show keys">
          <kbd aria-hidden="true">?</kbd>
        </button>
      </span>
    </header>
  );
}
