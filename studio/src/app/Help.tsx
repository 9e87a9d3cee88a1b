import { useMemo } from "react";
import { Dialog } from "../parts/Dialog";
import { groups, modKey } from "./shortcuts";
import { usePreferences, preferences } from "./preferences";
import styles from "./Help.module.css";

/** All keys that do something where the reader is. */
export function Help({ onClose }: { onClose: () => void }) {
  // As it was when the help was opened.
  const shown = useMemo(() => [...groups.get()].reverse(), []);
  const { shortcuts } = usePreferences();
  return (
    <Dialog title="Keys" onClose={onClose} wide>
      <div className={styles.groups}>
        {shown.map((group, place) => (
          <section key={place}>
            <h3>{group.title}</h3>
            <dl>
              {group.shortcuts.map(({ keys, label }) => (
                <div key={keys}>
                  <dt><Keys keys={keys} /></dt>
                  <dd>{label}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <label className={styles.toggle}>
        <input
          type="checkbox" checked={shortcuts}
          onChange={(event) => preferences.set({ shortcuts: event.target.checked })}
        />
        Single keys do something
      </label>
    </Dialog>
  );
}

export function Keys({ keys }: { keys: string }) {
  return keys.split(" ").map((key, place) => (
    <kbd key={place}>{key.replace("Mod+", `${modKey} `).replace("Shift+", "⇧ ").replace("Enter", "↵")}</kbd>
  ));
}
