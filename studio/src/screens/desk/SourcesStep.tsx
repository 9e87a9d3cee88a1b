// What was read, what it was used for, and what could not be read.

import { useMemo, useState } from "react";
import { useLocation } from "wouter";
import { same } from "../../data/diff";
import { dropDraft, keepDraft, useDraft } from "../../data/drafts";
import { Button } from "../../parts/Button";
import { Empty } from "../../parts/notices";
import type { Source } from "../../parts/Post";
import { StoredCopy } from "./StoredCopy";
import { placeOf, requestDraft, type Blog } from "./blog";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

const WAYS: Record<string, string> = {
  http: "page", browser: "page", file: "file", note: "note", search: "search", handbook: "handbook", folder: "folder",
};

export function SourcesStep({ post }: { post: Post }) {
  const [, go] = useLocation();
  const [reading, setReading] = useState<Source | null>(null);
  const { blog } = post;
  const { leftOut, changed, setOut, undo } = useLeftOut(post);
  const sources = blog.sources ?? [];
  const problems = blog.problems ?? [];
  const used = useMemo(() => {
    const counts = new Map<string, number>();
    const evidence = blog.evidence?.length ? blog.evidence : (blog.completed_sections ?? []).flatMap((section) => section.evidence ?? []);
    for (const one of evidence) if (one.source) counts.set(one.source, (counts.get(one.source) ?? 0) + 1);
    return counts;
  }, [blog]);
  const away = leftOut.filter((place) => !sources.some((source) => source.location === place));
  const change = <Button onClick={() => go(`/desk/${post.id}?step=request`)}>Change the sources</Button>;
  if (sources.length === 0 && problems.length === 0 && away.length === 0) {
    return <Empty title={post.busy ? "The sources are being read." : "Nothing was read yet."} action={!post.busy && change} />;
  }
  // Used ones first; else in the order of reading.
  const rows = [...sources].sort((a, b) => (used.get(b.id) ?? 0) - (used.get(a.id) ?? 0));
  return (
    <section aria-labelledby="sources" className={styles.part}>
      <header className={styles.partHead}>
        <div>
          <h2 id="sources">{sources.length} {sources.length === 1 ? "source" : "sources"} read</h2>
          <p className={styles.soft}>
            {used.size} of them {used.size === 1 ? "is" : "are"} used in the text.
            {blog.mode?.handbook && ` ${blog.mode.handbook.charAt(0).toUpperCase()}${blog.mode.handbook.slice(1)}.`}
          </p>
        </div>
        {!post.busy && !changed && change}
        <div role="status" className={styles.whole}>
          {changed && (
            <p className={styles.begun}>
              <span>{leftOut.length === 0 ? "No source is left out any more." : `${leftOut.length} ${leftOut.length === 1 ? "source is" : "sources are"} to be left out.`} The text stays as it is until it is written again.</span>
              <Button kind="primary" onClick={() => go(`/desk/${post.id}?step=request`)}>To the request</Button>
              <Button onClick={undo}>Leave it as it was</Button>
            </p>
          )}
        </div>
      </header>
      {sources.length > 0 && (
        <div className={styles.tableBox} tabIndex={0} role="group" aria-label="Sources">
          <table className={styles.table}>
            <thead>
              <tr><th scope="col">Title</th><th scope="col">Place</th><th scope="col">Kind</th><th scope="col">Date</th><th scope="col" className={styles.number}>Used</th><th><span className="visually-hidden">Copy, and use</span></th></tr>
            </thead>
            <tbody>
              {rows.map((source) => (
                <tr key={source.id} data-used={used.has(source.id) || undefined} data-out={leftOut.includes(source.location) || undefined}>
                  <th scope="row">{source.title ?? source.location}{source.author && <small>{source.author}</small>}<small className={styles.onPhones}><Place source={source} /></small>{leftOut.includes(source.location) && <small>to be left out</small>}</th>
                  <td><Place source={source} /></td>
                  <td>{WAYS[source.fetched_by ?? ""] ?? source.fetched_by ?? "–"}</td>
                  <td>{source.published ?? "–"}</td>
                  <td className={styles.number}>{used.get(source.id) ?? <span className={styles.soft}>–</span>}</td>
                  <td className={styles.rowButtons}>
                    <Button kind="quiet" onClick={() => setReading(source)}>Read<span className="visually-hidden"> {source.title ?? source.location}</span></Button>
                    <Out
                      name={source.title ?? source.location} out={leftOut.includes(source.location)} onOut={(out) => setOut(source.location, out)}
                      refused={post.busy ? "the post is being written" : source.fetched_by === "note" && "a note is taken out in the request"}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {away.length > 0 && (
        <section aria-labelledby="left-out">
          <h2 id="left-out">Left out</h2>
          <ul className={styles.problems}>
            {away.map((place) => (
              <li key={place}><code>{place}</code> <Out name={place} out onOut={(out) => setOut(place, out)} refused={post.busy && "the post is being written"} /></li>
            ))}
          </ul>
        </section>
      )}
      {problems.length > 0 && (
        <section aria-labelledby="unread">
          <h2 id="unread">Not read</h2>
          <ul className={styles.problems}>
            {problems.map((problem, at) => <li key={at}><code>{problem.subject}</code> <span>{problem.reason}</span></li>)}
          </ul>
        </section>
      )}
      {reading && <StoredCopy post={post} source={reading} onClose={() => setReading(null)} />}
    </section>
  );
}

/** What the request leaves out, with what was begun to be changed in it. */
function useLeftOut(post: Post) {
  const name = requestDraft(post.id);
  const begun = useDraft(name) as Blog["request"];
  const asked = post.blog.request;
  const request = begun ?? asked;
  const leftOut = request?.sources?.exclude ?? [];
  const put = (exclude: readonly string[]) => {
    const { exclude: _, ...others } = request?.sources ?? {};
    const next = { ...request, sources: exclude.length > 0 ? { ...others, exclude } : others };
    if (same(next, asked)) dropDraft(name);
    else keepDraft(name, next);
  };
  return {
    leftOut, changed: !same(leftOut, asked?.sources?.exclude ?? []),
    setOut: (place: string, out: boolean) => put(out ? [...leftOut, place] : leftOut.filter((it) => it !== place)),
    undo: () => put(asked?.sources?.exclude ?? []),
  };
}

interface OutProps {
  name: string;
  out: boolean;
  refused: string | false;
  onOut: (out: boolean) => void;
}

function Out({ name, out, refused, onOut }: OutProps) {
  return <Button kind="quiet" refused={refused} onClick={() => onOut(!out)}>{out ? "Take in" : "Leave out"}<span className="visually-hidden"> {name}</span></Button>;
}

/** The place of a source; of a page a way there, with its host in sight. */
export function Place({ source }: { source: Source }) {
  const shown = placeOf(source);
  if (!/^https?:\/\//.test(source.location)) return <code>{shown}</code>;
  return <a href={source.location} target="_blank" rel="noopener noreferrer nofollow" title={source.location}>{shown}</a>;
}
