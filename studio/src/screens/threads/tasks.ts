// The tasks of a step: which is which, and which matter first.

import type { StepTask } from "../../data/history";
import { WORDS, type NodeState } from "../../parts/StateMark";

const ORDER: NodeState[] = ["failed", "waiting", "running", "queued", "cancelled", "idle", "skipped", "done"];

/** The place of a state among others: what needs a look comes first. */
export function weight(state: NodeState): number {
  return ORDER.indexOf(state);
}

/** How many tasks are in each state, those that matter first. */
export function countsOf(tasks: StepTask[]): string {
  const counts = new Map<NodeState, number>();
  for (const task of tasks) counts.set(task.state, (counts.get(task.state) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => weight(a) - weight(b)).map(([state, count]) => `${count} ${WORDS[state]}`).join(", ");
}

/** Those of a fan-out that matter first, then by their names. */
export function inOrder(tasks: StepTask[]): StepTask[] {
  const named = tasks.map((task) => ({ task, name: instanceOf(task), at: weight(task.state) }));
  named.sort((a, b) => a.at - b.at || a.name.localeCompare(b.name, "en", { numeric: true }));
  return named.map(({ task }) => task);
}

/** Which of a fan-out it is: a name in its input, else its id. */
export function instanceOf(task: StepTask): string {
  const input = task.live?.input;
  const named = findName(input, 0) ?? findName(task.result, 0);
  return named ?? `${task.name} ${task.id.slice(0, 8)}`;
}

/** Depth to which an input is searched for a name. */
const NAME_DEPTH = 3;

function findName(value: unknown, depth: number): string | null {
  if (value === null || typeof value !== "object" || depth > NAME_DEPTH) return null;
  const { name, title, id, key } = value as Record<string, unknown>;
  for (const it of [name, title, key, id]) if (typeof it === "string" && it.length > 0 && it.length < 100) return it;
  for (const member of Object.values(value).slice(0, 4)) {
    const found = findName(member, depth + 1);
    if (found) return found;
  }
  return null;
}
