// The first minute: a post is written from the built-in handbook while the reader looks on.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import { takenEdges, factsOf } from "../../data/facts";
import { drawingQuery, infoQuery, stateQuery, threadChanged } from "../../data/queries";
import { DEMO, startDemo } from "../../data/runs";
import { Pace, useRun } from "../../data/useRun";
import { Button } from "../../parts/Button";
import { Canvas } from "../../parts/Canvas";
import { Markdown } from "../../parts/Markdown";
import { Failed } from "../../parts/notices";
import { Post, type Evidence, type Finding, type Source } from "../../parts/Post";
import { StateMark } from "../../parts/StateMark";
import { span } from "../../parts/time";
import styles from "./Demo.module.css";

/** Pause before each superstep that is shown. The run itself takes a fraction of a second. */
const PAUSE_MS = 320;

interface Props {
  thread: string | null;
  run: string | null;
  onStarted: (demo: { thread: string; run: string }) => void;
}

export function Demo({ thread, run, onStarted }: Props) {
  const { data: info } = useQuery(infoQuery);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [paced, setPaced] = useState(false);
  const canRun = info ? info.assistants.some((it) => it.name === DEMO.assistant) : true;

  const start = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const started = await startDemo();
      setPaced(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
      // Not a step of its own in the history: going back leads to where one came from.
      history.replaceState(history.state, "", `?thread=${started.thread}&run=${started.run}`);
      onStarted(started);
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };

  return (
    <section className={styles.demo} aria-labelledby="demo">
      <header className={styles.head}>
        <div>
          <h2 id="demo">{thread ? DEMO.input.topic : "See a run from inside"}</h2>
          <p className={styles.soft}>
            {thread
              ? "A post written from the handbook in the binary. No key, no network, no model: every sentence is copied from a source."
              : "The blog agent writes a post from the handbook that is compiled in. It needs no key and no network."}
          </p>
        </div>
        <Button
          kind={thread ? "plain" : "primary"} icon="play" busy={busy} onClick={() => void start()}
          refused={!canRun && "this server has no blog agent"}
        >
          {thread ? "Run it again" : "Run the demo"}
        </Button>
      </header>
      {problem !== null && <Failed what="The demo did not start" error={problem} onRetry={() => void start()} />}
      {thread && run && <Stage key={run} thread={thread} run={run} paced={paced} />}
    </section>
  );
}

function Stage({ thread, run, paced }: { thread: string; run: string; paced: boolean }) {
  const pace = useMemo(() => (paced ? new Pace(PAUSE_MS) : undefined), [paced]);
  const { data: drawing, error } = useQuery(drawingQuery(DEMO.assistant, false));
  const { live, problem } = useRun(thread, run, { pace, onEnd: () => threadChanged(thread) });
  const tasks = [...live.tasks.values()];
  const facts = useMemo(() => factsOf(withTimes(live.tasks.values())), [live.version]);
  const taken = useMemo(
    () => (drawing ? takenEdges(drawing, live.tasks.values(), live.ended) : undefined),
    [drawing, live.version],
  );
  const state = useQuery({ ...stateQuery(thread, null), enabled: live.ended || problem !== null });
  const values = state.data?.values as
    | { final_blog?: string; evidence?: Evidence[]; sources?: Source[]; findings?: Finding[] }
    | undefined;
  const finished = Boolean(values?.final_blog) && (live.ended || problem !== null);
  const root = tasks.filter((task) => task.ns.length === 0);
  const done = root.filter((task) => task.state === "done").length;

  return (
    <>
      <div className={styles.stage} data-finished={finished}>
        <div className={styles.canvas}>
          {drawing && <Canvas drawing={drawing} name={DEMO.assistant} facts={facts} taken={taken} still />}
          {error && <Failed what="The graph could not be drawn" error={error} />}
        </div>
        <Telling cards={live.cards} ended={live.ended} />
      </div>
      <p className={styles.foot} role="status">
        {live.ended || problem !== null ? <StateMark state={live.error ? "failed" : "done"} word={live.error ? "failed" : "Finished"} />
          : <StateMark state="running" word={`Running, ${done} tasks done`} />}
        <RunTime thread={thread} ended={live.ended} paced={paced} />
        {pace && !live.ended && <Button onClick={() => pace.hurry()}>Show the end</Button>}
        <Link href={`/threads/${thread}?run=${run}`}>Open the thread</Link>
      </p>
      {live.error && <Failed what="The demo failed" error={new Error(live.error)} />}
      {finished && values?.final_blog && (
        <div className={styles.post}>
          <Post
            markdown={values.final_blog} evidence={values.evidence ?? []} sources={values.sources ?? []}
            findings={values.findings ?? []}
          />
        </div>
      )}
    </>
  );
}

function* withTimes(tasks: Iterable<import("../../data/live").LiveTask>) {
  // Times of a run that is shown slower than it was would be wrong.
  for (const task of tasks) yield { id: task.id, name: task.name, ns: task.ns, wave: task.wave, state: task.state };
}

function RunTime({ thread, ended, paced }: { thread: string; ended: boolean; paced: boolean }) {
  const { data } = useQuery({ ...stateQuery(thread, null), enabled: ended });
  const { data: runs } = useQuery({
    queryKey: ["runs", thread, "first"], enabled: ended,
    queryFn: async () => (await import("../../data/client")).client.runs.list(thread, { limit: 1 }),
  });
  const run = runs?.[0];
  if (!data || !run) return paced ? <span>Shown slower than it runs, to be followed.</span> : null;
  const took = Date.parse(run.updated_at) - Date.parse(run.created_at);
  return <span>It took {span(took)}{paced ? ", and was shown slower" : ""}.</span>;
}

/** What the run writes, as it comes in. The newest is in view. */
function Telling({ cards, ended }: { cards: import("../../data/live").Card[]; ended: boolean }) {
  const end = useRef<HTMLDivElement>(null);
  const texts = cards.filter((card) => card.kind === "text" && card.node.endsWith("write_section"));
  const notes = cards.filter((card) => card.kind === "note");
  useEffect(() => {
    const box = end.current;
    if (box) box.scrollTop = box.scrollHeight;
  }, [cards.length]);
  return (
    <div className={styles.telling} ref={end} tabIndex={0} role="log" aria-live="off" aria-label="What the run writes">
      <ul className={styles.notes}>
        {notes.map((card) => <li key={card.id}>{wordsOf(card.kind === "note" ? card : null)}</li>)}
      </ul>
      {texts.map((card) => card.kind === "text" && (
        <div key={card.id} className={styles.card}>
          <Markdown text={card.text} footnote={() => null} />
        </div>
      ))}
      {!ended && <span className={styles.more} aria-hidden="true">…</span>}
    </div>
  );
}

/** An event of the blogger in words. */
function wordsOf(card: { type: string; data: unknown } | null): string {
  const data = (card?.data ?? {}) as Record<string, unknown>;
  switch (card?.type) {
    case "run.mode": return `Mode ${data.mode}: ${data.reason}`;
    case "source.collection": return `${data.chosen} documents of ${data.name}`;
    case "outline.ready": return `Outline: ${(data.sections as string[] | undefined)?.join(", ")}`;
    case "section.started": return `Writing “${data.name}”`;
    case "section.done": return `Finished “${data.name}”${data.sentences ? `, ${data.sentences} sentences` : ""}`;
    case "check.finding": return `Check ${(data.finding as { check?: string })?.check}: ${(data.finding as { message?: string })?.message}`;
    default: return card?.type ?? "";
  }
}
