// What graphs ask of people: all open questions, and the one that is being answered.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { stateQuery } from "../../data/queries";
import { useOwnName } from "../../data/access";
import { same } from "../../data/diff";
import { askedAt, isSnoozed, useQuestions, type Audit, type Question } from "../../data/questions";
import { titleOf } from "../../data/titles";
import { Button } from "../../parts/Button";
import { leaveField } from "../../parts/leaveField";
import { JsonTree } from "../../parts/JsonTree";
import { Markdown } from "../../parts/Markdown";
import { Empty, Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { StateMark } from "../../parts/StateMark";
import { Ago, useNow } from "../../parts/time";
import { AnswerAlike } from "./AnswerAlike";
import { AnswerForm } from "./AnswerForm";
import { Care, Deadline, exact } from "./Care";
import { shown } from "./asked";
import styles from "./Inbox.module.css";

export default function Inbox() {
  const { id } = useParams<{ id?: string }>();
  const [, go] = useLocation();
  const { questions: all, paused, data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useQuestions();
  // Answered ones stay in view until the reader goes on.
  const [answered, setAnswered] = useState<{ question: Question; run: string; audit: Audit } | null>(null);
  const [which, setWhich] = useState<Which>("waiting");
  const [alike, setAlike] = useState<Question[] | null>(null);
  const name = useOwnName();
  const now = useNow(15_000);
  const questions = useMemo(() => all.filter((one) => belongs(one, which, name, now)), [all, which, name, now]);
  const found = all.find((one) => one.id === id);
  // What was opened is what is answered: if the thread asks something else meanwhile, one is told.
  const opened = useRef<Question | null>(null);
  if (opened.current?.id !== id) opened.current = found ?? null;
  const open = found && opened.current ? { ...opened.current, note: found.note } : found;
  const last = useRef<Question | null>(null);
  if (open) last.current = open;
  const place = questions.findIndex((one) => one.id === id);
  const show = (one: Question | undefined) => one && go(`/inbox/${one.id}`);
  const step = (by: number) => show(questions[place < 0 ? 0 : Math.min(questions.length - 1, Math.max(0, place + by))]);
  useShortcuts("Inbox", [
    { keys: "j", label: "Next question", run: () => step(1) },
    { keys: "k", label: "Previous question", run: () => step(-1) },
    ...(id ? [{ keys: "Escape", label: "Back to the list", run: () => leaveField() || go("/inbox") }] : []),
  ]);

  if (error && !data) return <Page title="Inbox"><Failed what="The questions could not be read" error={error} onRetry={() => void refetch()} /></Page>;
  if (isPending) return <Page title="Inbox"><Loading what="questions" onRetry={() => void refetch()} /></Page>;
  const isAnswered = answered !== null && answered.question.id === id;
  const gone = id !== undefined && !open && !isAnswered;
  const remembered = gone && last.current?.id === id ? last.current : null;
  if (all.length === 0 && !id) {
    return (
      <Page title="Inbox">
        <Empty title="Nobody is waiting for you." action={<Button onClick={() => go("/threads")}>Go to the threads</Button>}>
          A graph that asks a question stops, and its question waits here, for as long as it takes.
        </Empty>
        {paused > 0 && <Paused count={paused} />}
      </Page>
    );
  }
  return (
    <div className={styles.panes} data-open={id !== undefined}>
      <h1 className="visually-hidden">Inbox</h1>
      <section className={styles.side} aria-label="Questions">
        <header className={styles.head}>
          <b aria-hidden="true">Inbox</b>
          <span className={styles.soft} role="status">{questions.length}{hasNextPage ? " or more" : ""} {WHICH[which].word}</span>
        </header>
        <label className={styles.filter}>
          <span className="visually-hidden">Which questions</span>
          <select value={which} onChange={(event) => setWhich(event.target.value as Which)}>
            {(Object.keys(WHICH) as Which[]).map((one) => (
              <option key={one} value={one}>{WHICH[one].label} ({all.filter((question) => belongs(question, one, name, now)).length})</option>
            ))}
          </select>
        </label>
        {questions.length === 0 && <p className={styles.none}>{WHICH[which].none(name)}</p>}
        <ul className={styles.list}>
          {questions.map((one) => <Row key={one.id} question={one} here={one.id === id} />)}
        </ul>
        {hasNextPage && <Button className={styles.more} busy={isFetchingNextPage} onClick={() => void fetchNextPage()}>Show more</Button>}
        {paused > 0 && <Paused count={paused} />}
      </section>
      <div className={styles.main}>
        {id !== undefined && <Link href="/inbox" className={styles.back}>‹ All questions</Link>}
        {isAnswered ? (
          <Answered question={answered.question} run={answered.run} audit={answered.audit} next={questions.find((one) => one.id !== id)} onNext={show} />
        ) : open ? (
          <Detail
            key={open.id} question={open} others={alikeTo(open, all)} onAlike={setAlike}
            onAnswered={(run, audit) => setAnswered({ question: open, run, audit })} onAgain={(next) => go(`/inbox/${next}`)}
          />
        ) : remembered ? (
          <Detail
            key={remembered.id} question={remembered} others={[]} onAlike={setAlike}
            onAnswered={(run, audit) => setAnswered({ question: remembered, run, audit })} onAgain={(next) => go(`/inbox/${next}`)}
          />
        ) : gone ? (
          <Empty title="This question is not open any more." action={<Button onClick={() => go("/inbox")}>See what is</Button>}>
            It was answered, or its thread went on or was deleted.
          </Empty>
        ) : questions.length === 0 ? null : (
          <Empty title={`${questions.length === 1 ? "One question waits" : `${questions.length} questions wait`} for an answer.`} action={<Button kind="primary" onClick={() => show(questions[0])}>Start with the first</Button>} />
        )}
      </div>
      {alike && <AnswerAlike questions={alike} onClose={() => setAlike(null)} />}
    </div>
  );
}

type Which = "waiting" | "mine" | "unassigned" | "overdue" | "snoozed";

const WHICH: Record<Which, { label: string; word: string; none: (name: string) => string }> = {
  waiting: { label: "All that wait", word: "waiting", none: () => "All of them are put off for later." },
  mine: { label: "Mine", word: "mine", none: (name) => (name ? "Nothing is assigned to you." : "Say in the settings how you are called, and what is assigned to you is here.") },
  unassigned: { label: "Nobody's", word: "nobody's", none: () => "Everything has somebody who takes care of it." },
  overdue: { label: "Overdue", word: "overdue", none: () => "No deadline has passed." },
  snoozed: { label: "Put off", word: "put off", none: () => "Nothing is put off." },
};

function belongs(question: Question, which: Which, name: string, now: number): boolean {
  const snoozed = isSnoozed(question, now);
  switch (which) {
    case "waiting": return !snoozed;
    case "mine": return name.trim() !== "" && question.note.assigned === name.trim();
    case "unassigned": return !question.note.assigned && !snoozed;
    case "overdue": return Date.parse(shown(question.value).deadline ?? "") < now;
    case "snoozed": return snoozed;
  }
}

/** Other open questions that take the same answers. */
function alikeTo(question: Question, all: Question[]): Question[] {
  if (question.schema === null) return [];
  return all.filter((one) => one.id !== question.id && one.schema !== null && same(one.schema, question.schema));
}

function Paused({ count }: { count: number }) {
  return (
    <p className={styles.paused}>
      <Link href="/threads?status=interrupted">{count} {count === 1 ? "thread is" : "threads are"} paused</Link> without a question: stopped, or at a breakpoint.
    </p>
  );
}

function Row({ question, here }: { question: Question; here: boolean }) {
  const { thread, note } = question;
  const said = shown(question.value);
  return (
    <li>
      <Link href={`/inbox/${question.id}`} className={styles.row} aria-current={here ? "true" : undefined}>
        <span className={styles.title}>{said.title}</span>
        <span className={styles.soft}>{graphOf(question)} · {titleOf(thread)}</span>
        <span className={styles.when}><Ago at={askedAt(question)} /></span>
        {(note.assigned || said.deadline || note.snoozed_until) && (
          <span className={styles.facts}>
            {said.deadline && <Deadline at={said.deadline} />}
            {note.assigned && <span>{note.assigned}</span>}
            {note.snoozed_until && Date.parse(note.snoozed_until) > Date.now() && <span>put off until {exact(note.snoozed_until)}</span>}
          </span>
        )}
      </Link>
    </li>
  );
}

const graphOf = (question: Question) => {
  const graph = question.thread.metadata?.graph_id;
  return typeof graph === "string" ? graph : "a graph";
};

interface DetailProps {
  question: Question;
  /** Others that take the same answers. */
  others: Question[];
  onAlike: (questions: Question[]) => void;
  onAnswered: (run: string, audit: Audit) => void;
  onAgain: (id: string) => void;
}

function Detail({ question, others, onAlike, onAnswered, onAgain }: DetailProps) {
  const { thread } = question;
  const said = shown(question.value);
  const heading = useRef<HTMLHeadingElement>(null);
  const { data: state } = useQuery(stateQuery(thread.thread_id, null));
  const node = state?.tasks.find((task) => task.id === question.task)?.name;
  useEffect(() => {
    document.title = `${said.title} · Inbox · Genesis Mesh`;
    heading.current?.focus();
  }, [question.id, said.title]);
  return (
    <article className={styles.detail}>
      <header>
        <StateMark state="waiting" word="Waiting for an answer" />
        <h2 ref={heading} tabIndex={-1} className={styles.question}>{said.title}</h2>
        <p className={styles.where}>
          <span>{graphOf(question)}{node && ` › ${node}`}</span>
          <Link href={`/threads/${thread.thread_id}`}>{titleOf(thread)}</Link>
          <span>asked <Ago at={askedAt(question)} /></span>
          {said.deadline && <Deadline at={said.deadline} />}
        </p>
        <Care question={question} />
      </header>
      {said.text && <div className={styles.context}><Markdown text={said.text} /></div>}
      {said.actions.map((action, place) => (
        <section key={place} className={styles.action} aria-label={`Call ${place + 1}: ${action.name}`}>
          <h3>{said.actions.length > 1 && `${place + 1}. `}<code>{action.name}</code></h3>
          {action.description && <p className={styles.soft}>{action.description}</p>}
          <JsonTree value={action.args} name="arguments" open />
        </section>
      ))}
      {said.rest && <section className={styles.context} aria-label="What the question is about">{Object.entries(said.rest).map(([key, value]) => <JsonTree key={key} name={key} value={value} open />)}</section>}
      {said.other !== undefined && <section className={styles.context} aria-label="What the question is about"><JsonTree value={said.other} open /></section>}
      <AnswerForm question={question} onAnswered={onAnswered} onAgain={onAgain} />
      {others.length > 0 && (
        <p className={styles.alike}>
          <Button onClick={() => onAlike([question, ...others])}>Answer all alike</Button>{" "}
          <span className={styles.soft}>{others.length === 1 ? "One more question takes" : `${others.length} more questions take`} the same answers.</span>
        </p>
      )}
      <details className={styles.state}>
        <summary>State of the thread</summary>
        {state ? <JsonTree value={state.values} open /> : <Loading what="the state" />}
      </details>
    </article>
  );
}

interface AnsweredProps {
  question: Question;
  run: string;
  audit: Audit;
  next: Question | undefined;
  onNext: (question: Question | undefined) => void;
}

function Answered({ question, run, audit, next, onNext }: AnsweredProps) {
  const [, go] = useLocation();
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.focus(), []);
  return (
    <div ref={box} tabIndex={-1} className={styles.answered} role="status">
      <StateMark state="done" word="Answered" />
      <p>{shown(question.value).title}</p>
      <p className={styles.soft}>The run goes on where it stopped.</p>
      <p className={styles.audit}>
        Kept with the run: {audit.by ? <>by <b>{audit.by}</b></> : "nobody named"}, {exact(audit.at)}{audit.digest && <>, of what was read <code title={audit.digest}>{audit.digest.slice(0, 12)}</code></>}
      </p>
      <div className={styles.buttons}>
        {next && <Button kind="primary" onClick={() => onNext(next)}>Next question</Button>}
        <Button kind={next ? "plain" : "primary"} onClick={() => go(`/threads/${question.thread.thread_id}?run=${run}`)}>Follow the run</Button>
      </div>
    </div>
  );
}
