// Dialogs that change something: fork with an edit, run again, rename, delete. History stays as it
// is; every edit makes a fork, and says so.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { client } from "../../data/client";
import type { Checkpoint } from "../../data/history";
import { assistantsQuery, schemasQuery, stateQuery, threadChanged, threadsChanged } from "../../data/queries";
import { startRun } from "../../data/runs";
import { useStops } from "../../data/stops";
import { same } from "../../data/diff";
import { Form, isObject, useForm, type AnySchema, type FormState } from "../../forms";
import { escaped } from "../../forms/check";
import { Button } from "../../parts/Button";
import { Dialog } from "../../parts/Dialog";
import { Failed, Loading } from "../../parts/notices";
import styles from "./Changes.module.css";

const TAGS_MAX = 20;
const TAG_CHARS_MAX = 60;

/** Rules by which a write is put together with what is there. */
const REDUCING = new Set(["append", "add", "merge", "messages", "function"]);

interface ForkProps {
  id: string;
  at: Checkpoint;
  assistant: string;
  nodes: string[];
  onClose: () => void;
  onForked: (checkpoint: string, run: string | null) => void;
}

/** Edits values at a checkpoint: first the fork is made, then one sees what would run next. */
export function Fork({ id, at, assistant, nodes, onClose, onForked }: ForkProps) {
  const state = useQuery({ ...stateQuery(id, at.id), staleTime: 0 });
  const values = state.data?.values as Record<string, unknown> | undefined;
  const { data: schemas, error: none } = useQuery(schemasQuery(assistant));
  // What was opened, as it is now; each entry has a form of its own.
  const [opened, setOpened] = useState<Record<string, unknown>>({});
  const forms = useRef(new Map<string, FormState>());
  const [asNode, setAsNode] = useState("");
  const [made, setMade] = useState<{ checkpoint: string; next: string[] } | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const field = useId();
  // Whoever edits a value says what it is to be, not what is to be added to it.
  const reduces = new Set((schemas?.channels ?? []).filter((it) => REDUCING.has(it.rule)).map((it) => it.key));
  const edited = Object.entries(opened).filter(([key, value]) => !same(value, values?.[key]));
  const refused = edited.length === 0 && "nothing is changed";

  const fork = async () => {
    // The first one that does not fit gets the focus.
    if (edited.some(([key]) => forms.current.get(key)?.check().ok === false)) return;
    setBusy(true);
    setProblem(null);
    try {
      const answer = (await client.threads.updateState(id, {
        values: Object.fromEntries(edited.map(([key, value]) => [key, reduces.has(key) ? { __overwrite__: value } : value])), checkpointId: at.id, asNode: asNode || undefined,
      })) as unknown as { checkpoint_id: string };
      const fresh = await client.threads.getState(id, answer.checkpoint_id);
      threadChanged(id);
      setMade({ checkpoint: answer.checkpoint_id, next: fresh.next });
    } catch (error) {
      if (!edited.some(([key]) => forms.current.get(key)?.refuse(error, `/values/${escaped(key)}`))) setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const run = async () => {
    if (!made) return;
    setBusy(true);
    try {
      const started = await startRun(id, { assistant, input: null, checkpoint: made.checkpoint });
      onForked(made.checkpoint, started.run_id);
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  if (made) {
    return (
      <Dialog
        title="The fork is made" onClose={() => onForked(made.checkpoint, null)}
        actions={
          <>
            <Button onClick={() => onForked(made.checkpoint, null)}>Stay paused</Button>
            <Button kind="primary" icon="play" busy={busy} refused={made.next.length === 0 && "nothing would run"} onClick={() => void run()}>Run it now</Button>
          </>
        }
      >
        <p>
          {made.next.length === 0 ? "Nothing would run next: this is an end of the graph."
            : <>Next: <b>{made.next.join(", ")}</b> ({made.next.length} {made.next.length === 1 ? "task" : "tasks"}).</>}
        </p>
        <p className={styles.soft}>What was there before is unchanged.</p>
        {problem !== null && <Failed what="The run was not started" error={problem} />}
      </Dialog>
    );
  }
  return (
    <Dialog
      title={`Edit the state after step ${at.step}`} onClose={onClose} wide
      actions={
        <>
          <span className={styles.left}>{edited.length > 0 && `${edited.length} changed: ${edited.map(([key]) => key).join(", ")}`}</span>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" icon="fork" busy={busy} refused={refused} onClick={() => void fork()}>Make the fork</Button>
        </>
      }
    >
      <p className={styles.soft}>This makes a fork. The history stays as it is.</p>
      {state.error && <Failed what="The state could not be read" error={state.error} />}
      {(!values || (!schemas && !none)) && !state.error && <Loading what="the state" />}
      {values && (schemas || none) && (
        <div className={styles.keys}>
          {Object.entries(values).map(([key, value]) => (
            <details key={key} open={key in opened || Object.keys(values).length === 1} onToggle={(event) => {
              if (event.currentTarget.open && !(key in opened)) setOpened({ ...opened, [key]: value });
            }}>
              <summary>{key}{edited.some(([it]) => it === key) && <span className={styles.changed}> ± changed</span>}</summary>
              {key in opened && (
                <Entry
                  name={key} schema={schemas?.state_schema ?? true} value={value} forms={forms.current}
                  onChange={(now) => setOpened((before) => ({ ...before, [key]: now }))}
                />
              )}
            </details>
          ))}
        </div>
      )}
      <label className={styles.row} htmlFor={field}>
        <span>As if it came from</span>
        <select id={field} value={asNode} onChange={(event) => setAsNode(event.target.value)}>
          <option value="">the node that ran last</option>
          {nodes.map((node) => <option key={node} value={node}>{node}</option>)}
        </select>
      </label>
      {problem !== null && <Failed what="The fork was not made" error={problem} safe="Nothing was changed." />}
    </Dialog>
  );
}

interface EntryProps {
  name: string;
  /** Of the whole state. */
  schema: AnySchema;
  value: unknown;
  forms: Map<string, FormState>;
  onChange: (value: unknown) => void;
}

/** One value of the state, as its schema has it; as JSON where there is none. */
function Entry({ name, schema, value, forms, onChange }: EntryProps) {
  const own = useMemo<AnySchema>(() => {
    const its = isObject(schema) && isObject(schema.properties) ? schema.properties[name] : undefined;
    // The title of a channel is the name of its type, if anything.
    return isObject(its) && isObject(schema) ? { ...its, title: name, $defs: schema.$defs } : true;
  }, [schema, name]);
  const form = useForm(own, value);
  forms.set(name, form);
  const told = useRef(onChange);
  told.current = onChange;
  useEffect(() => told.current(form.value), [form.value]);
  return <Form form={form} label={name} />;
}

interface AgainProps {
  id: string;
  at: Checkpoint;
  assistant: string;
  nodes: string[];
  onClose: () => void;
  onStarted: (run: string) => void;
}

/** Runs on from a checkpoint, as another assistant or with stops if wanted. */
export function Again({ id, at, assistant, nodes, onClose, onStarted }: AgainProps) {
  const { data: assistants } = useQuery(assistantsQuery);
  const [chosen, setChosen] = useState(assistant);
  const [stops, toggleStop] = useStops(assistants?.find((it) => it.assistant_id === chosen)?.graph_id ?? null);
  const listed = (names: readonly string[]) => {
    const known = names.filter((name) => nodes.includes(name));
    return known.length ? known : undefined;
  };
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const field = useId();
  const run = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const started = await startRun(id, {
        assistant: chosen, input: null, checkpoint: at.id, 
        interruptBefore: listed(stops.before), interruptAfter: listed(stops.after),
      });
      onStarted(started.run_id);
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={`Run from step ${at.step}`} onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" icon="play" busy={busy} refused={at.next.length === 0 && "nothing follows this step"} onClick={() => void run()}>Run</Button>
        </>
      }
    >
      <p>
        {at.next.length === 0 ? "This is an end of the graph: nothing follows. Choose an earlier step, or edit the state."
          : <>Next: <b>{[...new Set(at.next)].join(", ")}</b> ({at.next.length} {at.next.length === 1 ? "task" : "tasks"}). The new run is a fork; what is there stays.</>}
      </p>
      <label className={styles.row} htmlFor={field}>
        <span>As</span>
        <select id={field} value={chosen} onChange={(event) => setChosen(event.target.value)}>
          {(assistants ?? []).map((it) => <option key={it.assistant_id} value={it.assistant_id}>{it.name} v{it.version}</option>)}
        </select>
      </label>
      {(["before", "after"] as const).map((where) => (
        <fieldset key={where} className={styles.stops}>
          <legend>Stop {where}</legend>
          {nodes.map((node) => (
            <label key={node}>
              <input type="checkbox" checked={stops[where].includes(node)} onChange={() => toggleStop(node, where)} />
              {node}
            </label>
          ))}
        </fieldset>
      ))}
      {problem !== null && <Failed what="The run was not started" error={problem} />}
    </Dialog>
  );
}

export function Rename({ id, title, onClose }: { id: string; title: string; onClose: () => void }) {
  const [text, setText] = useState(title);
  const [problem, setProblem] = useState<unknown>(null);
  const field = useId();
  const save = async () => {
    try {
      await client.threads.update(id, { metadata: { title: text.trim() } });
      threadChanged(id);
      onClose();
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <Dialog title="Rename the thread" onClose={onClose} actions={<Button kind="primary" refused={!text.trim() && "the title is empty"} onClick={() => void save()}>Rename</Button>}>
      <form onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) void save();
      }}>
        <label className={styles.row} htmlFor={field}><span>Title</span><input id={field} value={text} data-first onChange={(event) => setText(event.target.value)} /></label>
      </form>
      {problem !== null && <Failed what="The thread was not renamed" error={problem} />}
    </Dialog>
  );
}

/** Words to find a thread by: `metadata.tags`. */
export function Tags({ id, tags, onClose }: { id: string; tags: string[]; onClose: () => void }) {
  const [text, setText] = useState(tags.join(", "));
  const [problem, setProblem] = useState<unknown>(null);
  const field = useId();
  const wanted = [...new Set(text.split(",").map((it) => it.trim()).filter(Boolean))];
  const refused = wanted.length > TAGS_MAX ? `a thread has at most ${TAGS_MAX} tags` : wanted.some((it) => it.length > TAG_CHARS_MAX) && `a tag has at most ${TAG_CHARS_MAX} characters`;
  const save = async () => {
    if (refused) return;
    try {
      await client.threads.update(id, { metadata: { tags: wanted } });
      threadChanged(id);
      onClose();
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <Dialog title="Tags of the thread" onClose={onClose} actions={<Button kind="primary" refused={refused} onClick={() => void save()}>Save</Button>}>
      <form onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}>
        <label className={styles.column} htmlFor={field}>
          <span>Words, separated by commas</span>
          <input id={field} value={text} data-first autoComplete="off" onChange={(event) => setText(event.target.value)} />
        </label>
      </form>
      {problem !== null && <Failed what="The tags were not saved" error={problem} />}
    </Dialog>
  );
}

export function Remove({ id, title, onClose, onRemoved }: { id: string; title: string; onClose: () => void; onRemoved: () => void }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const field = useId();
  const sure = text.trim() === title.trim();
  const remove = async () => {
    setBusy(true);
    try {
      await client.threads.delete(id);
      threadsChanged();
      onRemoved();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title="Delete the thread" onClose={onClose}
      actions={<Button kind="danger" busy={busy} refused={!sure && "the title is not typed yet"} onClick={() => void remove()}>Delete for ever</Button>}
    >
      <p>Its runs, checkpoints and events go with it. This cannot be undone.</p>
      <label className={styles.column} htmlFor={field}>
        <span>Type <b>{title}</b> to go on</span>
        <input id={field} value={text} data-first autoComplete="off" onChange={(event) => setText(event.target.value)} />
      </label>
      {problem !== null && <Failed what="The thread was not deleted" error={problem} />}
    </Dialog>
  );
}
