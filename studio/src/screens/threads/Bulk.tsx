// What is done to many threads at once: each by its own request, and told how far it is.

import { useId, useState } from "react";
import { client, Refused } from "../../data/client";
import { threadsChanged, type ThreadRow } from "../../data/queries";
import { titleOf } from "../../data/titles";
import { Button } from "../../parts/Button";
import { Dialog } from "../../parts/Dialog";
import { Failed } from "../../parts/notices";
import styles from "./Bulk.module.css";

/** Requests that are under way at once. */
const AT_ONCE = 6;
/** Failures that are told one by one. */
const FAILURES_SHOWN = 5;
/** Open runs of one thread that are cancelled. */
const RUNS_MAX = 100;

type Deed = "cancel" | "delete";

interface Props {
  /** The threads that are shown. */
  rows: ThreadRow[];
  picked: ReadonlySet<string>;
  /** There are more than are shown. */
  more: boolean;
  onPick: (picked: ReadonlySet<string>) => void;
  onDone: () => void;
}

export function Bulk({ rows, picked, more, onPick, onDone }: Props) {
  const [deed, setDeed] = useState<Deed | null>(null);
  const count = picked.size;
  const none = count === 0 && "no thread is selected";
  return (
    <div className={styles.bar} role="toolbar" aria-label="Selected threads">
      <span role="status">{count.toLocaleString("en")} selected</span>
      <Button kind="quiet" onClick={() => onPick(new Set(rows.map((row) => row.thread_id)))}>
        Select {more ? "the" : "all"} {rows.length.toLocaleString("en")} {more ? "read so far" : "shown"}
      </Button>
      <Button kind="quiet" refused={none} onClick={() => onPick(new Set())}>Select none</Button>
      <span className={styles.deeds}>
        <Button refused={none} onClick={() => setDeed("cancel")}>Cancel their runs</Button>
        <Button kind="danger" refused={none} onClick={() => setDeed("delete")}>Delete</Button>
        <Button kind="quiet" onClick={onDone}>Done</Button>
      </span>
      {deed && (
        <Confirm
          deed={deed} ids={[...picked]} nameOf={(id) => titleOf(rows.find((row) => row.thread_id === id) ?? { thread_id: id, metadata: {} })}
          onClose={(left) => {
            setDeed(null);
            onPick(new Set(left));
          }}
        />
      )}
    </div>
  );
}

const WORDS: Record<Deed, { title: (what: string) => string; told: string; button: string; done: string }> = {
  cancel: {
    title: (what) => `Cancel the runs of ${what}`, button: "Cancel the runs", done: "done",
    told: "What runs or waits on them is stopped. What was saved stays, and it can go on from there.",
  },
  delete: {
    title: (what) => `Delete ${what}`, button: "Delete for ever", done: "deleted",
    told: "Their runs, checkpoints and events go with them. This cannot be undone.",
  },
};

interface Failure {
  id: string;
  error: unknown;
}

function Confirm({ deed, ids, nameOf, onClose }: { deed: Deed; ids: string[]; nameOf: (id: string) => string; onClose: (left: string[]) => void }) {
  const words = WORDS[deed];
  const what = `${ids.length} ${ids.length === 1 ? "thread" : "threads"}`;
  const phrase = `${deed} ${what}`;
  const [text, setText] = useState("");
  const [done, setDone] = useState<number | null>(null);
  const [failures, setFailures] = useState<Failure[]>([]);
  const field = useId();
  const sure = text.trim().toLowerCase() === phrase;
  const isOver = done === ids.length;

  const start = async () => {
    const failed: Failure[] = [];
    let next = 0;
    let finished = 0;
    setDone(0);
    const work = async () => {
      for (let id = ids[next++]; id !== undefined; id = ids[next++]) {
        try {
          await DEEDS[deed](id);
        } catch (error) {
          // One that is gone already is what was wanted.
          if (!(error instanceof Refused && error.status === 404)) failed.push({ id, error });
        }
        finished += 1;
        setDone(finished);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    setFailures(failed);
    threadsChanged();
    if (failed.length === 0) onClose([]);
  };
  const close = () => {
    // What is under way cannot be taken back.
    if (done === null || isOver) onClose(isOver ? failures.map((it) => it.id) : ids);
  };
  return (
    <Dialog
      title={words.title(what)} onClose={close}
      actions={
        isOver ? <Button onClick={close}>Close</Button> : (
          <Button kind="danger" busy={done !== null} refused={!sure && `“${phrase}” is not typed yet`} onClick={() => void start()}>{words.button}</Button>
        )
      }
    >
      <p>{words.told}</p>
      {done === null ? (
        <label className={styles.confirm} htmlFor={field}>
          <span>Type <b>{phrase}</b> to go on</span>
          <input id={field} value={text} data-first autoComplete="off" onChange={(event) => setText(event.target.value)} />
        </label>
      ) : (
        <p role="status"><progress value={done} max={ids.length} aria-label="Progress" /> {done.toLocaleString("en")} of {ids.length.toLocaleString("en")} {words.done}</p>
      )}
      {failures.slice(0, FAILURES_SHOWN).map(({ id, error }) => <Failed key={id} what={`${nameOf(id)}: not ${words.done}`} error={error} />)}
      {failures.length > FAILURES_SHOWN && <p>And {failures.length - FAILURES_SHOWN} more. They stay selected.</p>}
    </Dialog>
  );
}

const DEEDS: Record<Deed, (thread: string) => Promise<unknown>> = {
  delete: (thread) => client.threads.delete(thread),
  cancel: async (thread) => {
    const runs = await client.runs.list(thread, { limit: RUNS_MAX });
    const open = runs.filter((run) => run.status === "pending" || run.status === "running");
    await Promise.all(open.map((run) => client.runs.cancel(thread, run.run_id, false, "interrupt")));
  },
};
