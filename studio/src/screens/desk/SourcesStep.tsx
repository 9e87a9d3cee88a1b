// What was read, what it was used for, and what could not be read.

import { useMemo, useState } from "react";
import { useLocation } from "wouter";
import { Button } from "../../parts/Button";
import { Empty } from "../../parts/notices";
import type { Source } from "../../parts/Post";
import { StoredCopy } from "./StoredCopy";
import { placeOf } from "./blog";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

const WAYS: Record<string, string> = {
  http: "page", browser: "page", file: "file", note: "note", search: "search", handbook: "handbook", folder: "folder",
};

export function SourcesStep({ post }: { post: Post }) {
  const [, go] = useLocation();
  const [reading, setReading] = useState<Source | null>(null);
  const { blog } = post;
  const sources = blog.sources ?? [];
  const problems = blog.problems ?? [];
  const used = useMemo(() => {
    const counts = new Map<string, number>();
    const evidence = blog.evidence?.length ? blog.evidence : (blog.completed_sections ?? []).flatMap((section) => section.evidence ?? []);
    for (const one of evidence) if (one.source) counts.set(one.source, (counts.get(one.source) ?? 0) + 1);
    return counts;
  }, [blog]);
  const change = <Button onClick={() => go(`/desk/${post.id}?step=request`)}>Change the sources</Button>;
  if (sources.length === 0 && problems.length === 0) {
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
        {!post.busy && change}
      </header>
      {sources.length > 0 && (
        <div className={styles.tableBox} tabIndex={0} role="group" aria-label="Sources">
          <table className={styles.table}>
            <thead>
              <tr><th scope="col">Title</th><th scope="col">Place</th><th scope="col">Kind</th><th scope="col">Date</th><th scope="col" className={styles.number}>Used</th><th><span className="visually-hidden">Copy</span></th></tr>
            </thead>
            <tbody>
              {rows.map((source) => (
                <tr key={source.id} data-used={used.has(source.id) || undefined}>
                  <th scope="row">{source.title ?? source.location}{source.author && <small>{source.author}</small>}</th>
                  <td><Place source={source} /></td>
                  <td>{WAYS[source.fetched_by ?? ""] ?? source.fetched_by ?? "–"}</td>
                  <td>{source.published ?? "–"}</td>
                  <td className={styles.number}>{used.get(source.id) ?? <span className={styles.soft}>–</span>}</td>
                  <td><Button kind="quiet" onClick={() => setReading(source)}>Read<span className="visually-hidden"> {source.title ?? source.location}</span></Button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
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

/** The place of a source; of a page a way there, with its host in sight. */
export function Place({ source }: { source: Source }) {
  const shown = placeOf(source);
  if (!/^https?:\/\//.test(source.location)) return <code>{shown}</code>;
  return <a href={source.location} target="_blank" rel="noopener noreferrer nofollow" title={source.location}>{shown}</a>;
}
