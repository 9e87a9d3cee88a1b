// A finished post of the blogger: the text, and for each sentence where it comes from.

import { useMemo, useState, type ReactNode } from "react";
import { marksOf, numbered } from "../data/marks";
import { Markdown } from "./Markdown";
import evidenceStyles from "./Evidence.module.css";
import styles from "./Post.module.css";

export interface Source {
  id: string;
  location: string;
  title?: string | null;
  author?: string | null;
  published?: string | null;
  fetched_by?: string | null;
  text?: string;
}

export interface Evidence {
  sentence: string;
  relation: "quoted" | "supported" | "weak" | "none" | string;
  source: string;
  /** Range of bytes in the stored text of the source. */
  start: number;
  end: number;
}

export interface Finding {
  check: string;
  level: string;
  section?: string | null;
  message: string;
  /** That a person accepted it. */
  accepted?: { reason: string; by?: string | null; at: string } | null;
}

interface Props {
  markdown: string;
  evidence: Evidence[];
  sources: Source[];
  findings?: Finding[];
}

/** The front matter's entries and the text behind it. */
export function frontMatter(text: string): { entries: [string, string][]; body: string } {
  const match = /^---\n([\s\S]*?)\n---\n/.exec(text);
  if (!match) return { entries: [], body: text };
  const entries = (match[1] ?? "").split("\n").flatMap((line): [string, string][] => {
    const at = line.indexOf(":");
    if (at < 0) return [];
    return [[line.slice(0, at).trim(), line.slice(at + 1).trim().replace(/^"|"$/g, "")]];
  });
  return { entries, body: text.slice(match[0].length) };
}

export function Post({ markdown, evidence, sources, findings }: Props) {
  const [shown, setShown] = useState<number | null>(null);
  const body = useMemo(() => numbered(frontMatter(markdown).body), [markdown]);
  const byId = useMemo(() => new Map(sources.map((source) => [source.id, source])), [sources]);
  const used = useMemo(() => [...new Set(evidence.map((it) => it.source).filter(Boolean))], [evidence]);
  // A statement without a source has no mark in the text.
  const marked = useMemo(() => marksOf(evidence), [evidence]);
  const loose = evidence.filter((it) => !it.source).length;
  const mark = (label: string, key: string): ReactNode => {
    // `3.1`: the mark's own number, and the one it shows.
    const [place, number] = label.split(".").map(Number);
    const at = (place ?? 1) - 1;
    const its = marked[at];
    if (!its) return <sup key={key}>{number}</sup>;
    return (
      <button
        key={key} type="button" className={evidenceStyles.mark} aria-pressed={shown === at}
        data-relation={its.relation} onClick={() => setShown(shown === at ? null : at)}
        aria-label={`Evidence ${at + 1}, ${its.relation}, source ${number}`}
      >
        {number}
      </button>
    );
  };
  const chosen = shown === null ? null : marked[shown];
  const source = chosen && byId.get(chosen.source);
  return (
    <div className={styles.post}>
      <article className={styles.text}>
        <Markdown text={body} footnote={mark} serif />
      </article>
      <aside className={styles.side} aria-label="Evidence">
        <div aria-live="polite">
          {chosen ? (
            <section className={styles.card}>
              <h3>Evidence {(shown ?? 0) + 1} of {marked.length}</h3>
              <p className={evidenceStyles.relation} data-relation={chosen.relation}>
                {chosen.relation === "quoted" ? "✓ Quoted word for word" : chosen.relation}
              </p>
              <blockquote className={evidenceStyles.quote}>{chosen.sentence}</blockquote>
              <dl className={styles.facts}>
                <dt>Source</dt><dd>{source?.title ?? source?.location ?? chosen.source}</dd>
                {source && <><dt>Where</dt><dd><code>{source.location}</code></dd></>}
                <dt>Bytes</dt><dd>{chosen.passages.map((it) => `${it.start} to ${it.end}`).join(", ")} of the stored copy</dd>
                {source?.author && <><dt>By</dt><dd>{source.author}</dd></>}
                {source?.published && <><dt>Date</dt><dd>{source.published}</dd></>}
              </dl>
            </section>
          ) : (
            <section className={styles.card}>
              <h3>{loose === 0 ? "Every sentence has a source" : `${loose} ${loose === 1 ? "statement has" : "statements have"} no source`}</h3>
              <p className={styles.soft}>
                {marked.length} {marked.length === 1 ? "sentence" : "sentences"} from {used.length}
                {used.length === 1 ? " source" : " sources"}. Press a mark in the text to see where its sentence comes from.
              </p>
            </section>
          )}
        </div>
        <section>
          <h3>Sources</h3>
          <ol className={styles.sources}>
            {used.map((id) => {
              const it = byId.get(id);
              return (
                <li key={id}>
                  <span>{it?.title ?? id}</span>
                  <code>{it?.location}</code>
                </li>
              );
            })}
          </ol>
        </section>
        {findings && (
          <section>
            <h3>Checks</h3>
            {findings.length === 0 ? <p className={styles.soft}>Nothing found.</p> : (
              <ul className={styles.findings}>
                {findings.map((finding, place) => (
                  <li key={place} data-level={finding.level}>
                    <b>{finding.level}</b> <code>{finding.check}</code> {finding.message}
                  </li>
                ))}
              </ul>
            )}
          </section>
        )}
      </aside>
    </div>
  );
}
