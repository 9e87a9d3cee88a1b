// One post with what is going on about it.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { queryClient, runsQuery, stateQuery, threadChanged, threadQuery } from "../../data/queries";
import { useRun } from "../../data/useRun";
import { firstStep, progressOf, waitsForOutline, type Blog } from "./blog";

/** Pause between two readings of the state while a run writes. */
const READ_EVERY_MS = 400;

export function useBlog(id: string) {
  const thread = useQuery(threadQuery(id));
  const state = useQuery(stateQuery(id, null));
  const runs = useQuery(runsQuery(id));
  const newest = runs.data?.[0];
  const open = runs.data?.find((run) => run.status === "running" || run.status === "pending");
  const told = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const { live, problem } = useRun(id, open?.run_id ?? null, {
    onFrame: (frame) => {
      // A node of the outer graph has ended: what it left can be read.
      if (frame.event !== "tasks" || !frame.data || !("result" in frame.data) || timer.current !== undefined) return;
      const wait = Math.max(0, told.current + READ_EVERY_MS - Date.now());
      timer.current = setTimeout(() => {
        timer.current = undefined;
        told.current = Date.now();
        void queryClient.invalidateQueries({ queryKey: ["state", id] });
      }, wait);
    },
    onEnd: () => threadChanged(id),
  });
  const blog = (state.data?.values ?? {}) as Blog;
  const busy = open !== undefined;
  // The section that a change is being made of; an empty text for another change after the draft.
  const revises = open?.metadata?.revises;
  const revising = typeof revises === "string" ? revises : null;
  const waiting = !busy && waitsForOutline(state.data, thread.data?.status);
  const failure = thread.data?.status === "error" ? (thread.data as { error?: { error?: string; message?: string } | null }).error ?? null : null;
  const reached = useMemo(
    () => new Set([...live.tasks.values()].filter((task) => task.ns.length === 0 && task.state === "done").map((task) => task.name)),
    [live, live.version],
  );
  return {
    id, thread, state, blog, live, busy, waiting, failure, reached, run: open ?? newest,
    problem: busy ? problem : null,
    revising,
    progress: progressOf(blog, busy && revising === null, waiting, reached),
    first: firstStep(blog, busy, waiting, failure !== null),
  };
}

export type Post = ReturnType<typeof useBlog>;
