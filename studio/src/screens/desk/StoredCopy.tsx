// A source as it was read, with the passages that the text rests on. What is shown is the copy, not
// the page: it may have changed since.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { request } from "../../data/client";
import { Dialog } from "../../parts/Dialog";
import { Failed, Loading } from "../../parts/notices";
import type { Evidence, Source } from "../../parts/Post";
import { Copy } from "./blog";
import { Place } from "./SourcesStep";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

/** Bytes of a copy that are shown at once, around the passage that was asked for. */
const SHOWN_BYTES = 200_000;

/** The text of a source, read once: what is at an address never changes. */
export function useText(thread: string, source: Source | null | undefined) {
  const address = source?.text;
  const query = useQuery({
    queryKey: ["text", thread, address], enabled: Boolean(address), staleTime: Infinity,
    queryFn: ({ signal }) => request<{ text: string }>(`/threads/${thread}/texts/${address}`, { signal }),
  });
  const copy = useMemo(() => (query.data ? new Copy(query.data.text) : null), [query.data]);
  return { ...query, copy };
}

interface Props {
  post: Post;
  source: Source;
  /** The passage to begin with. */
  at?: Evidence;
  onClose: () => void;
}

export function StoredCopy({ post, source, at, onClose }: Props) {
  const { copy, error, refetch } = useText(post.id, source);
  const first = useRef<HTMLElement>(null);
  const passages = useMemo(
    () => joined((post.blog.evidence ?? []).filter((one) => one.source === source.id)),
    [post.blog.evidence, source.id],
  );
  useEffect(() => {
    void first.current?.scrollIntoView({ block: "center" });
  }, [copy]);
  const parts = useMemo(() => (copy ? cut(copy, passages, at) : null), [copy, passages, at]);
  return (
    <Dialog title={source.title ?? source.location} onClose={onClose} wide>
      <p className={styles.copyHead}>
        <Place source={source} />
        {source.author && <span>{source.author}</span>}
        {source.published && <span>{source.published}</span>}
        <span>{passages.length} {passages.length === 1 ? "passage" : "passages"} used</span>
      </p>
      {error && <Failed what="The stored copy could not be read" error={error} onRetry={() => void refetch()} />}
      {!copy && !error && <Loading what="the stored copy" lines={8} />}
      {parts && copy && (
        <div className={styles.copy} tabIndex={0} role="group" aria-label="Stored copy">
          {parts.from > 0 && <p className={styles.soft}>{parts.from.toLocaleString("en")} bytes before this are not shown.</p>}
          <p className={styles.copyText}>
            {parts.pieces.map((piece, place) =>
              piece.used ? (
                <mark key={place} ref={piece.wanted ? first : undefined} data-wanted={piece.wanted || undefined}>{piece.text}</mark>
              ) : <span key={place}>{piece.text}</span>,
            )}
          </p>
          {parts.to < copy.length && <p className={styles.soft}>{(copy.length - parts.to).toLocaleString("en")} bytes after this are not shown.</p>}
        </div>
      )}
    </Dialog>
  );
}

interface Range {
  start: number;
  end: number;
}

/** Ranges in order, without overlaps. */
function joined(all: Range[]): Range[] {
  const out: Range[] = [];
  for (const { start, end } of [...all].sort((a, b) => a.start - b.start)) {
    const last = out.at(-1);
    if (last && start < last.end) last.end = Math.max(last.end, end);
    else if (end > start) out.push({ start, end });
  }
  return out;
}

function cut(copy: Copy, passages: Range[], at: Range | undefined) {
  const middle = at?.start ?? passages[0]?.start ?? 0;
  const from = copy.length <= SHOWN_BYTES ? 0 : copy.begin(middle - SHOWN_BYTES / 2);
  const to = copy.begin(Math.min(copy.length, from + SHOWN_BYTES));
  const pieces: { text: string; used: boolean; wanted: boolean }[] = [];
  let place = from;
  let wanted = false;
  for (const { start, end } of passages) {
    if (end <= from || start >= to) continue;
    if (start > place) pieces.push({ text: copy.slice(place, start), used: false, wanted: false });
    const is: boolean = !wanted && (at ? at.start < end && at.end > start : true);
    wanted ||= is;
    pieces.push({ text: copy.slice(Math.max(start, place), Math.min(end, to)), used: true, wanted: is });
    place = Math.min(end, to);
  }
  if (place < to) pieces.push({ text: copy.slice(place, to), used: false, wanted: false });
  return { from, to, pieces };
}
