import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useDeferredValue, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { forgetFilter, saveFilter, savedFilters } from "../../data/filters";
import { assistantsQuery, threadCountQuery, threadsQuery, type ThreadFilter, type ThreadRow } from "../../data/queries";
import { useWatched } from "../../data/store";
import { tagsOf, titleOf } from "../../data/titles";
import { Button } from "../../parts/Button";
import { Dialog } from "../../parts/Dialog";
import { Menu } from "../../parts/Menu";
import { Empty, Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { StateMark, ofThread, wordOfThread } from "../../parts/StateMark";
import { Ago } from "../../parts/time";
import { useMedia } from "../../parts/useMedia";
import { Bulk } from "./Bulk";
import styles from "./ThreadList.module.css";

/** Heights of rows: one line across the page, two beside an open thread and on a phone. */
const ROW = { wide: 36, narrow: 54 };
const PHONE = "(max-width: 30rem)";
/** Rows before the end at which more are asked for. */
const AHEAD = 20;

/** How long ago a thread has to have changed at most, in days. */
const SINCE: Record<string, { label: string; days: number }> = {
  day: { label: "Last 24 hours", days: 1 },
  week: { label: "Last 7 days", days: 7 },
  month: { label: "Last 30 days", days: 30 },
};
const DAY_MS = 86_400_000;
/** What of the address is a filter. */
const FILTERS = ["q", "status", "graph", "assistant", "tag", "since", "meta"];

/** All threads, the last changed first. Filters stand in the address. */
export function ThreadList({ wide, selected }: { wide: boolean; selected: string | null }) {
  const [query, setQuery] = useSearchParams();
  const [, go] = useLocation();
  const [text, setText] = useState(query.get("q") ?? "");
  const chosenFilter = JSON.stringify(filterOf(query));
  const filter = useMemo(() => JSON.parse(chosenFilter) as ThreadFilter, [chosenFilter]);
  const since = SINCE[query.get("since") ?? ""];
  const [picked, setPicked] = useState<ReadonlySet<string> | null>(null);
  const [naming, setNaming] = useState(false);
  const [more, setMore] = useState(false);
  const saved = useWatched(savedFilters);
  const { data: assistants } = useQuery({ ...assistantsQuery, enabled: wide });
  // Those of the graphs themselves are filtered by as graphs.
  const named = useMemo(() => (assistants ?? []).filter((it) => it.metadata?.created_by !== "system"), [assistants]);
  const nameOf = (id: string) => assistants?.find((it) => it.assistant_id === id)?.name ?? "that is gone";
  const graphs = useMemo(() => [...new Set((assistants ?? []).map((it) => it.graph_id))].sort(), [assistants]);
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } =
    useInfiniteQuery(threadsQuery(filter));
  const { data: total } = useQuery(threadCountQuery(filter));
  const all = useMemo(() => data?.pages.flatMap((page) => page.rows) ?? [], [data]);
  // Typing is answered at once, and the list when there is time.
  const words = useDeferredValue(text);
  const rows = useMemo(() => matching(since ? within(all, since.days) : all, words), [all, words, since]);
  // The list is in the order of its times: behind one that is too old there is none that is not.
  const isOver = since !== undefined && all.length > 0 && within(all.slice(-1), since.days).length === 0;

  const box = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const oneLine = !useMedia(PHONE) && wide;
  const height = oneLine ? ROW.wide : ROW.narrow;
  const virtual = useVirtualizer({
    count: rows.length, getScrollElement: () => box.current, estimateSize: () => height, overscan: 12,
  });
  useEffect(() => virtual.measure(), [height, virtual]);
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasNextPage && !isOver && !isFetchingNextPage && last >= rows.length - AHEAD) void fetchNextPage();
  }, [last, rows.length, hasNextPage, isOver, isFetchingNextPage, fetchNextPage]);

  const move = (step: number) => {
    const focused = document.activeElement?.closest("[data-index]")?.getAttribute("data-index");
    const from = focused ? Number(focused) : rows.findIndex((row) => row.thread_id === selected);
    const next = Math.min(rows.length - 1, Math.max(0, from + step));
    virtual.scrollToIndex(next);
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(`[data-index="${next}"] a`)?.focus());
  };
  useShortcuts("List of threads", [
    { keys: "j", label: "Next thread", run: () => move(1) },
    { keys: "k", label: "Previous thread", run: () => move(-1) },
    { keys: "/", label: "Search the list", run: () => search.current?.focus() },
    { keys: "n", label: "New thread", run: () => go("/threads?new=1") },
  ]);
  const set = (key: string, value: string) =>
    setQuery((before) => {
      const next = new URLSearchParams(before);
      if (value) next.set(key, value);
      else next.delete(key);
      return next;
    }, { replace: true });
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && event.target instanceof HTMLAnchorElement) {
      event.preventDefault();
      move(step);
    }
  };
  const filtered = Boolean(text) || FILTERS.some((key) => query.get(key));
  const current = () => {
    const kept = new URLSearchParams();
    for (const key of FILTERS) {
      const value = key === "q" ? text : query.get(key);
      if (value) kept.set(key, value);
    }
    return kept.toString();
  };
  const apply = (wanted: string) => {
    const next = new URLSearchParams(wanted);
    setText(next.get("q") ?? "");
    setQuery(next, { replace: true });
  };
  const clear = () => apply("");
  const same = saved.find((it) => it.query === current());
  const tags = useMemo(() => [...new Set(all.flatMap((row) => tagsOf(row.metadata)))].sort(), [all]);
  const pick = (id: string) =>
    setPicked((before) => {
      const next = new Set(before);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  const bad = query.get("meta") && !metadataOf(query.get("meta"));

  const inside = (
    <>
      <div className={styles.filters} role="search" data-more={more || undefined}>
        <input
          ref={search} type="search" className={styles.search} placeholder="Filter by words or id" aria-label="Filter by words or id"
          value={text} onChange={(event) => setText(event.target.value)} onBlur={() => set("q", text)}
        />
        <select aria-label="Status" value={query.get("status") ?? ""} onChange={(event) => set("status", event.target.value)}>
          <option value="">Any status</option>
          <option value="busy">Running</option>
          <option value="interrupted">Paused</option>
          <option value="error">Failed</option>
          <option value="idle">Idle</option>
        </select>
        {wide && (
          <>
            <Button kind="quiet" className={styles.more} aria-expanded={more} onClick={() => setMore(!more)}>{more ? "Fewer filters" : "More filters"}</Button>
            <select className={styles.extra} aria-label="Graph" value={query.get("graph") ?? ""} onChange={(event) => set("graph", event.target.value)}>
              <option value="">Any graph</option>
              {graphs.map((graph) => <option key={graph}>{graph}</option>)}
            </select>
            {(named.length > 0 || query.get("assistant")) && (
              <select className={styles.extra} aria-label="Assistant" value={query.get("assistant") ?? ""} onChange={(event) => set("assistant", event.target.value)}>
                <option value="">Any assistant</option>
                {named.map((it) => <option key={it.assistant_id} value={it.assistant_id}>{it.name}</option>)}
                {assistants && query.get("assistant") && !named.some((it) => it.assistant_id === query.get("assistant")) && (
                  <option value={query.get("assistant") ?? ""}>{nameOf(query.get("assistant") ?? "")}</option>
                )}
              </select>
            )}
            <select className={styles.extra} aria-label="Tag" value={query.get("tag") ?? ""} onChange={(event) => set("tag", event.target.value)}>
              <option value="">Any tag</option>
              {[...new Set([query.get("tag") ?? "", ...tags])].filter(Boolean).map((tag) => <option key={tag}>{tag}</option>)}
            </select>
            <select className={styles.extra} aria-label="Changed" value={query.get("since") ?? ""} onChange={(event) => set("since", event.target.value)}>
              <option value="">Any time</option>
              {Object.entries(SINCE).map(([key, { label }]) => <option key={key} value={key}>{label}</option>)}
            </select>
          </>
        )}
        {wide && (
          <input
            key={query.get("meta")} className={styles.meta} aria-label="Metadata, as key=value" placeholder="Metadata: key=value"
            defaultValue={query.get("meta") ?? ""} aria-invalid={Boolean(bad)}
            onBlur={(event) => set("meta", event.target.value)}
            onKeyDown={(event) => event.key === "Enter" && set("meta", event.currentTarget.value)}
          />
        )}
        {wide && (saved.length > 0 || filtered) && (
          <Menu
            label="Saved filters" kind="quiet"
            items={[
              ...saved.map((it) => ({ label: it.name, note: toldQuery(it.query, nameOf), run: () => apply(it.query) })),
              ...(filtered && !same ? [{ label: "Save this filter", run: () => setNaming(true) }] : []),
              ...(same ? [{ label: `Forget “${same.name}”`, danger: true, run: () => forgetFilter(same.name) }] : []),
              ...(filtered ? [{ label: "Clear the filter", run: clear }] : []),
            ]}
          >
            {same ? same.name : "Filters"}
          </Menu>
        )}
        <span className={styles.total} role="status">
          {total !== undefined && (text || since ? `${rows.length} shown of ${total}` : `${total}`)}
        </span>
      </div>
      {bad && <p className={styles.bad} role="alert">Metadata is written as key=value, such as graph_id=blogger.</p>}
      {error && <Failed what="The threads could not be read" error={error} onRetry={() => void refetch()} />}
      {isPending && !error && <Loading what="threads" lines={8} onRetry={() => void refetch()} />}
      {data && rows.length === 0 && (filtered ? (
        <Empty
          title="No thread matches."
          action={<Button onClick={clear}>Clear the filter</Button>}
        >
          {toldQuery(current(), nameOf)}
        </Empty>
      ) : (
        <Empty title="Nothing has run yet." action={<Button kind="primary" onClick={() => go("/")}>Run the demo</Button>} />
      ))}
      {wide && rows.length > 0 && (
        <div className={styles.columns} data-picking={picked !== null || undefined} aria-hidden="true">
          <span>Thread</span><span>Graph</span><span>Status</span><span>Changed</span>
        </div>
      )}
      <div ref={box} className={styles.box} onKeyDown={onKey}>
        <ul style={{ height: virtual.getTotalSize() }} aria-label="Threads">
          {shown.map((item) => {
            const row = rows[item.index];
            return row && (
              <li
                key={row.thread_id} data-index={item.index} className={styles.item} aria-setsize={rows.length} aria-posinset={item.index + 1}
                style={{ height, transform: `translateY(${item.start}px)` }}
              >
                {picked && (
                  <label className={styles.pick}>
                    <input type="checkbox" checked={picked.has(row.thread_id)} onChange={() => pick(row.thread_id)} aria-label={`Select ${titleOf(row)}`} />
                  </label>
                )}
                <Row row={row} wide={oneLine} selected={row.thread_id === selected} picking={picked !== null} />
              </li>
            );
          })}
        </ul>
      </div>
    </>
  );
  if (!wide) return <nav className={styles.pane} aria-label="Threads">{inside}</nav>;
  return (
    <Page
      title="Threads" fills
      actions={
        <>
          <Button aria-pressed={picked !== null} onClick={() => setPicked(picked ? null : new Set())} refused={rows.length === 0 && !picked && "there is no thread"}>Select</Button>
          <Button kind="primary" icon="plus" onClick={() => go("/threads?new=1")}>New</Button>
        </>
      }
    >
      <div className={styles.whole}>
        {picked && (
          <Bulk
            rows={rows} picked={picked} more={Boolean(hasNextPage) && !isOver} onPick={setPicked}
            onDone={() => setPicked(null)}
          />
        )}
        {inside}
      </div>
      {naming && <NameFilter onClose={() => setNaming(false)} onName={(name) => {
        saveFilter(name, current());
        setNaming(false);
      }} />}
    </Page>
  );
}

const Row = memo(function Row({ row, wide, selected, picking }: { row: ThreadRow; wide: boolean; selected: boolean; picking: boolean }) {
  const waits = Object.values(row.interrupts ?? {}).flat().length;
  const title = titleOf(row);
  const graph = typeof row.metadata?.graph_id === "string" ? row.metadata.graph_id : "";
  return (
    <Link href={`/threads/${row.thread_id}`} className={wide ? styles.row : styles.short} data-picking={picking || undefined} aria-current={selected ? "true" : undefined} title={title}>
      <span className={styles.title}>
        {title}
        {wide && tagsOf(row.metadata).slice(0, TAGS_SHOWN).map((tag) => <span key={tag} className={styles.tag}>{tag}</span>)}
      </span>
      {wide && <span className={styles.soft}>{graph}</span>}
      <StateMark state={ofThread(row.status, waits > 0)} word={wordOfThread(row.status, waits)} />
      <span className={styles.when}><Ago at={row.updated_at} /></span>
    </Link>
  );
});

/** Tags of a row that are shown beside its title. */
const TAGS_SHOWN = 3;

/** What the server is asked for. */
function filterOf(query: URLSearchParams): ThreadFilter {
  const filter: ThreadFilter = {};
  const status = query.get("status");
  if (status === "busy" || status === "interrupted" || status === "error" || status === "idle") filter.status = status;
  const [graph, assistant, tag] = [query.get("graph"), query.get("assistant"), query.get("tag")];
  const metadata = {
    ...metadataOf(query.get("meta")), ...(graph && { graph_id: graph }), ...(assistant && { assistant_id: assistant }), ...(tag && { tags: [tag] }),
  };
  if (Object.keys(metadata).length > 0) filter.metadata = metadata;
  return filter;
}

/** A filter in words. */
function toldQuery(text: string, nameOf: (assistant: string) => string): string {
  const query = new URLSearchParams(text);
  const words: Record<string, (value: string) => string> = {
    q: (it) => `words “${it}”`, status: (it) => `status ${it}`, graph: (it) => `graph ${it}`, assistant: (it) => `assistant ${nameOf(it)}`, tag: (it) => `tag ${it}`,
    since: (it) => SINCE[it]?.label.toLowerCase() ?? it, meta: (it) => it,
  };
  return FILTERS.flatMap((key) => {
    const value = query.get(key);
    return value ? [words[key]?.(value) ?? value] : [];
  }).join(", ");
}

function within(rows: ThreadRow[], days: number): ThreadRow[] {
  const least = Date.now() - days * DAY_MS;
  return rows.filter((row) => Date.parse(row.updated_at) >= least);
}

function NameFilter({ onName, onClose }: { onName: (name: string) => void; onClose: () => void }) {
  const [name, setName] = useState("");
  const refused = !name.trim() && "the name is empty";
  return (
    <Dialog title="Save this filter" onClose={onClose} actions={<Button kind="primary" refused={refused} onClick={() => onName(name.trim())}>Save</Button>}>
      <form onSubmit={(event) => {
        event.preventDefault();
        if (!refused) onName(name.trim());
      }}>
        <label className={styles.name}>Name<input value={name} data-first maxLength={60} autoComplete="off" onChange={(event) => setName(event.target.value)} /></label>
      </form>
      <p>It is kept in this browser.</p>
    </Dialog>
  );
}

/** `key=value`, of which the value may be JSON. */
function metadataOf(text: string | null): Record<string, unknown> | null {
  const match = /^\s*([^=\s]+)\s*=\s*(.+?)\s*$/.exec(text ?? "");
  const [, key, value] = match ?? [];
  if (!key || value === undefined) return null;
  try {
    return { [key]: JSON.parse(value) };
  } catch {
    return { [key]: value };
  }
}

/** What words are looked for in, by row: made once, since thousands are looked through at each key. */
const texts = new WeakMap<ThreadRow, string>();

function textOf(row: ThreadRow): string {
  let text = texts.get(row);
  if (text === undefined) {
    text = `${titleOf(row)} ${row.thread_id} ${JSON.stringify(row.metadata ?? {})}`.toLowerCase();
    texts.set(row, text);
  }
  return text;
}

function matching(rows: ThreadRow[], text: string): ThreadRow[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => words.every((word) => textOf(row).includes(word)));
}
