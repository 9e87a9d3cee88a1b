// Wire: what went between this tab and the server, frame by frame. Secrets are masked before they
// are kept.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { useWatched } from "../../data/store";
import { WIRE_ENTRIES_MAX, clearWire, wire, wirePaused, type WireEntry } from "../../data/wire";
import { Button } from "../../parts/Button";
import { useCopy } from "../../parts/CopyText";
import { Empty } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { span } from "../../parts/time";
import styles from "./Wire.module.css";

const ROW_HEIGHT = 28;

export default function Wire() {
  const entries = useWatched(wire);
  const paused = useWatched(wirePaused);
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState(query.get("q") ?? "");
  const kind = query.get("kind") ?? "";
  const [picked, setPicked] = useState<number | null>(null);
  const [copied, copy] = useCopy();
  const shown = useMemo(() => filtered(entries, text, kind), [entries, text, kind]);
  const gaps = useMemo(() => gapsIn(shown), [shown]);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: shown.length, getScrollElement: () => box.current, estimateSize: () => ROW_HEIGHT, overscan: 20 });
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.length]);
  useShortcuts("Wire", [
    { keys: " ", label: "Pause or go on", run: () => wirePaused.set(!wirePaused.get()) },
    { keys: "/", label: "Search", run: () => document.getElementById("wire-search")?.focus() },
  ]);
  const entry = entries.find((it) => it.id === picked) ?? null;
  const move = (step: number) => {
    const at = shown.findIndex((it) => it.id === picked);
    const next = Math.min(shown.length - 1, Math.max(0, at + step));
    setPicked(shown[next]?.id ?? null);
    virtual.scrollToIndex(next);
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(`[data-row="${next}"]`)?.focus());
  };
  return (
    <Page
      title="Wire" fills note={`${entries.length.toLocaleString("en")} of at most ${WIRE_ENTRIES_MAX.toLocaleString("en")}, in this tab`}
      actions={
        <>
          <Button onClick={() => wirePaused.set(!paused)} aria-pressed={paused}>{paused ? "Go on" : "Pause"}</Button>
          <Button onClick={clearWire}>Clear</Button>
          <Button icon="copy" onClick={() => copy(vector(shown))} refused={shown.length === 0 && "nothing is shown"}>
            <span role="status">{copied ? "Copied" : "Copy what is shown"}</span>
          </Button>
        </>
      }
    >
      <div className={styles.filters} role="search">
        <input
          id="wire-search" type="search" placeholder="Filter by path, name, thread or content" aria-label="Filter by path, name, thread or content"
          value={text} onChange={(event) => setText(event.target.value)}
        />
        <select aria-label="Kind" value={kind} onChange={(event) => setQuery(event.target.value ? { kind: event.target.value } : {}, { replace: true })}>
          <option value="">Everything</option>
          <option value="request">Requests</option>
          <option value="frame">Frames of streams</option>
          <option value="failed">Refusals</option>
        </select>
        <RoundTrips entries={entries} />
        {gaps.length > 0 && (
          <Button onClick={() => {
            const at = gaps[0] ?? 0;
            setPicked(shown[at]?.id ?? null);
            virtual.scrollToIndex(at, { align: "center" });
          }}>{gaps.length} {gaps.length === 1 ? "gap" : "gaps"}</Button>
        )}
      </div>
      {shown.length === 0 ? <Empty title={entries.length ? "Nothing matches." : "Nothing has gone over the wire yet."}>{paused && "It is paused."}</Empty> : (
        <div className={styles.table}>
          <div className={styles.head} aria-hidden="true">
            <span>Time</span><span>Way</span><span>What</span><span>Path</span><span>No.</span><span>Status</span><span>Took</span><span>Size</span><span>Content</span>
          </div>
          <div
            ref={box} className={styles.box}
            onScroll={({ currentTarget: it }) => { atEnd.current = it.scrollHeight - it.scrollTop - it.clientHeight < 2 * ROW_HEIGHT; }}
          >
            <ul role="listbox" aria-label="Entries" style={{ height: virtual.getTotalSize() }} onKeyDown={(event) => {
              const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
              if (!step) return;
              event.preventDefault();
              move(step);
            }}>
              {virtual.getVirtualItems().map((item) => {
                const it = shown[item.index];
                return it && (
                  <li
                    key={it.id} role="option" data-row={item.index} aria-selected={it.id === picked} className={styles.row} data-failed={(it.status ?? 0) >= 400 || undefined}
                    tabIndex={it.id === picked || (picked === null && item.index === 0) ? 0 : -1} style={{ transform: `translateY(${item.start}px)` }}
                    onClick={() => setPicked(it.id)}
                  >
                    <span>{clock(it.at)}</span>
                    <span>{it.direction === "out" ? "→ out" : "← in"}</span>
                    <span>{it.name}</span>
                    <span title={it.path}>{it.path}</span>
                    <span>{it.seq}</span>
                    <span>{it.status}</span>
                    <span>{it.took !== undefined ? span(it.took) : ""}</span>
                    <span>{it.bytes !== undefined ? it.bytes.toLocaleString("en") : ""}</span>
                    <span>{it.summary}</span>
                  </li>
                );
              })}
            </ul>
          </div>
        </div>
      )}
      {entry && (
        <section className={styles.detail} aria-label="Entry">
          <p><b>{entry.name}</b> <code>{entry.path}</code> {entry.seq && `number ${entry.seq}`}</p>
          <pre tabIndex={0} aria-label="Beginning of the content">{entry.summary || "no content"}</pre>
        </section>
      )}
    </Page>
  );
}

function filtered(entries: readonly WireEntry[], text: string, kind: string): WireEntry[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return entries.filter((it) => {
    if (kind === "failed" ? (it.status ?? 0) < 400 : kind && it.kind !== kind) return false;
    const all = `${it.path} ${it.name} ${it.thread ?? ""} ${it.summary}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** Places where the server said that something is not to be had any more. */
function gapsIn(entries: WireEntry[]): number[] {
  return entries.flatMap((it, place) => (it.name === "gap" || it.name === "resync" ? [place] : []));
}

/** What is shown as JSON lines, to be kept as a case of a test. */
function vector(entries: WireEntry[]): string {
  return entries.map(({ at, direction, kind, path, name, status, seq, summary }) =>
    JSON.stringify({ at: new Date(at).toISOString(), direction, kind, path, name, status, seq, summary })).join("\n");
}

function clock(at: number): string {
  const date = new Date(at);
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Answers that the chart shows. */
const TRIPS = 60;

/** How long the last answers took, as bars, and their middle and slow end in words. */
function RoundTrips({ entries }: { entries: readonly WireEntry[] }) {
  const times = entries.flatMap((it) => (it.took === undefined ? [] : [it.took])).slice(-TRIPS);
  if (times.length < 2) return null;
  const sorted = [...times].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  const most = sorted.at(-1) ?? 1;
  return (
    <figure className={styles.trips}>
      <svg width={TRIPS * 3} height="24" aria-hidden="true">
        {times.map((time, place) => {
          const height = Math.max(1, (24 * time) / most);
          return <rect key={place} x={place * 3} y={24 - height} width="2" height={height} />;
        })}
      </svg>
      <figcaption>half within {span(at(0.5))}, 95 % within {span(at(0.95))}</figcaption>
    </figure>
  );
}
