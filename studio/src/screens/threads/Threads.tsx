// Threads: the list, and beside it the one that is open.

import { useParams, useSearchParams } from "wouter";
import { NewThread } from "./NewThread";
import { ThreadList } from "./ThreadList";
import { ThreadView } from "./ThreadView";
import styles from "./Threads.module.css";

export default function Threads() {
  const { id } = useParams<{ id?: string }>();
  const [query] = useSearchParams();
  const isNew = !id && query.has("new");
  return (
    <div className={styles.panes} data-open={Boolean(id) || isNew}>
      <ThreadList wide={!id && !isNew} selected={id ?? null} />
      {id && <ThreadView key={id} id={id} />}
      {isNew && <NewThread assistant={query.get("assistant")} />}
    </div>
  );
}
