import { useLocation } from "wouter";
import { newThread } from "../../data/runs";
import { Page } from "../../parts/Page";
import { Button } from "../../parts/Button";
import { Composer } from "./Composer";
import styles from "./NewThread.module.css";

/** A thread is made with its first run. */
export function NewThread({ assistant }: { assistant: string | null }) {
  const [, go] = useLocation();
  return (
    <Page title="New thread" fills actions={<Button onClick={() => go("/threads")}>Cancel</Button>}>
      <div className={styles.new}>
        <p className={styles.soft}>Choose what is to run and what it gets. The thread keeps every state from then on.</p>
        <Composer
          thread={null} assistant={assistant} busy={false}
          onThread={(title) => newThread(title ? { title } : {})}
          onStarted={(thread, run) => go(`/threads/${thread}?run=${run}`)}
        />
      </div>
    </Page>
  );
}
