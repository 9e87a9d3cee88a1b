// What the Studio reads, with the names under which it is kept. Nothing is polled: feeds and
// changes made here say what has to be read again.

import type { Assistant, Run, Thread, ThreadState } from "@langchain/langgraph-sdk";
import { QueryClient, infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { seen } from "./connection";
import { Refused, client, request, searched } from "./client";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // The feed says what has changed.
      staleTime: 60_000,
      // A refusal is an answer; only what never arrived is asked again.
      retry: (failures, error) => !(error instanceof Refused) && failures < 2,
      refetchOnWindowFocus: true,
    },
  },
});

/** What the server says of itself. */
export interface Info {
  name: string;
  description: string;
  version: string;
  uptime_s: number;
  authentication: boolean;
  unsafe_settings: string[];
  limits: Record<string, number>;
  assistants: { name: string; description: string; socket: string; input_schema: JsonSchema }[];
}

/** JSON Schema as graphs give it. */
export type JsonSchema = { [key: string]: unknown } | boolean;

export interface Schemas {
  graph_id: string;
  input_schema: JsonSchema | null;
  output_schema: JsonSchema | null;
  state_schema: JsonSchema | null;
  config_schema: JsonSchema | null;
  context_schema: JsonSchema | null;
  /** By which rule each key of the state takes writes. */
  channels: { key: string; rule: string }[];
}

export const infoQuery = queryOptions({
  queryKey: ["info"],
  staleTime: 60_000,
  queryFn: async ({ signal }) => {
    const info = await request<Info>("/info", { signal });
    seen(info.version);
    return info;
  },
});

/** A row of the list of threads. */
export interface ThreadRow
  extends Pick<Thread, "thread_id" | "created_at" | "updated_at" | "status" | "metadata"> {
  interrupts?: Record<string, { value?: unknown; id?: string }[]> | null;
  extracted?: Record<string, unknown>;
}

export interface ThreadFilter {
  status?: "idle" | "busy" | "interrupted" | "error";
  /** Entries that the metadata has to contain. */
  metadata?: Record<string, unknown>;
}

const THREADS_PAGE = 100;

/** Where a title may be found, the best first. */
export const TITLE_PATHS = {
  title: "metadata.title",
  name: "metadata.name",
  topic: "values.request.topic",
  topic_plain: "values.topic",
  message: "values.messages[0].content",
  question: "values.question",
};

/** What is read of a thread for a list. */
export const ROW = {
  select: ["thread_id", "created_at", "updated_at", "status", "metadata", "interrupts"],
  extract: TITLE_PATHS,
};

export const threadsQuery = (filter: ThreadFilter) =>
  infiniteQueryOptions({
    queryKey: ["threads", filter],
    initialPageParam: 0,
    queryFn: ({ pageParam, signal }) =>
      searched<ThreadRow>(
        "/threads/search",
        {
          ...filter,
          limit: THREADS_PAGE,
          offset: pageParam,
          sort_by: "updated_at",
          ...ROW,
        },
        signal,
      ),
    getNextPageParam: (last) => last.next,
  });

export const threadCountQuery = (filter: ThreadFilter) =>
  queryOptions({
    queryKey: ["thread-count", filter],
    queryFn: ({ signal }) =>
      request<number>("/threads/count", { json: filter, signal }),
  });

export const threadQuery = (id: string) =>
  queryOptions({
    queryKey: ["thread", id],
    queryFn: ({ signal }) => client.threads.get(id, { signal }),
  });

/** Runs that are looked at of one thread, newest first. */
const RUNS_SHOWN = 100;

export const runsQuery = (thread: string) =>
  queryOptions({
    queryKey: ["runs", thread],
    queryFn: ({ signal }): Promise<Run[]> =>
      client.runs.list(thread, { limit: RUNS_SHOWN, signal }),
  });

export const stateQuery = (thread: string, checkpoint: string | null) =>
  queryOptions({
    queryKey: ["state", thread, checkpoint],
    queryFn: ({ signal }): Promise<ThreadState> =>
      client.threads.getState(thread, checkpoint ?? undefined, { signal }),
  });

export const assistantsQuery = queryOptions({
  queryKey: ["assistants"],
  staleTime: 60_000,
  queryFn: async ({ signal }): Promise<Assistant[]> => {
    const all: Assistant[] = [];
    for (let offset: number | null = 0; offset !== null; ) {
      const page: { rows: Assistant[]; next: number | null } = await searched<Assistant>(
        "/assistants/search", { limit: 1000, offset, sort_by: "name", sort_order: "asc" }, signal,
      );
      all.push(...page.rows);
      offset = page.next;
    }
    return all;
  },
});

export const schemasQuery = (assistant: string) =>
  queryOptions({
    queryKey: ["schemas", assistant],
    staleTime: 60_000,
    queryFn: ({ signal }) =>
      request<Schemas>(`/assistants/${encodeURIComponent(assistant)}/schemas`, { signal }),
  });

/** A graph as the server lays it out. */
export interface Drawing {
  /** A mounted graph that is closed has `["mesh_graph", "Graph"]` as the id of its data. */
  nodes: { id: string; type: string; data?: { id?: string[]; name?: string } }[];
  edges: { source: string; target: string; data?: string; conditional?: boolean }[];
  layout?: Layout;
}

export interface Layout {
  width: number;
  height: number;
  nodes: { id: string; x: number; y: number; width: number; height: number }[];
  /** In the order of the edges: from the border of the source to that of the target. */
  edges: { points: [number, number][] }[];
  /** Mounted graphs that are drawn open, outermost first. */
  groups: { id: string; x: number; y: number; width: number; height: number }[];
}

/** With all mounted graphs open, or none, or those that are named: `mount` or `mount:mount`. */
export const drawingQuery = (assistant: string, open: boolean | readonly string[]) =>
  queryOptions({
    queryKey: ["drawing", assistant, open],
    staleTime: 60_000,
    queryFn: ({ signal }) => {
      const which = typeof open === "boolean" ? `xray=${open}` : `open=${encodeURIComponent(open.join(","))}`;
      return request<Drawing>(`/assistants/${encodeURIComponent(assistant)}/graph?${which}&layout=true`, { signal });
    },
  });

/** All nodes of a graph and of those mounted in it, without their places. */
export const wholeQuery = (assistant: string) =>
  queryOptions({
    queryKey: ["whole", assistant],
    staleTime: 60_000,
    queryFn: ({ signal }) => request<Drawing>(`/assistants/${encodeURIComponent(assistant)}/graph?xray=true`, { signal }),
  });

/** Everything about a thread is read again. */
export function threadChanged(thread: string) {
  void queryClient.invalidateQueries({ queryKey: ["thread", thread] });
  void queryClient.invalidateQueries({ queryKey: ["runs", thread] });
  void queryClient.invalidateQueries({ queryKey: ["history", thread] });
  void queryClient.invalidateQueries({ queryKey: ["state", thread] });
  threadsChanged();
}

/** The lists of threads are read again, for what the feed does not tell. */
export function threadsChanged() {
  void queryClient.invalidateQueries({ queryKey: ["threads"] });
  void queryClient.invalidateQueries({ queryKey: ["thread-count"] });
}
