// The files of a message: chosen, pasted or dropped, and taken away again.

import { useRef } from "react";
import { size, type Attachment } from "../../data/attachments";
import { Button } from "../../parts/Button";
import { Icon } from "../../parts/icons";
import styles from "./Attachments.module.css";

interface Props {
  attached: readonly Attachment[];
  onAdd: (files: File[]) => void;
  onRemove: (id: number) => void;
}

export function Attachments({ attached, onAdd, onRemove }: Props) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <div className={styles.files}>
      <Button kind="quiet" icon="clip" onClick={() => input.current?.click()}>Attach</Button>
      <input
        ref={input} type="file" multiple hidden aria-label="Files to attach"
        onChange={(event) => {
          onAdd([...(event.target.files ?? [])]);
          // The same file may be chosen again.
          event.target.value = "";
        }}
      />
      {attached.length > 0 && (
        <ul aria-label="Attached files">
          {attached.map((it) => (
            <li key={it.id}>
              <Icon name={it.kind === "picture" ? "picture" : "page"} />
              <span className={styles.name}>{it.name}</span>
              <span className={styles.size}>{size(it.bytes)}</span>
              <button type="button" aria-label={`Remove ${it.name}`} onClick={() => onRemove(it.id)}><Icon name="close" size={12} /></button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The files that are pasted or dropped, if any are. */
export function filesOf(data: DataTransfer | null): File[] {
  return [...(data?.files ?? [])];
}
