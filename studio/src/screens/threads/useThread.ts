// Everything that a thread view shows: what is kept, what is told, and what was chosen in the
// address.

import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef } from "react";
import { useSearchParams } from "wouter";
import type { Frame } from "../../data/live";
import { historyQuery, leafOf, pathTo, refreshHistory, stepsOf, type Step } from "../../data/history";
import { runsQuery, threadChanged, threadQuery } from "../../data/queries";
import { useRun } from "../../data/useRun";

/** Time between two looks at the history while a run goes on, in milliseconds. */
const REFRESH_MS = 400;

export type View = "both" | "steps" | "canvas" | "text" | "time";
export type Tab = "state" | "diff" | "task" | "json";

/** What is chosen, as the address has it. */
export interface Chosen {
  run: string | null;
  /** The checkpoint that is looked at; none is the newest. */
  cp: string | null;
  /** The one it is compared with. */
  cmp: string | null;
  /** A step or task that has no checkpoint yet, or a task of the step. */
  task: string | null;
  tab: Tab;
  view: View;
}

export function useChosen(): [Chosen, (change: Partial<Chosen>, replace?: boolean) => void] {
  const [query, setQuery] = useSearchParams();
  const chosen: Chosen = {
    run: query.get("run"), cp: query.get("cp"), cmp: query.get("cmp"), task: query.get("task"),
    tab: (query.get("tab") as Tab | null) ?? "state", view: (query.get("view") as View | null) ?? "both",
  };
  const set = useCallback(
    (change: Partial<Chosen>, replace = true) =>
      setQuery((before) => {
        const next = new URLSearchParams(before);
        for (const [key, value] of Object.entries(change)) {
          if (value) next.set(key, value);
          else next.delete(key);
        }
        return next;
      }, { replace }),
    [setQuery],
  );
  return [chosen, set];
}

export function useThread(id: string, chosen: Chosen) {
  const thread = useQuery(threadQuery(id));
  const runs = useQuery(runsQuery(id));
  const history = useQuery(historyQuery(id));
  const run = runs.data?.find((it) => it.run_id === chosen.run) ?? runs.data?.[0] ?? null;
  const active = run?.status === "pending" || run?.status === "running";

  // Looks at the history now and then while something is told, and once more behind the last.
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const soon = useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      // Whatever fails is told by the pill, and tried again with what is told next.
      refreshHistory(id).catch(() => {});
    }, REFRESH_MS);
  }, [id]);
  useEffect(() => () => {
    clearTimeout(timer.current);
    timer.current = undefined;
  }, [id]);

  const { live, told, problem } = useRun(id, run?.run_id ?? null, {
    quiet: true,
    onFrame: ({ event }: Frame) => {
      // What nodes say makes no checkpoint.
      if (active && event === "tasks") soon();
    },
    onEnd: () => {
      if (active) threadChanged(id);
    },
  });

  const path = useMemo(() => {
    if (!history.data) return [];
    return pathTo(history.data, chosen.cp ? leafOf(history.data, chosen.cp) : null);
  }, [history.data, chosen.cp]);
  const version = live.tasksVersion;
  const steps: Step[] = useMemo(
    () => stepsOf(path, { live, run: run?.run_id ?? null, active }),
    // A live run is one object that changes; its version says when.
    [path, live, version, run?.run_id, active],
  );
  const head = path.at(-1) ?? null;
  const at = chosen.cp ? path.find((it) => it.id === chosen.cp) ?? head : head;
  const assistant = run?.assistant_id ?? (thread.data?.metadata?.assistant_id as string | undefined) ?? null;
  const graph = (thread.data?.metadata?.graph_id as string | undefined) ?? null;
  return { thread, runs, history, run, active, live, told, problem, path, steps, head, at, assistant, graph };
}

export type ThreadData = ReturnType<typeof useThread>;
