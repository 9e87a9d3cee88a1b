// What is sent to a thread: an input for its graph.

import { useQuery } from "@tanstack/react-query";
import type { Run } from "@langchain/langgraph-sdk";
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useLocation } from "wouter";
import { client } from "../../data/client";
import { assistantsQuery, drawingQuery, runsQuery, schemasQuery } from "../../data/queries";
import { startRun, type WhenBusy } from "../../data/runs";
import { takesMessages } from "../../data/schemas";
import { modKey } from "../../app/shortcuts";
import { Form, useForm } from "../../forms";
import { Button } from "../../parts/Button";
import { Failed } from "../../parts/notices";
import { Tabs } from "../../parts/Tabs";
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
  const [stops, setStops] = useState<ReadonlySet<string>>(new Set());
  /** Takes an earlier input: 1 is the last one; 0 begins anew. */
  const recall = (place: number) => {
    const at = Math.max(0, Math.min(earlier.length, place));
    setBack(at);
    setMode("form");
    form.reset(at === 0 ? undefined : earlier[at - 1]);
  };

  const asMessage = chats && mode === "message";
  const refused = chosen === null ? "no graph is chosen" : asMessage && !message.trim() && "the message is empty";

  const send = async () => {
    if (refused || sending || chosen === null) return;
    const checked = asMessage ? { ok: true as const, value: { messages: [{ role: "user", content: message }] } } : form.check();
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
        interruptBefore: stops.size ? [...stops] : undefined,
      });
      setMessage("");
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
    <section className={styles.composer} aria-label="New run">
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
        <textarea
          className={styles.message} rows={3} value={message} aria-label="Message" placeholder={`Message, ${modKey} Enter sends it`}
          onChange={(event) => setMessage(event.target.value)} onKeyDown={onKey}
        />
      ) : (
        <div className={thread ? styles.form : undefined} onKeyDown={onKey}><Form form={form} label="Input" /></div>
      )}
      {nodes.length > 0 && (
        <details className={styles.options}>
          <summary>Stops{stops.size > 0 && `: before ${[...stops].join(", ")}`}</summary>
          <fieldset>
            <legend>Pause before</legend>
            {nodes.map((node) => (
              <label key={node}>
                <input
                  type="checkbox" checked={stops.has(node)}
                  onChange={(event) => {
                    const next = new Set(stops);
                    if (event.target.checked) next.add(node);
                    else next.delete(node);
                    setStops(next);
                  }}
                />
                {node}
              </label>
            ))}
          </fieldset>
        </details>
      )}
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
      {problem !== null && <Failed what="The run was not started" error={problem} onRetry={() => void send()} />}
    </section>
  );
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
