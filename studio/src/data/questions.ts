// The questions of all threads that wait for a person, and their answers.

import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { client } from "./client";
import { queryClient, threadQuery, threadsQuery, type JsonSchema, type ThreadRow } from "./queries";
import { startRun } from "./runs";

export interface Question {
  thread: ThreadRow;
  /** The task that asks. */
  task: string;
  id: string;
  value: unknown;
  /** What an answer has to fit; any will do without. */
  schema: JsonSchema | null;
}

interface Asked {
  id?: string;
  value?: unknown;
  response_schema?: JsonSchema;
}

export function questionsOf(thread: ThreadRow): Question[] {
  return Object.entries(thread.interrupts ?? {}).flatMap(([task, asked]) =>
    (asked as Asked[]).flatMap((one) =>
      one.id === undefined ? [] : [{ thread, task, id: one.id, value: one.value, schema: one.response_schema ?? null }],
    ),
  );
}

/** All open questions, those of the longest waiting thread first, as far as they were read. */
export function useQuestions() {
  const query = useInfiniteQuery(threadsQuery({ status: "interrupted" }));
  const threads = useMemo(() => query.data?.pages.flatMap((page) => page.rows) ?? [], [query.data]);
  const questions = useMemo(() => threads.flatMap(questionsOf).reverse(), [threads]);
  const paused = threads.filter((thread) => questionsOf(thread).length === 0).length;
  return { ...query, questions, paused };
}

/** It was answered by somebody else meanwhile. */
export class Gone extends Error {
  constructor() {
    super("this question is not open any more");
  }
}

/** Answers one question: the thread goes on where it stopped. Other questions of it stay open. */
export async function answer(question: Question, value: unknown): Promise<string> {
  const { thread_id: thread } = question.thread;
  const now = await client.threads.get(thread);
  const open = Object.values(now.interrupts ?? {}).flat().some((one) => one?.id === question.id);
  if (!open) {
    queryClient.setQueryData(threadQuery(thread).queryKey, now);
    throw new Gone();
  }
  const assistant = now.metadata?.assistant_id ?? now.metadata?.graph_id;
  const run = await startRun(thread, {
    assistant: String(assistant), command: { resume: { [question.id]: value } },
  });
  return run.run_id;
}
