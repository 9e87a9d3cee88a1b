import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { threadCountQuery, threadsQuery, type ThreadFilter, type ThreadRow } from "../../data/queries";
import { titleOf } from "../../data/titles";
import { Button } from "../../parts/Button";
import { Empty, Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { StateMark, ofThread, wordOfThread } from "../../parts/StateMark";
import { Ago } from "../../parts/time";
import styles from "./ThreadList.module.css";

/** Heights of rows: one line across the page, two beside an open thread. */
const ROW = { wide: 36, narrow: 54 };
/** Rows before the end at which more are asked for. */
const AHEAD = 20;

/** All threads, the last changed first. Filters stand in the address. */
export function ThreadList({ wide, selected }: { wide: boolean; selected: string | null }) {
  const [query, setQuery] = useSearchParams();
  const [, go] = useLocation();
  const [text, setText] = useState(query.get("q") ?? "");
  const filter = useMemo(() => filterOf(query.get("status"), query.get("meta")), [query]);
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } =
    useInfiniteQuery(threadsQuery(filter));
  const { data: total } = useQuery(threadCountQuery(filter));
  const all = useMemo(() => data?.pages.flatMap((page) => page.rows) ?? [], [data]);
  const rows = useMemo(() => matching(all, text), [all, text]);

  const box = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const height = wide ? ROW.wide : ROW.narrow;
  const virtual = useVirtualizer({
    count: rows.length, getScrollElement: () => box.current, estimateSize: () => height, overscan: 12,
  });
  useEffect(() => virtual.measure(), [height, virtual]);
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && last >= rows.length - AHEAD) void fetchNextPage();
  }, [last, rows.length, hasNextPage, isFetchingNextPage, fetchNextPage]);

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
  const filtered = Boolean(text || query.get("status") || query.get("meta"));
  const bad = query.get("meta") && !metadataOf(query.get("meta"));

  const inside = (
    <>
      <div className={styles.filters} role="search">
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
          <input
            className={styles.meta} aria-label="Metadata, as key=value" placeholder="Metadata: key=value"
            defaultValue={query.get("meta") ?? ""} aria-invalid={Boolean(bad)}
            onBlur={(event) => set("meta", event.target.value)}
            onKeyDown={(event) => event.key === "Enter" && set("meta", event.currentTarget.value)}
          />
        )}
        <span className={styles.total} role="status">
          {total !== undefined && (text ? `${rows.length} shown of ${total}` : `${total}`)}
        </span>
      </div>
      {bad && <p className={styles.bad} role="alert">Metadata is written as key=value, such as graph_id=blogger.</p>}
      {error && <Failed what="The threads could not be read" error={error} onRetry={() => void refetch()} />}
      {isPending && !error && <Loading what="threads" lines={8} onRetry={() => void refetch()} />}
      {data && rows.length === 0 && (filtered ? (
        <Empty
          title="No thread matches."
          action={<Button onClick={() => { setText(""); setQuery({}, { replace: true }); }}>Clear the filter</Button>}
        >
          {[text && `words “${text}”`, query.get("status") && `status ${query.get("status")}`, query.get("meta")].filter(Boolean).join(", ")}
        </Empty>
      ) : (
        <Empty title="Nothing has run yet." action={<Button kind="primary" onClick={() => go("/")}>Run the demo</Button>} />
      ))}
      {wide && rows.length > 0 && (
        <div className={styles.columns} aria-hidden="true">
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
                <Row row={row} wide={wide} selected={row.thread_id === selected} />
              </li>
            );
          })}
        </ul>
      </div>
    </>
  );
  if (!wide) return <nav className={styles.pane} aria-label="Threads">{inside}</nav>;
  return (
    <Page title="Threads" fills actions={<Button kind="primary" icon="plus" onClick={() => go("/threads?new=1")}>New</Button>}>
      <div className={styles.whole}>{inside}</div>
    </Page>
  );
}

function Row({ row, wide, selected }: { row: ThreadRow; wide: boolean; selected: boolean }) {
  const waits = Object.values(row.interrupts ?? {}).flat().length;
  const title = titleOf(row);
  const graph = typeof row.metadata?.graph_id === "string" ? row.metadata.graph_id : "";
  return (
    <Link href={`/threads/${row.thread_id}`} className={wide ? styles.row : styles.short} aria-current={selected ? "true" : undefined} title={title}>
      <span className={styles.title}>{title}</span>
      {wide && <span className={styles.soft}>{graph}</span>}
      <StateMark state={ofThread(row.status, waits > 0)} word={wordOfThread(row.status, waits)} />
      <span className={styles.when}><Ago at={row.updated_at} /></span>
    </Link>
  );
}

function filterOf(status: string | null, meta: string | null): ThreadFilter {
  const filter: ThreadFilter = {};
  if (status === "busy" || status === "interrupted" || status === "error" || status === "idle") filter.status = status;
  const metadata = metadataOf(meta);
  if (metadata) filter.metadata = metadata;
  return filter;
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

function matching(rows: ThreadRow[], text: string): ThreadRow[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => {
    const all = `${titleOf(row)} ${row.thread_id} ${JSON.stringify(row.metadata ?? {})}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}
