// What a run says, as cards in the order in which they began. Follows the end only while the
// reader is there.

import { memo, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Card, RunLive } from "../../data/live";
import { useWatched, type Watched } from "../../data/store";
import { JsonTree } from "../../parts/JsonTree";
import { Markdown } from "../../parts/Markdown";
import { Empty } from "../../parts/notices";
import { Button } from "../../parts/Button";
import { frontMatter } from "../../parts/Post";
import { StateMark } from "../../parts/StateMark";
import styles from "./TextStream.module.css";

/** Nearer than this to the end counts as being there, in pixels. */
const NEAR = 48;
/** Cards that are rendered at first; earlier ones are asked for. */
const SHOWN = 60;
/** Time between two summaries for screen readers, in milliseconds. */
const SUMMARY_MS = 5_000;

interface Props {
  live: RunLive;
  /** Rises with every change of it. */
  told: Watched<number>;
  active: boolean;
  /** Why there is nothing: the run is too old, or was not asked to tell. */
  problem: unknown;
  follow: boolean;
  onFollow: (follow: boolean) => void;
}

export function TextStream({ live, told, active, problem, follow, onFollow }: Props) {
  const version = useWatched(told);
  const box = useRef<HTMLDivElement>(null);
  const [shown, setShown] = useState(SHOWN);
  const [seen, setSeen] = useState(0);
  const cards = live.cards.slice(-shown);
  useLayoutEffect(() => {
    const element = box.current;
    if (element && follow) element.scrollTop = element.scrollHeight;
  }, [version, follow]);
  useEffect(() => {
    if (follow) setSeen(live.cards.length);
  }, [follow, live.cards.length]);
  const summary = useSummary(live, active);
  return (
    <div className={styles.frame}>
      <h2 className="visually-hidden">Text</h2>
      <div
        ref={box} className={styles.box} tabIndex={0} role="log" aria-live="off" aria-label="Text of the run"
        onScroll={(event) => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          const atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
          if (atEnd !== follow) onFollow(atEnd);
        }}
      >
        {live.cards.length > shown && (
          <p className={styles.earlier}><Button onClick={() => setShown(shown * 4)}>{live.cards.length - shown} earlier</Button></p>
        )}
        {cards.map((card) => <CardView key={card.id} card={card} />)}
        {live.cards.length === 0 && !active && (
          <Empty title="No text.">
            {problem ? "What a run tells is kept for a day. Its steps and states stay." : "This run told nothing to read."}
          </Empty>
        )}
      </div>
      {!follow && live.cards.length > seen && active && (
        <button type="button" className={styles.jump} onClick={() => onFollow(true)}>
          Jump to live ({live.cards.length - seen} new)
        </button>
      )}
      <span className="visually-hidden" role="status">{summary}</span>
    </div>
  );
}

/** One sentence now and then of what is going on. */
function useSummary(live: RunLive, active: boolean): string {
  const [text, setText] = useState("");
  const latest = useRef(live);
  latest.current = live;
  useEffect(() => {
    if (!active) {
      setText("");
      return;
    }
    const timer = setInterval(() => {
      const root = [...latest.current.tasks.values()].filter((task) => task.ns.length === 0);
      const running = root.find((task) => task.state === "running");
      if (!running) return;
      const alike = root.filter((task) => task.name === running.name && task.wave === running.wave);
      const done = alike.filter((task) => task.state === "done").length;
      setText(alike.length > 1 ? `${running.name}: ${done} of ${alike.length} done` : `${running.name} is running`);
    }, SUMMARY_MS);
    return () => clearInterval(timer);
  }, [active]);
  return text;
}

const CardView = memo(function CardView({ card }: { card: Card }) {
  switch (card.kind) {
    case "message":
      return (
        <article className={styles.card} aria-label={`Message of ${card.node}`}>
          <header>
            <b>{card.node}</b>
            {card.model && <span>{card.model}</span>}
            {card.tokens !== undefined && <span>{card.tokens} tokens</span>}
            {!card.done && <span className={styles.live}>streaming</span>}
          </header>
          {card.reasoning && (
            <details className={styles.reasoning}>
              <summary>Reasoning</summary>
              <p>{card.reasoning}</p>
            </details>
          )}
          {card.text && <Markdown text={card.text} />}
          {card.calls.map((call, place) => (
            <div key={call.id || place} className={styles.call}>
              <b>Calls <code>{call.name}</code></b>
              <JsonTree value={parsed(call.args)} open />
            </div>
          ))}
        </article>
      );
    case "tool":
      return (
        <article className={styles.card} aria-label={`Result of ${card.name}`}>
          <header><b>{card.node || "tool"}</b><span>result of <code>{card.name}</code>{card.failed && ", failed"}</span></header>
          <Markdown text={card.text} />
        </article>
      );
    case "text":
      return (
        <article className={styles.card} aria-label={`Text of ${card.node}`}>
          <header><b>{card.node}</b><span><code>{card.key}</code></span></header>
          <Markdown text={frontMatter(card.text).body} footnote={(label, key) => <sup key={key}>{label}</sup>} />
        </article>
      );
    case "note":
      return (
        <div className={styles.note}>
          <span>{card.type}</span>
          <JsonTree value={withoutType(card.data)} />
        </div>
      );
    case "question":
      return (
        <article className={styles.card} data-kind="waiting" aria-label={`Question of ${card.node}`}>
          <header><StateMark state="waiting" word={`${card.node} asks`} /></header>
          {typeof card.value === "string" ? <p>{card.value}</p> : <JsonTree value={card.value} open />}
        </article>
      );
    case "error":
      return (
        <article className={styles.card} data-kind="failed" aria-label={`Error of ${card.node || "the run"}`}>
          <header><StateMark state="failed" word={`${card.node || "The run"} failed`} /></header>
          <p className={styles.message}>{card.message}</p>
        </article>
      );
  }
});

function parsed(args: string): unknown {
  try {
    return JSON.parse(args);
  } catch {
    // Still coming in.
    return args;
  }
}

function withoutType(data: unknown): unknown {
  if (data === null || typeof data !== "object" || Array.isArray(data)) return data;
  const { type: _, ...rest } = data as Record<string, unknown>;
  return rest;
}
