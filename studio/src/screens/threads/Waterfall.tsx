// When the tasks of a run began and ended, as bars on one axis of time.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, type KeyboardEvent } from "react";
import type { LiveTask, RunLive } from "../../data/live";
import { StateMark } from "../../parts/StateMark";
import { Empty } from "../../parts/notices";
import { span, useNow } from "../../parts/time";
import styles from "./Waterfall.module.css";

const ROW_HEIGHT = 28;
/** Bars of what runs grow this often, in milliseconds. */
const TICK_MS = 500;
/** Marks on the axis. */
const TICKS = 2;

interface Props {
  live: RunLive;
  active: boolean;
  task: string | null;
  onSelect: (task: string) => void;
}

export function Waterfall({ live, active, task, onSelect }: Props) {
  const rows = useMemo(() => inOrder(live), [live, live.tasksVersion]);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => ROW_HEIGHT, overscan: 20 });
  const now = useNow(TICK_MS);
  const begin = rows.reduce((least, it) => Math.min(least, it.began), Infinity);
  const end = rows.reduce((most, it) => Math.max(most, it.ended ?? (active ? now : it.began)), begin);
  const whole = Math.max(1, end - begin);
  const focused = Math.max(0, rows.findIndex((it) => it.id === task));
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.min(rows.length - 1, Math.max(0, focused + step));
    const row = rows[next];
    if (!row) return;
    onSelect(row.id);
    virtual.scrollToIndex(next);
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(`[data-row="${next}"]`)?.focus());
  };
  if (rows.length === 0) return <Empty title={active ? "Nothing has begun yet." : "No times."}>{!active && "What a run tells is kept for a day. Its steps and states stay."}</Empty>;
  return (
    <div className={styles.frame}>
      <div className={styles.head} aria-hidden="true">
        <span>Task</span>
        <span className={styles.axis}>
          {Array.from({ length: TICKS + 1 }, (_, tick) => <i key={tick} style={{ insetInlineStart: `${(100 * tick) / TICKS}%` }}>{tick === 0 ? "0" : span((whole * tick) / TICKS)}</i>)}
        </span>
        <span>Time</span>
      </div>
      <div ref={box} className={styles.box}>
        <ul role="listbox" aria-label="Tasks by time" style={{ height: virtual.getTotalSize() }} onKeyDown={onKey}>
          {virtual.getVirtualItems().map((item) => {
            const it = rows[item.index];
            if (!it) return null;
            const took = (it.ended ?? (active ? now : it.began)) - it.began;
            return (
              <li
                key={it.id} role="option" data-row={item.index} data-state={it.state} aria-selected={it.id === task} tabIndex={item.index === focused ? 0 : -1}
                className={styles.row} style={{ transform: `translateY(${item.start}px)` }} onClick={() => onSelect(it.id)}
              >
                <span className={styles.name} style={{ paddingInlineStart: it.ns.length * 16 }}><StateMark state={it.state} terse /> {it.name}</span>
                <span className={styles.lane}>
                  <i style={{ insetInlineStart: `${(100 * (it.began - begin)) / whole}%`, width: `max(2px, ${(100 * took) / whole}%)` }} />
                </span>
                <span className={styles.took}>{span(took)}<span className="visually-hidden">, began after {span(it.began - begin)}</span></span>
              </li>
            );
          })}
        </ul>
      </div>
    </div>
  );
}

/** Tasks by their begin, those inside a mounted graph below the task that runs it. */
function inOrder(live: RunLive): LiveTask[] {
  const inside = new Map<string, LiveTask[]>();
  for (const task of live.tasks.values()) {
    const place = task.ns.join("|");
    inside.set(place, [...(inside.get(place) ?? []), task]);
  }
  const rows: LiveTask[] = [];
  const add = (place: string) => {
    for (const task of (inside.get(place) ?? []).sort((a, b) => a.began - b.began)) {
      rows.push(task);
      add(place ? `${place}|${task.name}:${task.id}` : `${task.name}:${task.id}`);
    }
  };
  add("");
  return rows;
}
