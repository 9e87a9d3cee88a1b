import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "wouter";
import { infoQuery, threadCountQuery, threadsQuery, type ThreadFilter, type ThreadRow } from "../../data/queries";
import { titleOf } from "../../data/titles";
import { Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { StateMark, ofThread, wordOfThread } from "../../parts/StateMark";
import { Ago } from "../../parts/time";
import { screens } from "..";
import { Demo } from "./Demo";
import styles from "./Home.module.css";

/** Rows of a list here; the list of threads has the rest. */
const ROWS = 6;

export default function Home() {
  const [query] = useSearchParams();
  // The demo's address is shown as soon as it runs, so that a reload finds it again.
  const [demo, setDemo] = useState(() => ({ thread: query.get("thread"), run: query.get("run") }));
  return (
    <Page title="Home" note={<Server />}>
      <Demo thread={demo.thread} run={demo.run} onStarted={setDemo} />
      <Counts />
      <div className={styles.columns}>
        <Recent />
        <Start />
      </div>
    </Page>
  );
}

function Server() {
  const { data } = useQuery(infoQuery);
  return data ? <>{data.version}</> : null;
}

const COUNTED: { label: string; filter: ThreadFilter; state: Parameters<typeof StateMark>[0]["state"] }[] = [
  { label: "Running", filter: { status: "busy" }, state: "running" },
  { label: "Paused", filter: { status: "interrupted" }, state: "waiting" },
  { label: "Failed", filter: { status: "error" }, state: "failed" },
];

function Counts() {
  return (
    <ul className={styles.counts} aria-label="Threads by what they are doing">
      {COUNTED.map((it) => <Count key={it.label} {...it} />)}
      <Count label="Threads" filter={{}} />
    </ul>
  );
}

function Count({ label, filter, state }: { label: string; filter: ThreadFilter; state?: (typeof COUNTED)[number]["state"] }) {
  const { data } = useQuery(threadCountQuery(filter));
  return (
    <li>
      <Link href={filter.status ? `/threads?status=${filter.status}` : "/threads"} className={styles.count} data-some={Boolean(data)}>
        <b>{data ?? "–"}</b>
        {state ? <StateMark state={data ? state : "idle"} word={label} /> : <span>{label}</span>}
      </Link>
    </li>
  );
}

function Recent() {
  const { data, error, isPending, refetch } = useInfiniteQuery(threadsQuery({}));
  const rows = data?.pages.flatMap((page) => page.rows).slice(0, ROWS) ?? [];
  return (
    <section aria-labelledby="recent">
      <h2 id="recent">Recent threads</h2>
      {isPending && <Loading what="threads" />}
      {error && <Failed what="The threads could not be read" error={error} onRetry={() => void refetch()} />}
      {data && rows.length === 0 && <p className={styles.none}>Nothing has run yet.</p>}
      <ul className={styles.list}>{rows.map((row) => <Row key={row.thread_id} row={row} />)}</ul>
    </section>
  );
}

function Row({ row }: { row: ThreadRow }) {
  const waits = Object.values(row.interrupts ?? {}).flat().length;
  return (
    <li>
      <Link href={`/threads/${row.thread_id}`} className={styles.row}>
        <span className={styles.title}>{titleOf(row)}</span>
        <StateMark state={ofThread(row.status, waits > 0)} word={wordOfThread(row.status, waits)} />
        <span className={styles.when}><Ago at={row.updated_at} /></span>
      </Link>
    </li>
  );
}

/** Ways to begin. Those that lead to screens lead to screens that are there. */
function Start() {
  const has = (path: string) => screens.some((screen) => screen.path === path);
  return (
    <section aria-labelledby="start">
      <h2 id="start">Start</h2>
      <ul className={styles.cards}>
        {has("/desk") && (
          <li>
            <Link href="/desk" className={styles.card}>
              <b>Write a post</b>
              <span>From sources that you name, each sentence with its evidence.</span>
            </Link>
          </li>
        )}
        <li>
          <Link href="/threads?new=1" className={styles.card}>
            <b>Run a graph</b>
            <span>Choose one, fill in its form, and follow it step by step.</span>
          </Link>
        </li>
        <li>
          <a href="/docs" className={styles.card}>
            <b>Use the API</b>
            <span>Every operation, with its fields. The stock LangGraph clients work unchanged.</span>
          </a>
        </li>
      </ul>
    </section>
  );
}
