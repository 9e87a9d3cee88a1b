// What changes anywhere, as it changes: the lists, and whatever is shown of a thread, follow it.

import type { InfiniteData } from "@tanstack/react-query";
import { searched } from "./client";
import { connection } from "./connection";
import { contains } from "./containment";
import { refreshHistory } from "./history";
import { ROW, queryClient, type ThreadFilter, type ThreadRow } from "./queries";
import { mesh, onReconnect } from "./socket";

/** Time in which changes are gathered before rows are read, in milliseconds. */
const GATHER_MS = 250;
/** Rows read at once; when more have changed, the lists are read anew. */
const ROWS_MAX = 200;
/** What is kept of a thread, by the first word of its key. */
const OF_A_THREAD = new Set<unknown>(["thread", "runs", "state", "history"]);

const changed = new Set<string>();
/** Of those, the ones on which nothing runs any more: what they hold now stays for a while. */
const settled = new Set<string>();
const removed = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;
let resync = false;

interface Page {
  rows: ThreadRow[];
  next: number | null;
}

/** Listens from now on, whoever the reader is. What could not be read is read when it can be. */
export function watchThreads() {
  let was = connection.get().state;
  connection.subscribe(() => {
    const now = connection.get().state;
    if (now !== was && (now === "caught-up" || (now === "live" && was !== "caught-up" && was !== "slow"))) {
      void queryClient.refetchQueries({ predicate: (query) => query.state.status === "error" });
      // What was read before threads were watched may be old. A ping is answered behind the watch.
      mesh().ping().then(() => later(true), () => {});
    }
    was = now;
  });
  void listen();
  onReconnect(() => void listen());
}

async function listen() {
  try {
    for await (const change of mesh().watch()) {
      if (change.type === "resync") later(true);
      else {
        if (change.thread === null) removed.add(change.thread_id);
        else changed.add(change.thread_id);
        if (change.thread?.status !== "busy") settled.add(change.thread_id);
        later();
      }
    }
  } catch {
    // Ended for good, as by a credential that is taken back: the pill says so.
  }
}

/** Reads soon what has changed, or everything that is shown. */
function later(all = false) {
  resync ||= all;
  timer ??= setTimeout(() => void apply(), GATHER_MS);
}

/** The threads of which something is shown. */
function shown(): string[] {
  const keys = queryClient.getQueryCache().findAll({ type: "active" }).map((query) => query.queryKey);
  return keys.flatMap(([of, id]) => (typeof id === "string" && OF_A_THREAD.has(of) ? [id] : []));
}

async function apply() {
  timer = undefined;
  if (resync) {
    for (const id of shown()) {
      changed.add(id);
      settled.add(id);
    }
  }
  const ids = [...changed];
  const gone = [...removed];
  const anew = resync || ids.length > ROWS_MAX;
  changed.clear();
  removed.clear();
  resync = false;
  for (const id of new Set([...ids, ...gone])) {
    void queryClient.invalidateQueries({ queryKey: ["thread", id] });
    void queryClient.invalidateQueries({ queryKey: ["runs", id] });
    if (settled.has(id)) void queryClient.invalidateQueries({ queryKey: ["state", id, null] });
    if (queryClient.getQueryState(["history", id])) void refreshHistory(id).catch(() => {});
  }
  settled.clear();
  void queryClient.invalidateQueries({ queryKey: ["thread-count"] });
  void queryClient.invalidateQueries({ queryKey: ["questions"] });
  if (anew) {
    void queryClient.invalidateQueries({ queryKey: ["threads"] });
    return;
  }
  try {
    const rows = ids.length ? (await searched<ThreadRow>("/threads/search", { ids, limit: ids.length, ...ROW })).rows : [];
    merge(rows, gone);
  } catch {
    void queryClient.invalidateQueries({ queryKey: ["threads"] });
  }
}

/** Puts rows where they belong in every list that is kept: what changed last comes first. */
function merge(rows: ThreadRow[], gone: string[]) {
  const touched = new Set([...rows.map((row) => row.thread_id), ...gone]);
  const lists = queryClient.getQueriesData<InfiniteData<Page, number>>({ queryKey: ["threads"] });
  for (const [key, data] of lists) {
    if (!data) continue;
    const filter = (key[1] ?? {}) as ThreadFilter;
    const added = rows.filter((row) => fits(row, filter)).sort((a, b) => b.updated_at.localeCompare(a.updated_at));
    const pages = data.pages.map((page) => ({ ...page, rows: page.rows.filter((row) => !touched.has(row.thread_id)) }));
    const [first] = pages;
    if (first) first.rows = [...added, ...first.rows];
    queryClient.setQueryData(key, { ...data, pages });
  }
}

/** Whether a row is in a list with this filter, as the server decides it. */
function fits(row: ThreadRow, filter: ThreadFilter): boolean {
  if (filter.status && row.status !== filter.status) return false;
  return contains(row.metadata ?? {}, filter.metadata ?? {});
}
