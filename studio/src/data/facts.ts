// What the nodes of a drawing are doing, from the tasks of a run.

import type { NodeFacts } from "../parts/Canvas";
import type { NodeState } from "../parts/StateMark";
import { span } from "../parts/time";
import type { Drawing } from "./queries";
import { nodeId } from "./live";

export interface TaskFact {
  id: string;
  name: string;
  ns: string[];
  /** Superstep of its graph within the run, from 0. */
  wave: number;
  state: NodeState;
  took?: number;
}

/** States of a fan-out, the one that matters most first. */
const WEIGHT: NodeState[] = ["failed", "waiting", "running", "queued", "cancelled", "done", "skipped", "idle"];

export function factsOf(tasks: Iterable<TaskFact>): Map<string, NodeFacts> {
  const byNode = new Map<string, TaskFact[]>();
  for (const task of tasks) {
    const id = nodeId(task.ns, task.name);
    const list = byNode.get(id);
    if (list) list.push(task);
    else byNode.set(id, [task]);
  }
  const facts = new Map<string, NodeFacts>();
  for (const [id, list] of byNode) {
    const last = Math.max(...list.map((task) => task.wave));
    // A node that ran before tells of its last superstep.
    const now = list.filter((task) => task.ns.length > 0 || task.wave === last);
    const state = WEIGHT.find((it) => now.some((task) => task.state === it)) ?? "idle";
    facts.set(id, { state, detail: detail(now, state, list), brief: brief(now), order: list[0]?.ns.length ? undefined : Math.min(...list.map((it) => it.wave)) + 1 });
  }
  return facts;
}

/** Of a fan-out what matters most. */
function brief(now: TaskFact[]): string | undefined {
  if (now.length < 2) return undefined;
  const count = (state: NodeState) => now.filter((task) => task.state === state).length;
  const failed = count("failed");
  return failed ? `${failed} failed of ${now.length}` : `${count("done")} of ${now.length} done`;
}

function detail(now: TaskFact[], state: NodeState, all: TaskFact[]): string | undefined {
  const done = now.filter((task) => task.state === "done").length;
  if (now.length > 1) {
    const failed = now.filter((task) => task.state === "failed").length;
    return `${done} of ${now.length} done${failed ? `, ${failed} failed` : ""}`;
  }
  const took = now[0]?.took;
  const times = all.length > 1 ? `, ${all.length} times` : "";
  if (state === "done" && took !== undefined) return `done ${span(took)}${times}`;
  return times ? `${state}${times}` : undefined;
}

/** Edges that were followed: those whose ends ran one after the other. */
export function takenEdges(drawing: Drawing, tasks: Iterable<TaskFact>, finished: boolean): Set<string> {
  const waves = new Map<string, Set<number>>();
  let last = -1;
  for (const task of tasks) {
    const id = nodeId(task.ns, task.name);
    const known = waves.get(id) ?? new Set();
    known.add(task.wave);
    waves.set(id, known);
    if (task.ns.length === 0) last = Math.max(last, task.wave);
  }
  const parent = (id: string) => id.split(":").slice(0, -1).join(":");
  const taken = new Set<string>();
  for (const { source, target } of drawing.edges) {
    // Between a graph and one that is mounted in it, the mount itself is what ran.
    const depth = Math.min(source.split(":").length, target.split(":").length);
    const cut = (id: string) => id.split(":").slice(0, depth).join(":");
    const from = parent(source) === parent(target) ? source : cut(source);
    const to = parent(source) === parent(target) ? target : cut(target);
    const name = (id: string) => id.split(":").pop();
    const before = name(from) === "__start__" ? new Set([-1]) : waves.get(from);
    const after =
      name(to) === "__end__"
        ? finished && !to.includes(":") ? new Set([last + 1]) : before && to.includes(":") ? new Set([...before].map((it) => it + 1)) : undefined
        : waves.get(to);
    if (before && after && [...before].some((wave) => after.has(wave + 1))) taken.add(`${source} ${target}`);
  }
  return taken;
}
