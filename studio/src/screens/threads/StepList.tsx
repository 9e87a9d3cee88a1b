// The steps of a thread, a row each, with their tasks and what those mount.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import type { Run } from "@langchain/langgraph-sdk";
import type { Step } from "../../data/history";
import type { LiveTask, RunLive } from "../../data/live";
import { StateMark, ofRun, type NodeState } from "../../parts/StateMark";
import { span } from "../../parts/time";
import { countsOf, inOrder, instanceOf } from "./tasks";
import styles from "./StepList.module.css";

interface Props {
  steps: Step[];
  live: RunLive;
  runs: Run[];
  /** The checkpoint that is looked at. */
  at: string | null;
  task: string | null;
  onSelect: (step: Step, task: string | null) => void;
}

interface Row {
  key: string;
  level: number;
  /** None for what cannot be opened. */
  open?: boolean;
  label: string;
  note?: string;
  state: NodeState;
  counts?: string;
  took?: number;
  step: Step;
  task: string | null;
  heading?: Run | null;
}

const ROW_HEIGHT = 32;
/** A fan-out up to this width is opened when it is new. */
const OPEN_UP_TO = 8;

export function StepList({ steps, live, runs, at, task, onSelect }: Props) {
  const [toggled, setToggled] = useState<ReadonlyMap<string, boolean>>(new Map());
  const [cursor, setCursor] = useState<string | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const inner = useMemo(() => children(live), [live, live.tasksVersion]);
  const rows = useMemo(() => rowsOf(steps, inner, runs, toggled), [steps, inner, runs, toggled]);
  const virtual = useVirtualizer({
    count: rows.length, getScrollElement: () => box.current, estimateSize: () => ROW_HEIGHT, overscan: 16,
    getItemKey: (index) => rows[index]?.key ?? index,
  });
  const current = rows.findIndex((row) => row.level === 1 && !row.heading && (row.step.checkpoint?.id ?? row.step.before?.id) === at);
  const cursorAt = Math.max(0, rows.findIndex((row) => row.key === cursor));

  // Follows the end while it is in view; a reader who scrolled up is left alone.
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const follow = () => {
      if (atEnd.current) element.scrollTop = element.scrollHeight;
    };
    follow();
    const observer = new ResizeObserver(follow);
    observer.observe(element);
    return () => observer.disconnect();
  }, [steps.length]);

  const toggle = (row: Row, open: boolean) => {
    // What was opened is looked at, not the end.
    atEnd.current = false;
    setToggled((all) => new Map(all).set(row.key, open));
  };
  const focus = (index: number) => {
    const row = rows[index];
    if (!row) return;
    setCursor(row.key);
    virtual.scrollToIndex(index);
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(`[data-row="${index}"]`)?.focus());
  };
  const onKey = (event: KeyboardEvent) => {
    const row = rows[cursorAt];
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    switch (event.key) {
      case "ArrowDown": focus(Math.min(rows.length - 1, cursorAt + 1)); break;
      case "ArrowUp": focus(Math.max(0, cursorAt - 1)); break;
      case "Home": focus(0); break;
      case "End": focus(rows.length - 1); break;
      case "ArrowRight":
        if (row.open === false) toggle(row, true);
        else if (row.open) focus(cursorAt + 1);
        break;
      case "ArrowLeft":
        if (row.open) toggle(row, false);
        else focus(Math.max(0, rows.slice(0, cursorAt).findLastIndex((it) => it.level < row.level)));
        break;
      case "Enter":
      case " ":
        onSelect(row.step, row.task);
        break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div
      ref={box} className={styles.box}
      onScroll={({ currentTarget: it }) => {
        atEnd.current = it.scrollHeight - it.scrollTop - it.clientHeight < 2 * ROW_HEIGHT;
      }}
    >
      <div role="tree" aria-label="Steps" className={styles.tree} style={{ height: virtual.getTotalSize() }} onKeyDown={onKey}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (!row) return null;
          const selected = row.task ? row.task === task : !task && item.index === current;
          return (
            <div
              key={row.key} role="treeitem" data-row={item.index} className={styles.row} data-heading={Boolean(row.heading) || undefined}
              data-state={row.state} aria-level={row.level} aria-expanded={row.open} aria-selected={selected}
              aria-current={item.index === current ? "step" : undefined} aria-setsize={rows.length} aria-posinset={item.index + 1}
              tabIndex={item.index === cursorAt ? 0 : -1} style={{ transform: `translateY(${item.start}px)` }}
              onClick={() => {
                setCursor(row.key);
                if (row.heading) return;
                onSelect(row.step, row.task);
              }}
              onFocus={() => setCursor(row.key)}
            >
              <span className={styles.indent} style={{ width: (row.level - 1) * 18 }} />
              {row.open !== undefined ? (
                // A pointer's way to open; the keys have theirs.
                <span className={styles.toggle} aria-hidden="true" onClick={(event) => {
                  event.stopPropagation();
                  toggle(row, !row.open);
                }}>{row.open ? "▾" : "▸"}</span>
              ) : <span className={styles.toggle} />}
              {row.note && <span className={styles.number}><span className="visually-hidden">step </span>{row.note}</span>}
              <span className={styles.label}>{row.label}</span>
              {row.counts && <span className={styles.counts}>{row.counts}</span>}
              <span className={styles.took}>{row.took !== undefined && row.state === "done" ? span(row.took) : ""}</span>
              <StateMark state={row.state} terse={row.state === "done"} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** Tasks by the place that they are in. */
function children(live: RunLive): Map<string, LiveTask[]> {
  const found = new Map<string, LiveTask[]>();
  for (const task of live.tasks.values()) {
    if (task.ns.length === 0) continue;
    const place = task.ns.join("|");
    const list = found.get(place);
    if (list) list.push(task);
    else found.set(place, [task]);
  }
  return found;
}

function rowsOf(steps: Step[], inner: Map<string, LiveTask[]>, runs: Run[], toggled: ReadonlyMap<string, boolean>): Row[] {
  const rows: Row[] = [];
  const numbers = new Map(runs.map((run, place) => [run.run_id, runs.length - place]));
  const byId = new Map(runs.map((run) => [run.run_id, run]));
  let last: string | null | undefined;
  for (const step of steps) {
    if (step.run !== last && step.run !== null) {
      const run = byId.get(step.run);
      const number = numbers.get(step.run);
      rows.push({
        key: `run-${step.key}`, level: 1, label: number ? `Run ${number}` : "Run", state: run ? ofRun(run.status) : "done",
        step, task: null, heading: run ?? null,
        took: run ? Date.parse(run.updated_at) - Date.parse(run.created_at) : undefined,
      });
    }
    last = step.run ?? last;
    const { tasks } = step;
    const [only] = tasks;
    const places = tasks.map((task) => `${task.name}:${task.id}`);
    const opens = tasks.length > 1 || places.some((place) => inner.has(place));
    const open = toggled.get(step.key) ?? (tasks.length > 1 && tasks.length <= OPEN_UP_TO && step.state !== "done");
    rows.push({
      key: step.key, level: 1, open: opens ? open : undefined, note: String(step.number), label: titleOf(step),
      state: step.state, counts: tasks.length > 1 ? countsOf(tasks) : undefined, took: step.took, step,
      task: step.checkpoint ? null : tasks.length === 1 ? only?.id ?? null : step.key,
    });
    if (!opens || !open) continue;
    if (tasks.length === 1 && only) {
      nested(`${only.name}:${only.id}`, 2, step, rows, inner, toggled);
      continue;
    }
    for (const task of inOrder(tasks)) {
      const place = `${task.name}:${task.id}`;
      const key = `${step.key}-${task.id}`;
      const isOpen = toggled.get(key) ?? false;
      rows.push({
        key, level: 2, open: inner.has(place) ? isOpen : undefined, label: instanceOf(task), state: task.state, took: task.took, step, task: task.id,
      });
      if (isOpen) nested(place, 3, step, rows, inner, toggled);
    }
  }
  return rows;
}

function nested(place: string, level: number, step: Step, rows: Row[], inner: Map<string, LiveTask[]>, toggled: ReadonlyMap<string, boolean>) {
  for (const task of inner.get(place) ?? []) {
    const own = `${place}|${task.name}:${task.id}`;
    const key = `${step.key}-${task.id}`;
    const open = toggled.get(key) ?? false;
    rows.push({ key, level, open: inner.has(own) ? open : undefined, label: task.name, state: task.state, step, task: task.id,
      took: task.ended === undefined ? undefined : task.ended - task.began });
    if (open) nested(own, level + 1, step, rows, inner, toggled);
  }
}

/** What a step did: its nodes, each with how often. */
export function titleOf(step: Step): string {
  if (step.kind === "input") return "Input";
  if (step.kind === "update") return "Edited by hand";
  if (step.kind === "fork") return "Run again from here";
  const counts = new Map<string, number>();
  for (const task of step.tasks) counts.set(task.name, (counts.get(task.name) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count > 1 ? `${name} ×${count}` : name)).join(", ") || "Step";
}
