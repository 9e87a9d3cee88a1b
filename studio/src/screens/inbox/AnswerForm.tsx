// The form under a question: fields from its schema, a text or JSON where it has none.

import { diffWords } from "diff";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { modKey, useShortcuts } from "../../app/shortcuts";
import { Changed, Gone, answer, type Audit, type Question } from "../../data/questions";
import { Form, isObject, useForm, type AnySchema } from "../../forms";
import { Button } from "../../parts/Button";
import { CopyRequest } from "../../parts/CopyRequest";
import { JsonField, parseJson } from "../../parts/JsonField";
import { Failed } from "../../parts/notices";
import { Tabs } from "../../parts/Tabs";
import { useSure } from "../../parts/useSure";
import { decisionsOf, type Decision } from "./asked";
import { draftOf, dropDraft, keepDraft } from "../../data/drafts";
import styles from "./Inbox.module.css";

interface Props {
  question: Question;
  onAnswered: (run: string, audit: Audit) => void;
  /** To the question as it was asked again. */
  onAgain?: (id: string) => void;
}

export function AnswerForm({ question, onAnswered, onAgain }: Props) {
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const changed = problem instanceof Changed ? problem : null;
  const gone = problem instanceof Gone || changed !== null;

  /** True when it was taken. */
  const send = async (value: unknown, refuse: (error: unknown) => boolean) => {
    if (sending || gone) return;
    setSending(true);
    setProblem(null);
    try {
      const { run, audit } = await answer(question, value);
      dropDraft(question.id);
      onAnswered(run, audit);
    } catch (error) {
      if (!refuse(error)) setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <section className={styles.answer} aria-labelledby="answer">
      <h3 id="answer">Your answer</h3>
      {question.schema === null ? (
        <FreeAnswer question={question} sending={sending} locked={gone} onSend={(value) => void send(value, () => false)} />
      ) : (
        <SchemaAnswer question={question} schema={question.schema} sending={sending} locked={gone} onSend={send} />
      )}
      {changed && <Again question={question} now={changed.now} onAgain={onAgain && (() => {
        // What was written goes along.
        const draft = draftOf(question.id);
        if (draft !== undefined) keepDraft(changed.now.id, draft);
        onAgain(changed.now.id);
      })} />}
      {gone && !changed && (
        <p className={styles.gone} role="alert">
          <b>Answered elsewhere.</b> Somebody else has answered this question meanwhile. What you wrote stays here to be copied.
        </p>
      )}
      {problem !== null && !gone && (
        <Failed what="The answer was not taken" error={problem} safe="The question is still open, and what you wrote is kept in this browser." />
      )}
    </section>
  );
}

/** The answer was refused: what it would have been about is not what was read. */
function Again({ question, now, onAgain }: { question: Question; now: { value: unknown }; onAgain: (() => void) | undefined }) {
  const said = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
  const parts = useMemo(() => diffWords(said(question.value), said(now.value), { timeout: 300 }) ?? null, [question.value, now.value]);
  return (
    <div className={styles.gone} role="alert">
      <p><b>The question has changed since you opened it.</b> Your answer was not given. This is what became of it:</p>
      <pre className={styles.diff} tabIndex={0} aria-label="What became of the question">
        {parts ? parts.map((part, at) => (part.added ? <ins key={at}>{part.value}</ins> : part.removed ? <del key={at}>{part.value}</del> : <span key={at}>{part.value}</span>)) : said(now.value)}
      </pre>
      {onAgain && <p><Button kind="primary" onClick={onAgain}>Go to the question as it is now</Button></p>}
    </div>
  );
}

interface SchemaProps {
  question: Question;
  schema: AnySchema;
  sending: boolean;
  locked: boolean;
  onSend: (value: unknown, refuse: (error: unknown) => boolean) => Promise<void>;
}

function SchemaAnswer({ question, schema, sending, locked, onSend }: SchemaProps) {
  const buttons = decisionsOf(schema);
  const form = useForm(schema, draftOf(question.id));
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (form.changed) keepDraft(question.id, form.value);
  }, [question.id, form.value, form.changed]);

  const refuse = (error: unknown) => form.refuse(error, `/command/resume/${question.id}`);
  const submit = () => {
    const checked = form.check();
    if (checked.ok) void onSend(checked.value, refuse);
  };
  const decide = (decision: Decision) => {
    form.set(buttons?.key ? { ...(isObject(form.value) ? form.value : {}), [buttons.key]: decision.value } : decision.value);
    submit();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || buttons) return;
    event.preventDefault();
    submit();
  };
  const first = () => box.current?.querySelector<HTMLElement>("[data-decision], [data-send]")?.focus();
  const edit = () => box.current?.querySelector<HTMLElement>("input, textarea, select")?.focus();
  useShortcuts("Question", [
    { keys: "a", label: "Go to the first choice", run: first },
    { keys: "e", label: "Go to the form", run: edit },
  ]);
  const hasFields = buttons === null || buttons.key !== null && Object.keys((schema as { properties: object }).properties).length > 1;
  return (
    <div ref={box} onKeyDown={onKey} className={styles.fields}>
      {hasFields && <Form form={form} locked={locked} without={buttons?.key ? [buttons.key] : []} label="Your answer" />}
      <div className={styles.buttons}>
        {buttons ? (
          buttons.decisions.map((decision, place) => (
            <DecisionButton key={place} decision={decision} first={place === 0} busy={sending} off={locked} onDecide={() => decide(decision)} />
          ))
        ) : (
          <Button data-send kind="primary" busy={sending} refused={locked && "it was answered elsewhere"} onClick={submit} title={`${modKey} Enter`}>Answer</Button>
        )}
        <AsRequest question={question} answer={form.value} />
        {form.changed && !locked && <span className={styles.soft}>Draft kept in this browser</span>}
      </div>
    </div>
  );
}

/** The answer as it would be given from a terminal. */
function AsRequest({ question, answer }: { question: Question; answer: unknown }) {
  const { thread_id: thread, metadata } = question.thread;
  const body = { assistant_id: metadata?.assistant_id ?? metadata?.graph_id, command: { resume: { [question.id]: answer } } };
  return <CopyRequest method="POST" path={`/threads/${thread}/runs`} body={body} />;
}

interface DecisionProps {
  decision: Decision;
  first: boolean;
  busy: boolean;
  off: boolean;
  onDecide: () => void;
}

function DecisionButton({ decision, first, busy, off, onDecide }: DecisionProps) {
  const [sure, press] = useSure(onDecide);
  return (
    <>
      <Button
        data-decision kind={decision.grave ? "danger" : first ? "primary" : "plain"} busy={busy}
        refused={off && "it was answered elsewhere"} onClick={decision.grave ? press : onDecide}
      >
        {sure ? `Press again: ${decision.label}` : decision.label}
      </Button>
      {decision.grave && <span className="visually-hidden" role="status">{sure ? "Press again to be sure" : ""}</span>}
    </>
  );
}

interface FreeProps {
  question: Question;
  sending: boolean;
  locked: boolean;
  onSend: (value: unknown) => void;
}

/** The graph says nothing of the form: a text, or any JSON. */
function FreeAnswer({ question, sending, locked, onSend }: FreeProps) {
  const { id } = question;
  const draft = draftOf(id) as { text?: string; json?: string; mode?: "text" | "json" } | undefined;
  const [mode, setMode] = useState<"text" | "json">(draft?.mode ?? "text");
  const [text, setText] = useState(draft?.text ?? "");
  const [json, setJson] = useState(draft?.json ?? "");
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (text || json) keepDraft(id, { text, json, mode });
  }, [id, text, json, mode]);
  const parsed = parseJson(json);
  const refused = locked ? "it was answered elsewhere"
    : mode === "text" ? !text.trim() && "the answer is empty"
    : !parsed.ok && "the answer is not JSON yet";
  const send = () => {
    if (refused) return;
    if (mode === "text") onSend(text);
    else if (parsed.ok) onSend(parsed.value);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    send();
  };
  const edit = () => box.current?.querySelector<HTMLElement>("textarea")?.focus();
  useShortcuts("Question", [{ keys: "a", label: "Go to the answer", run: edit }, { keys: "e", label: "Go to the form", run: edit }]);
  return (
    <div ref={box} className={styles.fields}>
      <Tabs
        label="Form of the answer" tabs={[{ id: "text", label: "Text" }, { id: "json", label: "JSON" }]}
        chosen={mode} onChoose={setMode}
      />
      {mode === "text" ? (
        <textarea className={styles.text} rows={4} aria-label="Answer" value={text} readOnly={locked} onChange={(event) => setText(event.target.value)} onKeyDown={onKey} />
      ) : (
        <JsonField label="Answer as JSON" hideLabel rows={5} text={json} onChange={setJson} onSubmit={send} />
      )}
      <div className={styles.buttons}>
        <Button kind="primary" busy={sending} refused={refused} onClick={send} title={`${modKey} Enter`}>Answer</Button>
        <AsRequest question={question} answer={mode === "text" ? text : parsed.ok ? parsed.value : null} />
      </div>
    </div>
  );
}
