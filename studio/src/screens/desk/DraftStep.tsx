// The text: its sections, the sentences with their marks, and what each rests on.

import { useMemo, useRef, useState, type ReactNode } from "react";
import { Button } from "../../parts/Button";
import { Markdown } from "../../parts/Markdown";
import { Empty } from "../../parts/notices";
import { frontMatter, numbered, type Evidence, type Source } from "../../parts/Post";
import { StoredCopy, useText } from "./StoredCopy";
import { Place } from "./SourcesStep";
import { wordsIn } from "./blog";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

/** How a sentence stands to its source, in a glyph and words. */
const RELATIONS: Record<string, { glyph: string; word: string }> = {
  quoted: { glyph: "✓", word: "Quoted word for word" },
  supported: { glyph: "✓", word: "Supported by this passage" },
  weak: { glyph: "~", word: "Weakly supported" },
  unsupported: { glyph: "✕", word: "No source says so" },
};

export function DraftStep({ post }: { post: Post }) {
  const { blog, busy } = post;
  const text = blog.final_blog ? frontMatter(blog.final_blog).body : blog.draft;
  if (busy || !text) return <Writing post={post} />;
  return <Text post={post} text={text} />;
}

/** Sections as they are finished, in the order of the outline. */
function Writing({ post }: { post: Post }) {
  const { blog, busy, live } = post;
  const sections = blog.sections ?? [];
  const done = new Map((busy && !post.reached.has("validate") ? [] : blog.completed_sections ?? []).map((section) => [section.id, section]));
  if (sections.length === 0) return <Empty title={busy ? "The sources are being read." : "Nothing is written yet."} />;
  const coming = live.cards.filter((card) => card.kind === "message" && !card.done && card.text);
  return (
    <section aria-label="Draft in work" className={styles.part}>
      <ol className={styles.cards}>
        {sections.map((section, at) => {
          const written = done.get(section.id);
          return (
            <li key={section.id} className={styles.card}>
              <span className={styles.place} aria-hidden="true">{at + 1}</span>
              <div>
                <h3>{section.name}</h3>
                {written && <Markdown text={written.content} footnote={() => null} />}
              </div>
              <p className={styles.facts}><span>{written ? `${wordsIn(written.content)} words` : busy ? "in work" : "not written"}</span></p>
            </li>
          );
        })}
      </ol>
      {coming.map((card) => card.kind === "message" && (
        <div key={card.id} className={styles.coming}><Markdown text={card.text} footnote={() => null} /></div>
      ))}
    </section>
  );
}

function Text({ post, text }: { post: Post; text: string }) {
  const { blog } = post;
  const evidence = useMemo(() => blog.evidence ?? [], [blog.evidence]);
  // Sentences without a source have no mark.
  const marked = useMemo(() => evidence.filter((one) => one.source), [evidence]);
  const sources = useMemo(() => new Map((blog.sources ?? []).map((source) => [source.id, source])), [blog.sources]);
  const body = useMemo(() => numbered(text), [text]);
  const [chosen, setChosen] = useState<number | null>(null);
  const [reading, setReading] = useState<{ source: Source; at?: Evidence } | null>(null);
  const article = useRef<HTMLElement>(null);
  const loose = evidence.filter((one) => one.relation === "unsupported");

  const mark = (label: string, key: string): ReactNode => {
    const [place, number] = label.split(".").map(Number);
    const at = (place ?? 1) - 1;
    const its = marked[at];
    if (!its) return <sup key={key}>{number}</sup>;
    return (
      <button
        key={key} type="button" className={styles.mark} aria-pressed={chosen === at} data-mark={at}
        onClick={() => setChosen(at)} onFocus={() => setChosen(at)} onPointerEnter={() => setChosen(at)}
        aria-label={`Evidence ${at + 1}, ${RELATIONS[its.relation]?.word ?? its.relation}, source ${number}`}
      >
        {number}
      </button>
    );
  };
  const toSection = (at: number) => {
    const heading = article.current?.querySelectorAll<HTMLElement>('[data-level="2"]')[at];
    if (!heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    heading.scrollIntoView({ block: "start", behavior: window.matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  };
  const sections = sectionsOf(text);
  const one = chosen === null ? null : marked[chosen] ?? null;
  return (
    <div className={styles.draft}>
      <nav aria-label="Sections" className={styles.contents}>
        <h2>Sections</h2>
        <ol>
          {sections.map((section, at) => (
            <li key={at}>
              <button type="button" onClick={() => toSection(at)}>
                <span>{section.name}</span>
                <small>{section.words} words, {section.marks} {section.marks === 1 ? "mark" : "marks"}</small>
              </button>
            </li>
          ))}
        </ol>
        <p className={styles.soft}>{wordsIn(text).toLocaleString("en")} words in all</p>
      </nav>
      <article ref={article} className={styles.text}>
        <Markdown text={body} footnote={mark} serif />
      </article>
      <aside className={styles.evidence} aria-label="Evidence">
        {one ? (
          <Passage key={chosen} post={post} evidence={one} place={chosen ?? 0} count={marked.length} source={sources.get(one.source ?? "")} onRead={setReading} />
        ) : (
          <section className={styles.panel}>
            <h2>Evidence</h2>
            <p className={styles.soft}>{marked.length} {marked.length === 1 ? "sentence leads" : "sentences lead"} to a source. Go to a mark in the text to see the passage that its sentence rests on.</p>
          </section>
        )}
        {loose.length > 0 && (
          <section className={styles.panel}>
            <h2>Without a source</h2>
            <ul className={styles.loose}>{loose.map((its, at) => <li key={at}>{its.sentence}</li>)}</ul>
          </section>
        )}
      </aside>
      {reading && <StoredCopy post={post} source={reading.source} at={reading.at} onClose={() => setReading(null)} />}
    </div>
  );
}

/** Bytes around a passage that are shown with it. */
const AROUND = 220;

interface PassageProps {
  post: Post;
  evidence: Evidence;
  place: number;
  count: number;
  source: Source | undefined;
  onRead: (reading: { source: Source; at: Evidence }) => void;
}

function Passage({ post, evidence, place, count, source, onRead }: PassageProps) {
  const { copy, error } = useText(post.id, source);
  const relation = RELATIONS[evidence.relation] ?? { glyph: "·", word: evidence.relation };
  const before = copy && lead(copy.slice(copy.begin(evidence.start - AROUND), evidence.start), evidence.start > AROUND);
  const after = copy && rest(copy.slice(evidence.end, copy.begin(evidence.end + AROUND)), evidence.end + AROUND < copy.length);
  return (
    <section className={styles.panel} aria-live="polite">
      <h2>Evidence {place + 1} of {count}</h2>
      <p className={styles.relation} data-relation={evidence.relation}><span aria-hidden="true">{relation.glyph}</span> {relation.word}</p>
      <blockquote className={styles.quote}>
        {copy ? <><span className={styles.around}>{before}</span><mark>{copy.slice(evidence.start, evidence.end)}</mark><span className={styles.around}>{after}</span></>
          : evidence.sentence}
      </blockquote>
      {error && <p className={styles.soft}>The stored copy could not be read: {error.message}</p>}
      <dl className={styles.source}>
        <dt>Source</dt><dd>{source?.title ?? source?.location ?? evidence.source}</dd>
        {source && <><dt>Place</dt><dd><Place source={source} /></dd></>}
        {source?.author && <><dt>By</dt><dd>{source.author}</dd></>}
        {source?.published && <><dt>Date</dt><dd>{source.published}</dd></>}
      </dl>
      {source?.text && !error && <Button onClick={() => onRead({ source, at: evidence })}>Read the stored copy</Button>}
    </section>
  );
}

/** What stands before a passage: of its own paragraph, from a word on. */
function lead(text: string, more: boolean): string {
  const own = text.split("\n\n").at(-1) ?? "";
  return more && own === text ? `… ${own.replace(/^\S*\s/, "")}` : own;
}

/** What stands behind a passage: of its own paragraph, up to a word. */
function rest(text: string, more: boolean): string {
  const own = text.split("\n\n")[0] ?? "";
  return more && own === text ? `${own.replace(/\s\S*$/, "")} …` : own;
}

/** Sections of the text by their headings. */
function sectionsOf(text: string): { name: string; words: number; marks: number }[] {
  const own = text.replace(/^\[\^[^\]]+\]:.*$/gm, "").replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, "");
  return own.split(/^## +/m).slice(1).map((part) => {
    const [name = "", ...lines] = part.split("\n");
    const rest = lines.join("\n");
    return { name: name.trim().replaceAll(/[*_`]/g, ""), words: wordsIn(rest), marks: (rest.match(/\[\^[^\]]+\]/g) ?? []).length };
  });
}
