// What is sent to a thread: an input for its graph.

import { useQuery } from "@tanstack/react-query";
import type { Run } from "@langchain/langgraph-sdk";
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useLocation } from "wouter";
import { client } from "../../data/client";
import { FILES_MAX, Unfit, attach, contentOf, roomFor, type Attachment } from "../../data/attachments";
import { assistantsQuery, drawingQuery, infoQuery, runsQuery, schemasQuery } from "../../data/queries";
import { startRun, type WhenBusy } from "../../data/runs";
import { takesMessages } from "../../data/schemas";
import { tell, useStops } from "../../data/stops";
import { modKey } from "../../app/shortcuts";
import { Form, useForm } from "../../forms";
import { Button } from "../../parts/Button";
import { Failed } from "../../parts/notices";
import { Tabs } from "../../parts/Tabs";
import { Attachments, filesOf } from "./Attachments";
import { AS_EVER, RunSettings, refusedBy } from "./RunSettings";
import styles from "./Composer.module.css";

/** What a graph takes that says nothing of it. */
const ANY = true;

const BUSY: { value: WhenBusy | "fork"; label: string; note: string }[] = [
  { value: "enqueue", label: "Queue", note: "It waits for its turn." },
  { value: "interrupt", label: "Interrupt", note: "What runs is stopped; what it saved stays." },
  { value: "rollback", label: "Roll back", note: "What runs is stopped and removed with all that it saved." },
  { value: "fork", label: "Fork", note: "It runs on a copy of the thread; what runs goes on." },
];

interface Props {
  /** None for a thread that is made by sending. */
  thread: string | null;
  assistant: string | null;
  busy: boolean;
  /** Makes the thread, where there is none. */
  onThread?: (title: string) => Promise<string>;
  onStarted: (thread: string, run: string) => void;
}

export function Composer({ thread, assistant, busy, onThread, onStarted }: Props) {
  const { data: assistants } = useQuery(assistantsQuery);
  const [picked, setPicked] = useState<string | null>(null);
  // An assistant is named by its id, or by the graph whose own it is.
  const named = assistants?.find((it) => it.assistant_id === assistant)
    ?? assistants?.find((it) => it.graph_id === assistant && it.metadata?.created_by === "system");
  const chosen = picked ?? named?.assistant_id ?? assistant ?? assistants?.[0]?.assistant_id ?? null;
  const { data: schemas } = useQuery({ ...schemasQuery(chosen ?? ""), enabled: chosen !== null });
  const chats = takesMessages(schemas?.input_schema ?? null);
  const [mode, setMode] = useState<"message" | "form">("form");
  const [message, setMessage] = useState("");
  const form = useForm(schemas?.input_schema ?? ANY);
  const [whenBusy, setWhenBusy] = useState<WhenBusy | "fork">("enqueue");
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [, go] = useLocation();
  const id = useId();

  // Below a question it may have come in out of sight.
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    section.current?.scrollIntoView({ block: "nearest" });
  }, []);

  // Another graph takes another input.
  const prepared = useRef<string | null>(null);
  useEffect(() => {
    if (!schemas || prepared.current === chosen) return;
    prepared.current = chosen;
    setMode(takesMessages(schemas.input_schema) ? "message" : "form");
  }, [schemas, chosen]);

  const { data: runs } = useQuery({ ...runsQuery(thread ?? ""), enabled: thread !== null });
  const earlier = useMemo(() => inputsOf(runs ?? []), [runs]);
  const [back, setBack] = useState(0);
  const { data: drawing } = useQuery({ ...drawingQuery(chosen ?? "", false), enabled: chosen !== null });
  const nodes = (drawing?.nodes ?? []).map((node) => node.id).filter((node) => !/^__(start|end)__$/.test(node));
  const graph = assistants?.find((it) => it.assistant_id === chosen)?.graph_id ?? null;
  const [stops, toggleStop] = useStops(graph);
  const [settings, setSettings] = useState(AS_EVER);
  // Of another version of the graph there may be some that it does not have.
  const known = (names: readonly string[]) => names.filter((name) => nodes.includes(name));
  const { data: info } = useQuery(infoQuery);
  const [attached, setAttached] = useState<readonly Attachment[]>([]);
  const [dropping, setDropping] = useState(false);
  /** Takes an earlier input: 1 is the last one; 0 begins anew. */
  const recall = (place: number) => {
    const at = Math.max(0, Math.min(earlier.length, place));
    setBack(at);
    setMode("form");
    form.reset(at === 0 ? undefined : earlier[at - 1]);
  };

  const asMessage = chats && mode === "message";
  const refused = chosen === null ? "no graph is chosen" : refusedBy(settings) || asMessage && !message.trim() && attached.length === 0 && "the message is empty";
  const add = async (files: File[]) => {
    setProblem(null);
    let now = attached;
    for (const file of files) {
      try {
        if (now.length >= FILES_MAX) throw new Unfit(file.name, `a message has at most ${FILES_MAX} files`);
        now = [...now, await attach(file, roomFor(info?.limits.body_bytes_max, now))];
      } catch (error) {
        setProblem(error);
      }
    }
    setAttached(now);
  };

  const send = async () => {
    if (refused || sending || chosen === null) return;
    const checked = asMessage ? { ok: true as const, value: { messages: [{ role: "user", content: contentOf(message, attached) }] } } : form.check();
    if (!checked.ok) return;
    setSending(true);
    setProblem(null);
    try {
      let target = thread ?? (await onThread?.(asMessage ? message.slice(0, 80) : ""));
      if (!target) return;
      if (busy && whenBusy === "fork") {
        const copy = (await client.threads.copy(target)) as unknown as { thread_id: string };
        target = copy.thread_id;
      }
      const run = await startRun(target, {
        assistant: chosen, input: checked.value as Record<string, unknown> | null,
        whenBusy: busy && whenBusy !== "fork" ? whenBusy : undefined,
        stepsMax: settings.steps ? Number(settings.steps) : undefined, durability: settings.durability || undefined,
        interruptBefore: listed(known(stops.before)), interruptAfter: listed(known(stops.after)),
      });
      setMessage("");
      setAttached([]);
      if (thread !== null && target !== thread) go(`/threads/${target}?run=${run.run_id}`);
      else onStarted(target, run.run_id);
    } catch (error) {
      if (asMessage || !form.refuse(error, "/input")) setProblem(error);
    } finally {
      setSending(false);
    }
  };
  const onKey = (event: KeyboardEvent) => {
    const step = event.altKey ? { ArrowUp: 1, ArrowDown: -1 }[event.key] : undefined;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void send();
    } else if (step && earlier.length > 0) {
      event.preventDefault();
      recall(back + step);
    }
  };
  return (
    <section
      ref={section} className={styles.composer} aria-label="New run" data-dropping={dropping || undefined}
      onDragOver={(event) => {
        if (!asMessage || !event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        setDropping(true);
      }}
      onDragLeave={() => setDropping(false)}
      onDrop={(event) => {
        setDropping(false);
        if (!asMessage) return;
        event.preventDefault();
        void add(filesOf(event.dataTransfer));
      }}
    >
      <div className={styles.bar}>
        <label htmlFor={`${id}-graph`}>Assistant</label>
        <select id={`${id}-graph`} value={chosen ?? ""} onChange={(event) => setPicked(event.target.value)}>
          {chosen === null && <option value="">…</option>}
          {(assistants ?? []).map((it) => (
            <option key={it.assistant_id} value={it.assistant_id}>
              {it.name}{it.metadata?.created_by === "system" ? "" : ` (v${it.version})`}
            </option>
          ))}
        </select>
        {chats && (
          <Tabs
            label="Form of the input" tabs={[{ id: "message", label: "Message" }, { id: "form", label: "Form" }]}
            chosen={mode} onChoose={setMode}
          />
        )}
        {earlier.length > 0 && (
          <Button kind="quiet" onClick={() => recall(back + 1)} refused={back >= earlier.length && "this is the first one"} title="Alt ↑">Earlier input</Button>
        )}
        <Button
          kind="primary" icon="play" busy={sending} refused={refused} onClick={() => void send()} className={styles.send}
          title={`${modKey} Enter`}
        >
          Run
        </Button>
      </div>
      {asMessage ? (
        <>
          <textarea
            className={styles.message} rows={3} value={message} aria-label="Message" placeholder={`Message, ${modKey} Enter sends it. Files can be pasted or dropped.`}
            onChange={(event) => setMessage(event.target.value)} onKeyDown={onKey}
            onPaste={(event) => {
              const files = filesOf(event.clipboardData);
              if (files.length === 0) return;
              event.preventDefault();
              void add(files);
            }}
          />
          <Attachments attached={attached} onAdd={(files) => void add(files)} onRemove={(id) => setAttached(attached.filter((it) => it.id !== id))} />
        </>
      ) : (
        <div className={thread ? styles.form : undefined} onKeyDown={onKey}><Form form={form} label="Input" /></div>
      )}
      {nodes.length > 0 && (
        <details className={styles.options}>
          <summary>Stops{tell(stops) && `: ${tell(stops)}`}</summary>
          {(["before", "after"] as const).map((where) => (
            <fieldset key={where}>
              <legend>Pause {where}</legend>
              {nodes.map((node) => (
                <label key={node}>
                  <input type="checkbox" checked={stops[where].includes(node)} onChange={() => toggleStop(node, where)} />
                  {node}
                </label>
              ))}
            </fieldset>
          ))}
        </details>
      )}
      <RunSettings settings={settings} onChange={setSettings} />
      {busy && (
        <fieldset className={styles.busy}>
          <legend>A run is on this thread. The new one is to</legend>
          {BUSY.map(({ value, label, note }) => (
            <label key={value}>
              <input type="radio" name={`${id}-busy`} checked={whenBusy === value} onChange={() => setWhenBusy(value)} />
              <b>{label}</b> <span>{note}</span>
            </label>
          ))}
        </fieldset>
      )}
      {problem !== null && <Failed what={problem instanceof Unfit ? "A file was not attached" : "The run was not started"} error={problem} onRetry={() => void send()} />}
    </section>
  );
}

/** A list that is sent only if there is something in it. */
function listed(names: string[]): string[] | undefined {
  return names.length ? names : undefined;
}

/** What the runs of a thread were given, the last one first, each once. */
function inputsOf(runs: Run[]): unknown[] {
  const seen = new Set<string>();
  return runs.flatMap((run) => {
    const input = (run as unknown as { kwargs?: { input?: unknown } }).kwargs?.input;
    const text = JSON.stringify(input);
    if (input === null || input === undefined || seen.has(text)) return [];
    seen.add(text);
    return [input];
  });
}
