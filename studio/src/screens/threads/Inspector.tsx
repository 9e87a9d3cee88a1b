// The state at one moment: its values, what changed, the task behind it, and the raw JSON.

import type { ThreadState } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { diffWords } from "diff";
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { changes, patch, same, type Change } from "../../data/diff";
import type { Checkpoint, Step, StepTask } from "../../data/history";
import type { LiveTask } from "../../data/live";
import { schemasQuery, stateQuery, type JsonSchema } from "../../data/queries";
import { Button } from "../../parts/Button";
import { CopyRequest } from "../../parts/CopyRequest";
import { CopyText, useCopy } from "../../parts/CopyText";
import { JsonTree, kindOf } from "../../parts/JsonTree";
import { Empty, Failed, Loading } from "../../parts/notices";
import { StateMark } from "../../parts/StateMark";
import { Tabs } from "../../parts/Tabs";
import { span } from "../../parts/time";
import { Instances } from "./Instances";
import type { Chosen, Tab, ThreadData } from "./useThread";
import styles from "./Inspector.module.css";

export const TABS = [
  { id: "state", label: "State" },
  { id: "diff", label: "Diff" },
  { id: "task", label: "Task" },
  { id: "json", label: "JSON" },
] as const satisfies readonly { id: Tab; label: string }[];

interface Props {
  id: string;
  data: ThreadData;
  chosen: Chosen;
  onChoose: (change: Partial<Chosen>) => void;
  onEdit: () => void;
  onAgain: () => void;
  /** Why nothing can be changed now. */
  refused: string | undefined;
}

export function Inspector({ id, data, chosen, onChoose, onEdit, onAgain, refused }: Props) {
  const { at, steps, path } = data;
  const step = steps.find((it) => it.checkpoint?.id === at?.id) ?? null;
  const { moment, error, refetch } = useMoment(id, data, chosen.cp === null);
  return (
    <aside className={styles.inspector} aria-label="Inspector">
      <h2 className="visually-hidden">Inspector</h2>
      <Tabs label="Views of the state" tabs={TABS} chosen={chosen.tab} onChoose={(tab) => onChoose({ tab })}>
        {chosen.tab === "task" ? <TaskView data={data} chosen={chosen} step={step} onChoose={onChoose} />
          : at === null ? <Empty title="No state yet.">The first checkpoint is saved when a run begins.</Empty>
          : error ? <Failed what="The state could not be read" error={error} onRetry={refetch} />
          : !moment ? <Loading what="the state" onRetry={refetch} />
          : chosen.tab === "diff" ? <DiffView id={id} before={chosen.cmp ?? previous(path, moment.at)} at={moment.at} after={moment.state} pinned={chosen.cmp !== null} onUnpin={() => onChoose({ cmp: null })} />
          : chosen.tab === "json" ? <Raw state={moment.state} path={`/threads/${id}/state/${moment.at.id}`} />
          : <StateView moment={moment} path={path} assistant={data.assistant ?? data.graph} onChoose={onChoose} />}
      </Tabs>
      {at && (
        <footer className={styles.foot}>
          <Button icon="fork" onClick={onEdit} refused={refused}>Edit and fork</Button>
          <Button icon="play" onClick={onAgain} refused={refused}>Run from here</Button>
          <Button
            kind="quiet" icon="pin" aria-pressed={chosen.cmp === at.id} title="Compare it with the steps that are chosen from now on"
            onClick={() => onChoose(chosen.cmp === at.id ? { cmp: null } : { cmp: at.id })}
          >
            {chosen.cmp === at.id ? "Unpin" : <>Pin<span className="visually-hidden"> to compare</span></>}
          </Button>
        </footer>
      )}
    </aside>
  );
}

/** A state that is here, with the one before it. */
interface Moment {
  at: Checkpoint;
  state: ThreadState;
  /** Nothing while it is on its way. */
  before: ThreadState["values"] | undefined;
}

/**
 * The moment that is shown. While the newest one is followed it may be some steps behind: the next
 * is asked for when the last is here, since a quick run makes them faster than they can be read.
 */
function useMoment(id: string, { at, head, path }: ThreadData, follows: boolean) {
  const [asked, ask] = useState(at?.id ?? null);
  const next = (follows && path.find((it) => it.id === asked)) || at;
  const before = previous(path, next);
  // A newest state may still get results of its tasks; older ones never change.
  const state = useQuery({
    ...stateQuery(id, next?.id ?? null), enabled: next !== null, staleTime: next?.id === head?.id ? 1_000 : Infinity,
  });
  const old = useQuery({ ...stateQuery(id, before), enabled: before !== null, staleTime: Infinity });
  const isSettled = !state.isFetching && !old.isFetching;
  useEffect(() => {
    if (isSettled || !follows || asked === null) ask(at?.id ?? null);
  }, [isSettled, follows, asked, at?.id]);
  const last = useRef<(Moment & { id: string }) | null>(null);
  if (next && state.data) last.current = { id, at: next, state: state.data, before: old.data?.values };
  const moment = (next && state.data) || (follows && last.current?.id === id) ? last.current : null;
  return { moment, error: state.error, refetch: () => void state.refetch() };
}

/** The checkpoint before this one that holds a state. */
export function previous(path: Checkpoint[], at: Checkpoint | null): string | null {
  const place = path.findIndex((it) => it.id === at?.id);
  return place > 0 ? path[place - 1]?.id ?? null : null;
}

function StateView({ moment, path, assistant, onChoose }: {
  moment: Moment; path: Checkpoint[]; assistant: string | null; onChoose: (change: Partial<Chosen>) => void;
}) {
  const { at, state } = moment;
  const { data: schemas } = useQuery({ ...schemasQuery(assistant ?? ""), enabled: assistant !== null });
  const rules = useMemo(() => new Map((schemas?.channels ?? []).map((it) => [it.key, it.rule])), [schemas]);
  const [text, setText] = useState("");
  const values = state.values as Record<string, unknown> | null;
  const writers = useMemo(() => lastWriters(path, at), [path, at]);
  const shown = Object.entries(values ?? {}).filter(([key, value]) =>
    !text || `${key} ${JSON.stringify(value)}`.toLowerCase().includes(text.toLowerCase()));
  const oldValues = moment.before as Record<string, unknown> | undefined;
  if (!values || Object.keys(values).length === 0) return <Empty title="The state is empty." />;
  return (
    <div className={styles.state}>
      <input type="search" placeholder="Search in the state" aria-label="Search in the state" value={text} onChange={(event) => setText(event.target.value)} />
      {shown.map(([key, value]) => {
        const change = !oldValues ? null : !(key in oldValues) ? "added" : same(oldValues[key], value) ? null : "changed";
        return (
          <section key={key} className={styles.entry} data-change={change ?? undefined}>
            <header>
              <h3>{key}</h3>
              {change && <span className={styles.change}>{change === "added" ? "+ added" : "± changed"}</span>}
              <span className={styles.soft}>
                {[typeWords(value, typeOf(key, schemas?.state_schema ?? null)), ruleWords(rules.get(key))].filter(Boolean).join(" · ")}
              </span>
              {writers.has(key) && <Writer by={writers.get(key)} onChoose={onChoose} />}
            </header>
            <JsonTree value={value} open={Boolean(text)} />
          </section>
        );
      })}
      {shown.length === 0 && <Empty title={`Nothing in the state has “${text}”.`} />}
    </div>
  );
}

interface Written {
  name: string;
  task: string;
  /** The checkpoint that came of it, and its step. */
  checkpoint: string;
  step: number;
}

/** Who wrote each key last, as far as the results of tasks tell. */
function lastWriters(path: Checkpoint[], at: Checkpoint): Map<string, Written> {
  const writers = new Map<string, Written>();
  const end = path.findIndex((it) => it.id === at.id);
  for (const [place, checkpoint] of path.slice(0, end).entries()) {
    const next = path[place + 1];
    for (const task of checkpoint.tasks) {
      if (!next || task.result === null || typeof task.result !== "object") continue;
      const name = task.name === "__start__" ? "the input" : task.name;
      for (const key of Object.keys(task.result)) writers.set(key, { name, task: task.id, checkpoint: next.id, step: next.step });
    }
  }
  return writers;
}

function Writer({ by, onChoose }: { by: Written | undefined; onChoose: (change: Partial<Chosen>) => void }) {
  if (!by) return null;
  if (by.name === "the input") return <span className={styles.soft}>by the input</span>;
  return (
    <button
      type="button" className={styles.writer} title="Show the task that wrote it"
      onClick={() => onChoose({ cp: by.checkpoint, task: by.task, tab: "task" })}
    >
      by {by.name}, step {by.step}
    </button>
  );
}

/** What a value is and was declared as, each once. */
function typeWords(value: unknown, declared: string | undefined): string {
  const kind = kindOf(value);
  if (!declared || declared === "array" || declared === "object") return kind;
  return value !== null && typeof value === "object" ? `${declared}, ${kind}` : declared;
}

/** By which rule a key takes writes, in words. */
function ruleWords(rule: string | undefined): string | undefined {
  switch (rule) {
    case "last_value": return "last value stays";
    case "any_value": return "any value of a step";
    case "ephemeral": return "for one step";
    case "append": return "appends";
    case "add": return "adds";
    case "merge": return "merges keys";
    case "messages": return "messages by id";
    case "topic": return "collects";
    case "function": return "own reducer";
    default: return rule;
  }
}

/** The declared type of a key in words, where the schema has one word for it. */
function typeOf(key: string, schema: JsonSchema | null): string | undefined {
  const of = (it: unknown): string | undefined => {
    const { type, $ref, anyOf, format } = (it ?? {}) as { type?: unknown; $ref?: string; anyOf?: unknown[]; format?: string };
    if ($ref) return $ref.split("/").pop();
    if (Array.isArray(anyOf)) return [...new Set(anyOf.map(of).filter((word) => word && word !== "null"))].join(" or ") || undefined;
    const words = (Array.isArray(type) ? type : [type]).filter((word) => typeof word === "string" && word !== "null");
    return format && words[0] === "string" ? format : words.join(" or ") || undefined;
  };
  if (schema === null || typeof schema === "boolean") return undefined;
  return of((schema.properties as Record<string, unknown> | undefined)?.[key]);
}

function DiffView({ id, before, at, after, pinned, onUnpin }: {
  id: string; before: string | null; at: Checkpoint; after: ThreadState; pinned: boolean; onUnpin: () => void;
}) {
  const old = useQuery({ ...stateQuery(id, before), enabled: before !== null && before !== at.id, staleTime: Infinity });
  const oldValues = before === null ? {} : old.data?.values;
  const found = useMemo(() => (oldValues === undefined ? [] : changes(oldValues, after.values)), [oldValues, after]);
  const [, copy] = useCopy();
  if (before === at.id) return <Empty title="This checkpoint is the pinned one.">Choose another to compare it with.</Empty>;
  if (old.error) return <Failed what="The other state could not be read" error={old.error} />;
  if (oldValues === undefined) return <Loading what="the other state" />;
  const keys = new Set(found.map((it) => it.path[0]));
  const count = (kind: Change["kind"]) => found.filter((it) => it.kind === kind).length;
  const unchanged = Object.keys(after.values ?? {}).filter((key) => !keys.has(key));
  return (
    <div className={styles.diff}>
      <p className={styles.summary}>
        {pinned ? "Against the pinned checkpoint" : "Against the step before"}:{" "}
        <b>+{count("added")} added, ±{count("changed")} changed, −{count("removed")} removed</b>
        {pinned && <Button kind="quiet" onClick={onUnpin}>Compare with the step before</Button>}
      </p>
      {found.map((it) => (
        <section key={it.path.join("/")} className={styles.hunk} data-kind={it.kind}>
          <h3>
            <span className={styles.sign} aria-hidden="true">{{ added: "+", removed: "−", changed: "±" }[it.kind]}</span>
            <code>{it.path.join(" › ") || "state"}</code>
            <span className={styles.soft}>{it.kind}</span>
          </h3>
          {it.kind === "changed" && typeof it.before === "string" && typeof it.after === "string"
            ? <Words before={it.before} after={it.after} />
            : (
              <>
                {it.kind !== "added" && <div className={styles.old}><JsonTree value={it.before} name="before" open={it.kind === "removed"} /></div>}
                {it.kind !== "removed" && <div className={styles.new}><JsonTree value={it.after} name={it.kind === "added" ? "value" : "after"} open /></div>}
              </>
            )}
        </section>
      ))}
      {found.length === 0 && <Empty title="Nothing is different." />}
      {unchanged.length > 0 && (
        <details className={styles.unchanged}>
          <summary>{unchanged.length} unchanged</summary>
          <p>{unchanged.join(", ")}</p>
        </details>
      )}
      {found.length > 0 && (
        <p><Button kind="quiet" icon="copy" onClick={() => copy(JSON.stringify(patch(found), null, 2))}>Copy as JSON Patch</Button></p>
      )}
    </div>
  );
}

/** Characters of texts that are compared word by word. */
const WORDS_MAX = 40_000;

function Words({ before, after }: { before: string; after: string }) {
  const parts = useMemo(
    () => (before.length + after.length > WORDS_MAX ? null : diffWords(before, after, { timeout: 300 })), [before, after],
  );
  if (!parts) {
    return (
      <>
        <div className={styles.old}><JsonTree value={before} name="before" /></div>
        <div className={styles.new}><JsonTree value={after} name="after" /></div>
      </>
    );
  }
  return (
    <p className={styles.words}>
      {parts.map((part, place): ReactNode =>
        part.added ? <ins key={place}>{part.value}</ins> : part.removed ? <del key={place}>{part.value}</del> : part.value)}
    </p>
  );
}

function TaskView({ data, chosen, step, onChoose }: {
  data: ThreadData; chosen: Chosen; step: Step | null; onChoose: (change: Partial<Chosen>) => void;
}) {
  const all = data.steps.flatMap((it) => it.tasks.map((task) => ({ task, step: it })));
  const picked = chosen.task ? all.find(({ task }) => task.id === chosen.task) : undefined;
  const inner = chosen.task ? data.live.tasks.get(chosen.task) : undefined;
  const open = chosen.task ? data.steps.find((it) => it.key === chosen.task) : undefined;
  if (picked) {
    const among = picked.step.tasks.length;
    return (
      <>
        {among > 1 && (
          <p className={styles.among}>
            <Button kind="quiet" icon="up" onClick={() => onChoose({ task: picked.step.checkpoint ? null : picked.step.key, cp: picked.step.checkpoint?.id ?? null })}>All {among} of step {picked.step.number}</Button>
          </p>
        )}
        <OneTask task={picked.task} step={picked.step} />
      </>
    );
  }
  if (inner) return <InnerTask task={inner} />;
  const shown = open ?? step ?? data.steps.at(-1) ?? null;
  if (!shown || shown.tasks.length === 0) return <Empty title="No task here.">This moment came from an input or an edit.</Empty>;
  if (shown.tasks.length > 1) return <Instances step={shown} live={data.live} onChoose={(task) => onChoose({ task })} />;
  return <>{shown.tasks.map((task) => <OneTask key={task.id} task={task} step={shown} />)}</>;
}

function OneTask({ task, step }: { task: StepTask; step: Step }) {
  return (
    <section className={styles.task}>
      <header><h3>{task.name}</h3><StateMark state={task.state} /></header>
      <dl>
        <dt>Step</dt><dd>{step.number}</dd>
        {task.took !== undefined && <><dt>Time</dt><dd>{span(task.took)}</dd></>}
        {step.took !== undefined && <><dt>Step took</dt><dd>{span(step.took)}</dd></>}
        <dt>Id</dt><dd><CopyText text={task.id} /></dd>
      </dl>
      {task.error && <p className={styles.error}>{task.error}</p>}
      {task.interrupts.map((it, place) => (
        <div key={it.id ?? place}><h4>Question</h4><JsonTree value={it.value} open /></div>
      ))}
      {task.result !== null && task.result !== undefined && <div><h4>Output</h4><JsonTree value={task.result} open /></div>}
      {task.live?.input !== undefined && <div><h4>Input</h4><JsonTree value={task.live.input} /></div>}
    </section>
  );
}

function InnerTask({ task }: { task: LiveTask }) {
  return (
    <section className={styles.task}>
      <header><h3>{task.name}</h3><StateMark state={task.state} /></header>
      <dl>
        <dt>Inside</dt><dd>{task.ns.map((part) => part.split(":")[0]).join(" › ")}</dd>
        {task.ended !== undefined && <><dt>Time</dt><dd>{span(task.ended - task.began)}</dd></>}
        <dt>Id</dt><dd><CopyText text={task.id} /></dd>
      </dl>
      {task.error && <p className={styles.error}>{task.error}</p>}
      {task.result !== undefined && <div><h4>Output</h4><JsonTree value={task.result} open /></div>}
      {task.input !== undefined && <div><h4>Input</h4><JsonTree value={task.input} /></div>}
    </section>
  );
}

/** Characters of raw JSON that are shown; all of it can be copied. */
const RAW_MAX = 200_000;

function Raw({ state, path }: { state: ThreadState; path: string }) {
  const text = useMemo(() => JSON.stringify(state, null, 2), [state]);
  const [copied, copy] = useCopy();
  return (
    <div className={styles.raw}>
      <p className={styles.actions}>
        <Button icon="copy" onClick={() => copy(text)}><span role="status">{copied ? "Copied" : "Copy"}</span></Button>
        <Button icon="download" onClick={() => download(text)}>Download</Button>
        <CopyRequest path={path} />
      </p>
      <pre tabIndex={0} aria-label="State as JSON">{text.slice(0, RAW_MAX)}{text.length > RAW_MAX && `\n… ${text.length - RAW_MAX} more characters`}</pre>
    </div>
  );
}

function download(text: string) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "state.json";
  link.click();
  URL.revokeObjectURL(url);
}
