// What graphs ask of people: all open questions, and the one that is being answered.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { stateQuery } from "../../data/queries";
import { useQuestions, type Question } from "../../data/questions";
import { titleOf } from "../../data/titles";
import { Button } from "../../parts/Button";
import { leaveField } from "../../parts/leaveField";
import { JsonTree } from "../../parts/JsonTree";
import { Markdown } from "../../parts/Markdown";
import { Empty, Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { StateMark } from "../../parts/StateMark";
import { Ago } from "../../parts/time";
import { AnswerForm } from "./AnswerForm";
import { shown } from "./asked";
import styles from "./Inbox.module.css";

export default function Inbox() {
  const { id } = useParams<{ id?: string }>();
  const [, go] = useLocation();
  const { questions, paused, data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useQuestions();
  // Answered ones stay in view until the reader goes on.
  const [answered, setAnswered] = useState<{ question: Question; run: string } | null>(null);
  const open = questions.find((one) => one.id === id);
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
  if (questions.length === 0 && !id) {
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
          <span className={styles.soft} role="status">{questions.length}{hasNextPage ? " or more" : ""} waiting</span>
        </header>
        <ul className={styles.list}>
          {questions.map((one) => <Row key={one.id} question={one} here={one.id === id} />)}
        </ul>
        {hasNextPage && <Button className={styles.more} busy={isFetchingNextPage} onClick={() => void fetchNextPage()}>Show more</Button>}
        {paused > 0 && <Paused count={paused} />}
      </section>
      <div className={styles.main}>
        {id !== undefined && <Link href="/inbox" className={styles.back}>‹ All questions</Link>}
        {isAnswered ? (
          <Answered question={answered.question} run={answered.run} next={questions.find((one) => one.id !== id)} onNext={show} />
        ) : open ? (
          <Detail key={open.id} question={open} onAnswered={(run) => setAnswered({ question: open, run })} />
        ) : remembered ? (
          <Detail key={remembered.id} question={remembered} onAnswered={(run) => setAnswered({ question: remembered, run })} />
        ) : gone ? (
          <Empty title="This question is not open any more." action={<Button onClick={() => go("/inbox")}>See what is</Button>}>
            It was answered, or its thread went on or was deleted.
          </Empty>
        ) : (
          <Empty title={`${questions.length === 1 ? "One question waits" : `${questions.length} questions wait`} for an answer.`} action={<Button kind="primary" onClick={() => show(questions[0])}>Start with the first</Button>} />
        )}
      </div>
    </div>
  );
}

function Paused({ count }: { count: number }) {
  return (
    <p className={styles.paused}>
      <Link href="/threads?status=interrupted">{count} {count === 1 ? "thread is" : "threads are"} paused</Link> without a question: stopped, or at a breakpoint.
    </p>
  );
}

function Row({ question, here }: { question: Question; here: boolean }) {
  const { thread } = question;
  return (
    <li>
      <Link href={`/inbox/${question.id}`} className={styles.row} aria-current={here ? "true" : undefined}>
        <span className={styles.title}>{shown(question.value).title}</span>
        <span className={styles.soft}>{graphOf(question)} · {titleOf(thread)}</span>
        <span className={styles.when}><Ago at={thread.updated_at} /></span>
      </Link>
    </li>
  );
}

const graphOf = (question: Question) => {
  const graph = question.thread.metadata?.graph_id;
  return typeof graph === "string" ? graph : "a graph";
};

function Detail({ question, onAnswered }: { question: Question; onAnswered: (run: string) => void }) {
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
          <span>asked <Ago at={thread.updated_at} /></span>
        </p>
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
      <AnswerForm question={question} onAnswered={onAnswered} />
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
  next: Question | undefined;
  onNext: (question: Question | undefined) => void;
}

function Answered({ question, run, next, onNext }: AnsweredProps) {
  const [, go] = useLocation();
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.focus(), []);
  return (
    <div ref={box} tabIndex={-1} className={styles.answered} role="status">
      <StateMark state="done" word="Answered" />
      <p>{shown(question.value).title}</p>
      <p className={styles.soft}>The run goes on where it stopped.</p>
      <div className={styles.buttons}>
        {next && <Button kind="primary" onClick={() => onNext(next)}>Next question</Button>}
        <Button kind={next ? "plain" : "primary"} onClick={() => go(`/threads/${question.thread.thread_id}?run=${run}`)}>Follow the run</Button>
      </div>
    </div>
  );
}
