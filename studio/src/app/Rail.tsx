import { Link, useLocation } from "wouter";
import { Icon } from "../parts/icons";
import { IconButton } from "../parts/Button";
import { screens, type Screen } from "../screens";
import { usePreferences } from "./preferences";
import styles from "./Rail.module.css";

/** The screens. Beside the page; on a phone over it, when asked for. */
export function Rail({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { railOpen } = usePreferences();
  return (
    <nav aria-label="Screens" className={styles.rail} data-words={railOpen} data-over={open}>
      <div className={styles.close}>
        <IconButton icon="close" label="Close the menu" onClick={onClose} />
      </div>
      <ul>
        {screens.map((screen) => <Item key={screen.path} screen={screen} words={railOpen || open} />)}
      </ul>
    </nav>
  );
}

function Item({ screen, words }: { screen: Screen; words: boolean }) {
  const [location] = useLocation();
  const here = screen.path === "/" ? location === "/" : `${location}/`.startsWith(`${screen.path}/`);
  return (
    <li>
      <Link
        href={screen.path} className={styles.item} aria-current={here ? "page" : undefined}
        title={words ? undefined : screen.label}
      >
        <Icon name={screen.icon} />
        <span className={words ? undefined : "visually-hidden"}>{screen.label}</span>
        {screen.Count && <screen.Count />}
      </Link>
    </li>
  );
}
