// The checkpoints of a thread as a tree, and the ways through it as steps.

import type { Interrupt } from "@langchain/langgraph-sdk";
import { queryOptions } from "@tanstack/react-query";
import type { NodeState } from "../parts/StateMark";
import { request } from "./client";
import type { LiveTask, RunLive } from "./live";
import { queryClient } from "./queries";

export interface Checkpoint {
  id: string;
  parent: string | null;
  step: number;
  source: "input" | "loop" | "update" | "fork";
  run: string | null;
  /** Milliseconds since 1970. */
  at: number;
  next: string[];
  tasks: HistoryTask[];
}

export interface HistoryTask {
  id: string;
  name: string;
  error: string | null;
  interrupts: Interrupt[];
  result: unknown;
}

/** A state without its values, as the server tells it. */
interface LightState {
  next: string[];
  tasks: HistoryTask[];
  metadata: { step?: number; source?: Checkpoint["source"]; run_id?: string } | null;
  created_at: string | null;
  checkpoint_id: string | null;
  parent_checkpoint_id: string | null;
}

/** States asked for at once, and in all. A longer history begins later. */
const PAGE = 1_000;
const CHECKPOINTS_MAX = 5_000;
/** States asked for while a run goes on: what came since. */
const NEWEST = 40;

export interface History {
  /** Newest first. */
  checkpoints: Checkpoint[];
  /** There are older ones. */
  cut: boolean;
}

const SELECT = ["next", "tasks", "metadata", "created_at", "checkpoint_id", "parent_checkpoint_id"];

async function page(thread: string, limit: number, before: string | undefined, signal?: AbortSignal) {
  const states = await request<LightState[]>(`/threads/${thread}/history`, {
    json: { limit, select: SELECT, ...(before && { before }) }, signal,
  });
  return states.flatMap((state): Checkpoint[] =>
    state.checkpoint_id === null ? [] : [{
      id: state.checkpoint_id,
      parent: state.parent_checkpoint_id,
      step: state.metadata?.step ?? 0,
      source: state.metadata?.source ?? "loop",
      run: state.metadata?.run_id ?? null,
      at: state.created_at ? Date.parse(state.created_at) : 0,
      next: state.next,
      tasks: state.tasks,
    }],
  );
}

export const historyQuery = (thread: string) =>
  queryOptions({
    queryKey: ["history", thread],
    staleTime: 30_000,
    queryFn: async ({ signal }): Promise<History> => {
      const checkpoints: Checkpoint[] = [];
      for (;;) {
        const found = await page(thread, PAGE, checkpoints.at(-1)?.id, signal);
        checkpoints.push(...found);
        if (found.length < PAGE) return { checkpoints, cut: false };
        if (checkpoints.length >= CHECKPOINTS_MAX) return { checkpoints, cut: true };
      }
    },
  });

/** Reads what came since, and puts it in front of what is known. */
export async function refreshHistory(thread: string): Promise<void> {
  const known = queryClient.getQueryData(historyQuery(thread).queryKey);
  if (!known) return;
  const found = await page(thread, NEWEST, undefined);
  const oldest = found.at(-1);
  // Nothing in common: more has come than was asked for.
  if (oldest && known.checkpoints.length && !known.checkpoints.some((it) => it.id === oldest.id) && found.length === NEWEST) {
    await queryClient.invalidateQueries({ queryKey: ["history", thread] });
    return;
  }
  const ids = new Set(found.map((it) => it.id));
  queryClient.setQueryData(historyQuery(thread).queryKey, (before) =>
    before && { ...before, checkpoints: [...found, ...before.checkpoints.filter((it) => !ids.has(it.id))] },
  );
}

/** The way to a checkpoint, from the first one on. */
export function pathTo(history: History, head: string | null): Checkpoint[] {
  const byId = new Map(history.checkpoints.map((it) => [it.id, it]));
  const path: Checkpoint[] = [];
  let at = head === null ? history.checkpoints[0] : byId.get(head);
  while (at && path.length <= history.checkpoints.length) {
    path.push(at);
    at = at.parent === null ? undefined : byId.get(at.parent);
  }
  return path.reverse();
}

/** The ends of all ways, the newest first. */
export function leaves(history: History): Checkpoint[] {
  const parents = new Set(history.checkpoints.map((it) => it.parent));
  return history.checkpoints.filter((it) => !parents.has(it.id));
}

/** The end of the way that a checkpoint is on: the newest of those that lead through it. */
export function leafOf(history: History, id: string): string {
  const byId = new Map(history.checkpoints.map((it) => [it.id, it]));
  for (const leaf of leaves(history)) {
    for (let at: Checkpoint | undefined = leaf; at; at = at.parent ? byId.get(at.parent) : undefined) {
      if (at.id === id) return leaf.id;
    }
  }
  return id;
}

export interface StepTask {
  id: string;
  name: string;
  state: NodeState;
  error: string | null;
  interrupts: { id?: string; value?: unknown }[];
  result: unknown;
  /** What was told of it while it ran, if it was. */
  live?: LiveTask;
  /** How long it took, in milliseconds, if that was told. */
  took?: number;
}

export interface Step {
  /** Unique in its list. */
  key: string;
  kind: "input" | "tasks" | "update" | "fork";
  number: number;
  run: string | null;
  /** What it came to; none while it is not done. */
  checkpoint: Checkpoint | null;
  /** What it started from. */
  before: Checkpoint | null;
  tasks: StepTask[];
  state: NodeState;
  took?: number;
}

interface Now {
  live: RunLive;
  run: string | null;
  /** Whether that run is going on. */
  active: boolean;
}

/** The steps of a way, and what is under way at its end. */
export function stepsOf(path: Checkpoint[], now: Now): Step[] {
  const steps: Step[] = [];
  for (const [place, checkpoint] of path.entries()) {
    const before = path[place - 1] ?? null;
    // The checkpoint of an input holds nothing yet; the one behind it does.
    if (checkpoint.source === "input") continue;
    const took = before ? checkpoint.at - before.at : undefined;
    const base = { key: checkpoint.id, number: checkpoint.step, run: checkpoint.run, checkpoint, before };
    if (checkpoint.source === "update" || checkpoint.source === "fork") {
      steps.push({ ...base, kind: checkpoint.source, tasks: [], state: "done" });
    } else if (before?.source === "input") {
      steps.push({ ...base, kind: "input", tasks: [], state: "done" });
    } else {
      const tasks = (before?.tasks ?? []).map((task) => shown(task, now, "done"));
      steps.push({ ...base, kind: "tasks", tasks, state: worst(tasks) ?? "done", took });
    }
  }
  const head = path.at(-1) ?? null;
  const known = new Set(path.flatMap((it) => it.tasks.map((task) => task.id)));
  const open = head && head.source !== "input" ? head.tasks : [];
  if (head && open.length > 0) {
    const idle: NodeState = now.active && now.run === head.run ? "queued" : "idle";
    const tasks = open.map((task) => shown(task, now, idle));
    steps.push({
      key: `after-${head.id}`, kind: "tasks", number: head.step + 1, run: now.active ? now.run : head.run, checkpoint: null,
      before: head, tasks, state: worst(tasks) ?? idle,
    });
  }
  // Told already, but in no checkpoint that was read.
  const waves = new Map<number, StepTask[]>();
  for (const live of now.live.tasks.values()) {
    if (live.ns.length > 0 || known.has(live.id) || !now.active) continue;
    const task: StepTask = {
      id: live.id, name: live.name, state: live.state, error: live.error ?? null, interrupts: live.interrupts,
      result: live.result, live, took: tookOf(live),
    };
    waves.set(live.wave, [...(waves.get(live.wave) ?? []), task]);
  }
  for (const [wave, tasks] of [...waves].sort((a, b) => a[0] - b[0])) {
    steps.push({
      key: `live-${wave}`, kind: "tasks", number: (steps.at(-1)?.number ?? 0) + 1, run: now.run, checkpoint: null,
      before: head, tasks, state: worst(tasks) ?? "running",
    });
  }
  return steps;
}

function shown(task: HistoryTask, now: Now, otherwise: NodeState): StepTask {
  const live = now.live.tasks.get(task.id);
  const state: NodeState =
    task.error ? "failed"
    : task.interrupts.length > 0 && task.result === null ? "waiting"
    : task.result !== null ? "done"
    : live && (live.state !== "running" || now.active) ? live.state
    : otherwise;
  return {
    id: task.id, name: task.name, state, error: task.error, interrupts: task.interrupts,
    result: task.result ?? live?.result, live, took: tookOf(live),
  };
}

function tookOf(live: LiveTask | undefined): number | undefined {
  return live?.ended === undefined ? undefined : live.ended - live.began;
}

const ORDER: NodeState[] = ["failed", "waiting", "running", "queued", "cancelled", "idle", "skipped", "done"];

export function worst(tasks: { state: NodeState }[]): NodeState | undefined {
  return ORDER.find((state) => tasks.some((task) => task.state === state));
}
