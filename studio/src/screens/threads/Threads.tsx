// Threads: the list, and beside it the one that is open.

import { useParams } from "wouter";
import { ThreadList } from "./ThreadList";
import styles from "./Threads.module.css";

export default function Threads() {
  const { id } = useParams<{ id?: string }>();
  return (
    <div className={styles.panes} data-open={Boolean(id)}>
      <ThreadList wide={!id} selected={id ?? null} />
    </div>
  );
}
