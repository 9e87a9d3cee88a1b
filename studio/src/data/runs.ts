// Starting, stopping and answering runs. Each change says what has to be read again.

import type { Command, Run } from "@langchain/langgraph-sdk";
import { client, request } from "./client";
import { ownDriver } from "./driver";
import { threadChanged, threadsChanged } from "./queries";

/** What a run made here tells: enough for every view, and no state twice. */
export const STREAM_MODES = ["tasks", "messages-tuple", "custom"] as const;

export type WhenBusy = "enqueue" | "interrupt" | "rollback" | "reject";

/** When and how a run stops: what it saved stays, but for the last. */
export type Stop = "after_step" | "interrupt" | "rollback";

export type Durability = "sync" | "async" | "exit";

export interface Start {
  assistant: string;
  input?: Record<string, unknown> | null;
  command?: Command;
  /** Starts from this checkpoint in place of the newest. */
  checkpoint?: string;
  whenBusy?: WhenBusy;
  /** Kept with the run. */
  metadata?: Record<string, unknown>;
  /** Supersteps at most. */
  stepsMax?: number;
  /** When its steps are saved. */
  durability?: Durability;
  interruptBefore?: string[] | "*";
  interruptAfter?: string[] | "*";
}

export async function startRun(thread: string, start: Start): Promise<Run> {
  const run = await client.runs.create(thread, start.assistant, {
    input: start.input ?? null,
    command: start.command,
    checkpointId: start.checkpoint,
    multitaskStrategy: start.whenBusy,
    metadata: { ...start.metadata, driver: await ownDriver() },
    config: start.stepsMax === undefined ? undefined : { recursion_limit: start.stepsMax },
    durability: start.durability,
    interruptBefore: start.interruptBefore as "*" | undefined,
    interruptAfter: start.interruptAfter as "*" | undefined,
    streamMode: [...STREAM_MODES],
    streamSubgraphs: true,
    streamResumable: true,
  });
  threadChanged(thread);
  return run;
}

export async function newThread(metadata: Record<string, unknown>): Promise<string> {
  const thread = await client.threads.create({ metadata: metadata as never });
  threadsChanged();
  return thread.thread_id;
}

export async function cancelRun(thread: string, run: string, action: Stop) {
  await request(`/threads/${thread}/runs/${run}/cancel?action=${action}`, { method: "POST" });
  threadChanged(thread);
}

/** The demo: a post from the built-in handbook. Needs no key and no network. */
export const DEMO = {
  assistant: "blogger",
  input: {
    topic: "How does a run survive a crash?",
    mode: "extractive",
    sources: { search: false },
  },
  metadata: { title: "How does a run survive a crash?", demo: true },
};

export async function startDemo(): Promise<{ thread: string; run: string }> {
  const thread = await newThread(DEMO.metadata);
  const run = await startRun(thread, { assistant: DEMO.assistant, input: DEMO.input });
  return { thread, run: run.run_id };
}
