// The tasks of one step in a table: those that matter first, or in any other order.

import { useMemo, useState } from "react";
import type { Step, StepTask } from "../../data/history";
import type { RunLive } from "../../data/live";
import { Button } from "../../parts/Button";
import { StateMark } from "../../parts/StateMark";
import { span } from "../../parts/time";
import { countsOf, instanceOf, weight } from "./tasks";
import styles from "./Instances.module.css";

/** Rows that are shown before more are asked for. */
const SHOWN = 250;

type Column = "key" | "state" | "time" | "tokens";

interface Row {
  task: StepTask;
  key: string;
  tokens: number | undefined;
}

export function Instances({ step, live, onChoose }: { step: Step; live: RunLive; onChoose: (task: string) => void }) {
  const [sort, setSort] = useState<{ by: Column; down: boolean }>({ by: "state", down: false });
  const [shown, setShown] = useState(SHOWN);
  const rows = useMemo(() => {
    const tokens = tokensOf(live);
    return step.tasks.map((task): Row => ({ task, key: instanceOf(task), tokens: tokens.get(task.id) }));
  }, [step, live, live.tasksVersion]);
  const sorted = useMemo(() => inOrder(rows, sort), [rows, sort]);
  const columns: { id: Column; label: string }[] = [
    { id: "key", label: "Key" }, { id: "state", label: "State" }, { id: "time", label: "Time" },
    ...(rows.some((row) => row.tokens !== undefined) ? [{ id: "tokens" as const, label: "Tokens" }] : []),
  ];
  return (
    <section className={styles.instances} aria-label={`Tasks of step ${step.number}`}>
      <p className={styles.counts}>{step.tasks.length.toLocaleString("en")} tasks: {countsOf(step.tasks)}</p>
      <table>
        <thead>
          <tr>
            {columns.map(({ id, label }) => (
              <th key={id} scope="col" aria-sort={sort.by === id ? (sort.down ? "descending" : "ascending") : undefined}>
                <button type="button" onClick={() => setSort({ by: id, down: sort.by === id && !sort.down })}>
                  {label}<span aria-hidden="true">{sort.by === id ? (sort.down ? " ↓" : " ↑") : ""}</span>
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.slice(0, shown).map(({ task, key, tokens }) => (
            <tr key={task.id} data-state={task.state}>
              <th scope="row"><button type="button" onClick={() => onChoose(task.id)}>{key}</button></th>
              <td><StateMark state={task.state} /></td>
              <td>{task.took === undefined ? "" : span(task.took)}</td>
              {columns.length > 3 && <td>{tokens?.toLocaleString("en")}</td>}
            </tr>
          ))}
        </tbody>
      </table>
      {sorted.length > shown && <p><Button onClick={() => setShown(shown * 4)}>{(sorted.length - shown).toLocaleString("en")} more</Button></p>}
    </section>
  );
}

/** Tokens that each task's messages had, where that was told. */
function tokensOf(live: RunLive): Map<string, number> {
  const tokens = new Map<string, number>();
  for (const card of live.cards) {
    if (card.kind !== "message" || card.tokens === undefined) continue;
    // The place of a task in mounted graphs: `node:task|node:task`.
    for (const part of card.instance.split("|")) {
      const task = part.split(":").pop() ?? "";
      tokens.set(task, (tokens.get(task) ?? 0) + card.tokens);
    }
  }
  return tokens;
}

function inOrder(rows: Row[], { by, down }: { by: Column; down: boolean }): Row[] {
  const byKey = (a: Row, b: Row) => a.key.localeCompare(b.key, "en", { numeric: true });
  const compare: Record<Column, (a: Row, b: Row) => number> = {
    key: byKey,
    state: (a, b) => weight(a.task.state) - weight(b.task.state),
    time: (a, b) => (a.task.took ?? -1) - (b.task.took ?? -1),
    tokens: (a, b) => (a.tokens ?? -1) - (b.tokens ?? -1),
  };
  return rows.toSorted((a, b) => (down ? -1 : 1) * compare[by](a, b) || byKey(a, b));
}
