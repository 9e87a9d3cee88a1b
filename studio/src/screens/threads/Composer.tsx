// What is sent to a thread: an input for its graph, or the answer to what it asked.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useRef, useState, type KeyboardEvent } from "react";
import { useLocation } from "wouter";
import { client } from "../../data/client";
import { assistantsQuery, schemasQuery } from "../../data/queries";
import { startRun, type WhenBusy } from "../../data/runs";
import { skeleton, takesMessages } from "../../data/skeleton";
import { modKey } from "../../app/shortcuts";
import { Button } from "../../parts/Button";
import { JsonField, parseJson } from "../../parts/JsonField";
import { Failed } from "../../parts/notices";
import { Tabs } from "../../parts/Tabs";
import { StateMark } from "../../parts/StateMark";
import styles from "./Composer.module.css";

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
  const chosen = picked ?? assistant ?? assistants?.[0]?.assistant_id ?? null;
  const { data: schemas } = useQuery({ ...schemasQuery(chosen ?? ""), enabled: chosen !== null });
  const chats = takesMessages(schemas?.input_schema ?? null);
  const [mode, setMode] = useState<"message" | "json">("json");
  const [message, setMessage] = useState("");
  const [json, setJson] = useState("{}");
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
    setJson(JSON.stringify(skeleton(schemas.input_schema), null, 2));
    setMode(takesMessages(schemas.input_schema) ? "message" : "json");
  }, [schemas, chosen]);

  const asMessage = chats && mode === "message";
  const parsed = parseJson(json);
  const refused =
    chosen === null ? "no graph is chosen"
    : asMessage ? !message.trim() && "the message is empty"
    : !parsed.ok && "the input is not JSON";

  const send = async () => {
    if (refused || sending || chosen === null) return;
    setSending(true);
    setProblem(null);
    try {
      const input = asMessage ? { messages: [{ role: "user", content: message }] } : parsed.ok ? parsed.value : null;
      let target = thread ?? (await onThread?.(asMessage ? message.slice(0, 80) : ""));
      if (!target) return;
      if (busy && whenBusy === "fork") {
        const copy = (await client.threads.copy(target)) as unknown as { thread_id: string };
        target = copy.thread_id;
      }
      const run = await startRun(target, {
        assistant: chosen, input: input as Record<string, unknown> | null,
        whenBusy: busy && whenBusy !== "fork" ? whenBusy : undefined,
      });
      setMessage("");
      if (thread !== null && target !== thread) go(`/threads/${target}?run=${run.run_id}`);
      else onStarted(target, run.run_id);
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void send();
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
            label="Form of the input" tabs={[{ id: "message", label: "Message" }, { id: "json", label: "JSON" }]}
            chosen={mode} onChoose={setMode}
          />
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
      ) : <JsonField label="Input as JSON" hideLabel text={json} onChange={setJson} rows={thread ? 5 : 12} onSubmit={() => void send()} />}
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

interface AnswerProps {
  thread: string;
  assistant: string;
  questions: { id?: string; value?: unknown }[];
  onStarted: (thread: string, run: string) => void;
}

/** Answers what a thread waits for. */
export function Answer({ thread, assistant, questions, onStarted }: AnswerProps) {
  const [answers, setAnswers] = useState<Record<number, string>>({});
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const valueOf = (place: number) => {
    const text = answers[place] ?? "";
    const parsed = parseJson(text);
    // What is no JSON is a text.
    return parsed.ok ? parsed.value : text;
  };
  const missing = questions.some((_, place) => !(answers[place] ?? "").trim());
  const send = async () => {
    if (missing || sending) return;
    setSending(true);
    setProblem(null);
    try {
      const all = questions.every((it) => it.id)
        ? Object.fromEntries(questions.map((it, place) => [it.id as string, valueOf(place)]))
        : valueOf(0);
      const run = await startRun(thread, { assistant, command: { resume: all } });
      setAnswers({});
      onStarted(thread, run.run_id);
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <section className={styles.answer} aria-label="Answer">
      {questions.map((it, place) => (
        <label key={it.id ?? place} className={styles.question}>
          <StateMark state="waiting" word={typeof it.value === "string" ? it.value : "The graph asks"} />
          {typeof it.value !== "string" && <pre tabIndex={0}>{JSON.stringify(it.value, null, 2)}</pre>}
          <textarea
            rows={2} value={answers[place] ?? ""} placeholder="A text, or JSON"
            onChange={(event) => setAnswers({ ...answers, [place]: event.target.value })}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void send();
            }}
          />
        </label>
      ))}
      <Button kind="primary" busy={sending} refused={missing && "an answer is missing"} onClick={() => void send()}>Answer</Button>
      {problem !== null && <Failed what="The answer was not taken" error={problem} />}
    </section>
  );
}
