// The questions of all threads that wait for a person, who takes care of them, and their answers.

import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { preferences } from "../app/preferences";
import { meQuery } from "./access";
import { client } from "./client";
import { queryClient, threadChanged, threadQuery, threadsQuery, type JsonSchema, type ThreadRow } from "./queries";
import { startRun } from "./runs";

/** What people noted on a question. Kept in the thread's metadata, under `inbox` and its id. */
export interface Note {
  assigned?: string;
  /** Not shown among the waiting ones before this. */
  snoozed_until?: string;
  /** When it was asked: a note changes the thread. */
  asked?: string;
}

export interface Question {
  thread: ThreadRow;
  /** The task that asks. */
  task: string;
  id: string;
  value: unknown;
  /** What an answer has to fit; any will do without. */
  schema: JsonSchema | null;
  note: Note;
}

interface Asked {
  id?: string;
  value?: unknown;
  response_schema?: JsonSchema;
}

type Threadlike = Pick<ThreadRow, "metadata" | "interrupts">;

function notesOf(thread: Threadlike): Record<string, Note> {
  const notes = thread.metadata?.inbox;
  return notes !== null && typeof notes === "object" && !Array.isArray(notes) ? (notes as Record<string, Note>) : {};
}

const asksOf = (thread: Threadlike) =>
  Object.entries(thread.interrupts ?? {}).flatMap(([task, asked]) =>
    (asked as Asked[]).flatMap((one) => (one.id === undefined ? [] : [{ task, id: one.id, value: one.value, schema: one.response_schema ?? null }])),
  );

export function questionsOf(thread: ThreadRow): Question[] {
  const notes = notesOf(thread);
  return asksOf(thread).map((one) => ({ thread, ...one, note: notes[one.id] ?? {} }));
}

export const askedAt = (question: Question) => question.note.asked ?? question.thread.updated_at;

export const isSnoozed = (question: Question, now: number) => {
  const until = Date.parse(question.note.snoozed_until ?? "");
  return Number.isFinite(until) && until > now;
};

/** All open questions, those of the longest waiting thread first, as far as they were read. */
export function useQuestions() {
  const query = useInfiniteQuery(threadsQuery({ status: "interrupted" }));
  const threads = useMemo(() => query.data?.pages.flatMap((page) => page.rows) ?? [], [query.data]);
  const questions = useMemo(() => threads.flatMap(questionsOf).reverse(), [threads]);
  const paused = threads.filter((thread) => questionsOf(thread).length === 0).length;
  return { ...query, questions, paused };
}

/** Notes something on a question. Notes of questions that are not open any more go. */
export async function note(question: Question, change: Note) {
  const { thread_id: id } = question.thread;
  const now = (await client.threads.get(id)) as unknown as ThreadRow;
  const notes = notesOf(now);
  const open = new Set(asksOf(now).map((one) => one.id));
  const kept = Object.entries(notes).filter(([key]) => open.has(key));
  const own: Note = { asked: askedAt(question), ...notes[question.id], ...change };
  const clean = Object.fromEntries(Object.entries(own).filter(([, value]) => value));
  await client.threads.update(id, { metadata: { inbox: { ...Object.fromEntries(kept), [question.id]: clean } } });
  threadChanged(id);
}

/** It was answered by somebody else meanwhile. */
export class Gone extends Error {
  constructor() {
    super("this question is not open any more");
  }
}

/** It was asked again meanwhile, with something else in it. */
export class Changed extends Error {
  constructor(
    /** The question as it stands now. */
    readonly now: Pick<Question, "id" | "task" | "value">,
  ) {
    super("what the question is about has changed since it was opened");
  }
}

/** The name under which this person answers, as far as anybody knows. */
const ownName = () => queryClient.getQueryData(meQuery.queryKey)?.display_name ?? preferences.get().name.trim();

/** What was answered, in few characters: SHA-256 of the question; none where the browser cannot. */
export async function digestOf(question: Pick<Question, "id" | "value">): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return null;
  const bytes = new TextEncoder().encode(JSON.stringify([question.id, question.value ?? null]));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export interface Audit {
  by: string | null;
  at: string;
  digest: string | null;
}

/**
 * Answers one question: the thread goes on where it stopped. Other questions of it stay open. Who
 * answered what and when is kept with the run.
 */
export async function answer(question: Question, value: unknown): Promise<{ run: string; audit: Audit }> {
  const { thread_id: thread } = question.thread;
  const now = await client.threads.get(thread);
  const open = asksOf(now as unknown as Threadlike);
  const same = open.find((one) => one.id === question.id);
  if (!same || JSON.stringify(same.value) !== JSON.stringify(question.value)) {
    queryClient.setQueryData(threadQuery(thread).queryKey, now);
    // The same node of the same thread asks again: its content is another one.
    const others = questionsOf(question.thread).map((one) => one.id);
    const again = same ?? (open.length === others.length ? open.find((one) => !others.includes(one.id)) : undefined);
    throw again ? new Changed(again) : new Gone();
  }
  const audit = { by: ownName() || null, at: new Date().toISOString(), digest: await digestOf(question) };
  const assistant = now.metadata?.assistant_id ?? now.metadata?.graph_id;
  const run = await startRun(thread, {
    assistant: String(assistant), command: { resume: { [question.id]: value } },
    metadata: { answered: { question: question.id, ...audit } },
  });
  return { run: run.run_id, audit };
}
