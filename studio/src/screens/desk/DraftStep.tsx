// The text: its sections, the sentences with their marks, and what each rests on. Each part can be
// edited, written again, and taken back to what it was.

import { useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { useSearchParams } from "wouter";
import { draftOf } from "../../data/drafts";
import { marksOf, type Mark } from "../../data/marks";
import { Button } from "../../parts/Button";
import evidenceStyles from "../../parts/Evidence.module.css";
import { Markdown } from "../../parts/Markdown";
import { Empty, Failed } from "../../parts/notices";
import { frontMatter, type Evidence, type Source } from "../../parts/Post";
import { StateMark } from "../../parts/StateMark";
import { Ago } from "../../parts/time";
import { Editor, Rewrite, Versions, madeBy, useRevision } from "./SectionTools";
import { StoredCopy, useText } from "./StoredCopy";
import { Place } from "./SourcesStep";
import { newestOf, sectionDraft, staleOf, versionsOf, wordsIn, type Section } from "./blog";
import { citedOf, partsOf, type Cited, type Part } from "./text";
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
  // The draft says which statements have no source, also those that somebody has accepted.
  const text = blog.draft || (blog.final_blog ? frontMatter(blog.final_blog).body : undefined);
  // A change of one section leaves the others in sight.
  if ((busy && post.revising === null) || !text) return <Writing post={post} />;
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
  const [query] = useSearchParams();
  const evidence = useMemo(() => blog.evidence ?? [], [blog.evidence]);
  const marked = useMemo(() => marksOf(evidence), [evidence]);
  const sources = useMemo(() => new Map((blog.sources ?? []).map((source) => [source.id, source])), [blog.sources]);
  const { head, parts } = useMemo(() => partsOf(text, blog), [text, blog]);
  const cited = useMemo(() => citedOf(text, marked, blog.sources ?? []), [text, marked, blog.sources]);
  const stale = useMemo(() => staleOf(blog), [blog]);
  const [chosen, setChosen] = useState<number | null>(null);
  const [reading, setReading] = useState<{ source: Source; at?: Evidence } | null>(null);
  const article = useRef<HTMLElement>(null);
  const loose = evidence.filter((one) => one.relation === "unsupported");
  // A text that was changed has other marks.
  useEffect(() => setChosen(null), [text]);
  const mark = useCallback((label: string, key: string): ReactNode => {
    const [place = 1, number] = label.split(".").map(Number);
    const at = place - 1;
    const its = marked[at];
    if (!its) return <sup key={key}>{number}</sup>;
    const words = RELATIONS[its.relation]?.word ?? its.relation;
    return (
      <button
        key={key} type="button" className={evidenceStyles.mark} aria-pressed={chosen === at} data-relation={its.relation}
        onClick={() => setChosen(at)} onFocus={() => setChosen(at)} onMouseEnter={() => setChosen(at)}
        aria-label={`Evidence ${at + 1}, ${words}, source ${number}`}
      >
        {number}
      </button>
    );
  }, [marked, chosen]);
  const toHeading = (at: number) => {
    const heading = article.current?.querySelectorAll<HTMLElement>('[data-level="2"]')[at];
    if (!heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    heading.scrollIntoView({ block: "start", behavior: window.matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  };
  const wanted = query.get("section");
  useEffect(() => {
    const at = parts.findIndex((part) => part.section?.id === wanted);
    if (wanted && at >= 0) toHeading(at);
    // For what the address asks, not for each new text.
  }, [wanted]);
  const one = chosen === null ? null : marked[chosen] ?? null;
  const its = chosen === null ? undefined : parts.find((part) => chosen >= part.first && chosen < part.first + part.marks);
  const sectionOf = (sentence: string) => [...newestOf(blog).values()].find((section) => section.evidence?.some((it) => it.sentence === sentence && !it.source));
  return (
    <div className={styles.draft}>
      <nav aria-label="Sections" className={styles.contents}>
        <h2>Sections</h2>
        <ol>
          {parts.map((part, at) => (
            <li key={at}>
              <button type="button" onClick={() => toHeading(at)}>
                <span>{part.name}</span>
                <small>{wordsIn(part.text.slice(part.text.indexOf("\n")))} words, {part.marks} {part.marks === 1 ? "mark" : "marks"}</small>
                {part.section && stale.has(part.section.id) && <small className={styles.stale}>↻ needs update</small>}
              </button>
            </li>
          ))}
        </ol>
        <p className={styles.soft}>{wordsIn(text).toLocaleString("en")} words in all</p>
      </nav>
      <article ref={article} className={styles.text}>
        <Markdown text={head} footnote={mark} serif />
        {parts.map((part, at) => (
          <Shown key={part.section?.id ?? at} post={post} part={part} cited={cited} stale={part.section !== null && stale.has(part.section.id)} mark={mark} />
        ))}
      </article>
      <aside className={styles.evidence} aria-label="Evidence" data-chosen={one !== null || undefined}>
        {one ? (
          <Passage key={chosen} post={post} mark={one} section={its?.section ?? null} place={chosen ?? 0} count={marked.length} source={sources.get(one.source)} onRead={setReading} />
        ) : (
          <section className={styles.panel}>
            <h2>Evidence</h2>
            <p className={styles.soft}>{marked.length} {marked.length === 1 ? "mark leads" : "marks lead"} to a source. Go to a mark in the text to see the passage that its sentence rests on.</p>
          </section>
        )}
        {loose.length > 0 && (
          <section className={styles.panel}>
            <h2>Without a source</h2>
            <ul className={styles.loose}>{loose.map((its, at) => <Loose key={at} post={post} sentence={its.sentence} section={sectionOf(its.sentence)} />)}</ul>
          </section>
        )}
      </aside>
      {reading && <StoredCopy post={post} source={reading.source} at={reading.at} onClose={() => setReading(null)} />}
    </div>
  );
}

interface ShownProps {
  post: Post;
  part: Part;
  cited: Cited[];
  stale: boolean;
  mark: (label: string, key: string) => ReactNode;
}

/** One part of the text, with what can be done to it. */
function Shown({ post, part, cited, stale, mark }: ShownProps) {
  const { section } = part;
  const [doing, setDoing] = useState<"edit" | "rewrite" | "versions" | null>(section && draftOf(sectionDraft(post.id, section.id)) !== undefined ? "edit" : null);
  const box = useRef<HTMLElement>(null);
  const done = useRef(false);
  useEffect(() => {
    if (doing !== null || !done.current) return;
    done.current = false;
    box.current?.querySelector<HTMLElement>("[data-tools] button")?.focus();
  }, [doing]);
  const { problem, send } = useRevision(post, () => undefined);
  if (!section) return <Markdown text={part.text} footnote={mark} serif />;
  const extracts = post.blog.mode?.generation === "extractive";
  const versions = versionsOf(post.blog, section.id).length;
  const changing = post.revising === section.id;
  const refusal = post.busy ? undefined : post.blog.refusals?.find((one) => one.section === section.id);
  const refused = post.busy && "the post is being written";
  const close = () => {
    done.current = true;
    setDoing(null);
  };
  const heading = part.text.slice(0, part.text.indexOf("\n"));
  return (
    <section ref={box} className={styles.section} aria-label={part.name} data-changing={changing || undefined}>
      <Markdown text={doing === "edit" ? heading : part.text} footnote={mark} serif />
      {changing && <p className={styles.running} role="status"><StateMark state="running" word="This section is being changed" /></p>}
      {refusal && <p className={styles.refusal} role="status"><b>Nothing was changed:</b> {refusal.reason}.</p>}
      {stale && (
        <p className={styles.needs}>
          <span aria-hidden="true">↻</span> <b>Needs update:</b> it was written from sections that were changed since.{" "}
          <Button kind="quiet" refused={refused} onClick={() => void send({ type: "text", section: section.id, text: section.content })}>It still fits</Button>
        </p>
      )}
      {problem !== null && <Failed what="Nothing was changed" error={problem} />}
      {doing === "edit" ? <Editor post={post} section={section} cited={cited} onClose={close} />
        : doing === "rewrite" ? <Rewrite post={post} section={section} onClose={close} />
        : (
          <p className={styles.tools} data-tools>
            <Button kind="quiet" refused={refused} onClick={() => setDoing("edit")}>Edit<span className="visually-hidden"> {part.name}</span></Button>
            <Button
              kind="quiet" onClick={() => setDoing("rewrite")}
              refused={refused || (extracts && "extracts are copied and cannot be reworded; a quotation is exchanged at its mark")}
            >
              Rewrite<span className="visually-hidden"> {part.name}</span>
            </Button>
            {versions > 1 && <Button kind="quiet" onClick={() => setDoing("versions")}>{versions} versions<span className="visually-hidden"> of {part.name}</span></Button>}
            {section.change && <span className={styles.soft}>{madeBy(section)} <Ago at={section.change.at} /></span>}
          </p>
        )}
      {doing === "versions" && <Versions post={post} section={section} cited={cited} onClose={close} />}
    </section>
  );
}

/** A statement that nothing supports, and what to do about it. */
function Loose({ post, sentence, section }: { post: Post; sentence: string; section: Section | undefined }) {
  const [asking, setAsking] = useState(false);
  const written = post.blog.mode?.generation === "model";
  return (
    <li>
      <p>{sentence}</p>
      {asking && section ? <Rewrite post={post} section={section} sentence={sentence} onClose={() => setAsking(false)} />
        : written && section && <Button kind="quiet" refused={post.busy && "the post is being written"} onClick={() => setAsking(true)}>Rewrite this sentence</Button>}
    </li>
  );
}

/** Bytes around a passage that are shown with it. */
const AROUND = 220;

interface PassageProps {
  post: Post;
  mark: Mark;
  section: Section | null;
  place: number;
  count: number;
  source: Source | undefined;
  onRead: (reading: { source: Source; at?: Evidence }) => void;
}

function Passage({ post, mark, section, place, count, source, onRead }: PassageProps) {
  const { copy, error } = useText(post.id, source);
  const [asking, setAsking] = useState(false);
  const { sending, problem, send } = useRevision(post, () => undefined);
  const relation = RELATIONS[mark.relation] ?? { glyph: "·", word: mark.relation };
  const extracts = post.blog.mode?.generation === "extractive";
  const refused = post.busy && "the post is being written";
  return (
    <section className={styles.panel} aria-live="polite">
      <h2>Evidence {place + 1} of {count}</h2>
      <p className={evidenceStyles.relation} data-relation={mark.relation}><span aria-hidden="true">{relation.glyph}</span> {relation.word}</p>
      {mark.passages.map((evidence, at) => {
        const before = copy && lead(copy.slice(copy.begin(evidence.start - AROUND), evidence.start), evidence.start > AROUND);
        const after = copy && rest(copy.slice(evidence.end, copy.begin(evidence.end + AROUND)), evidence.end + AROUND < copy.length);
        return (
          <blockquote key={at} className={evidenceStyles.quote}>
            {copy ? <><span className={styles.around}>{before}</span><mark>{copy.slice(evidence.start, evidence.end)}</mark><span className={styles.around}>{after}</span></>
              : evidence.sentence}
          </blockquote>
        );
      })}
      {error && <p className={styles.soft}>The stored copy could not be read: {error.message}</p>}
      <dl className={styles.source}>
        <dt>Source</dt><dd>{source?.title ?? source?.location ?? mark.source}</dd>
        {source && <><dt>Place</dt><dd><Place source={source} /></dd></>}
        {source?.author && <><dt>By</dt><dd>{source.author}</dd></>}
        {source?.published && <><dt>Date</dt><dd>{source.published}</dd></>}
      </dl>
      <div className={styles.buttons}>
        {source?.text && !error && <Button onClick={() => onRead({ source, at: mark.passages[0] })}>Read the stored copy</Button>}
        {section && !extracts && !asking && <Button refused={refused} onClick={() => setAsking(true)}>Rewrite this sentence</Button>}
        {section && extracts && (
          <Button
            busy={sending} onClick={() => void send({ type: "exchange", section: section.id, sentence: mark.sentence })}
            refused={refused || (!section.research && "this section repeats the others: exchange it where it stands")}
            title="Puts another quotation of the sources in the place of the one that holds this sentence"
          >
            Another extract
          </Button>
        )}
      </div>
      {asking && section && <Rewrite post={post} section={section} sentence={mark.sentence} onClose={() => setAsking(false)} />}
      {problem !== null && <Failed what="Nothing was exchanged" error={problem} safe="The text is as it was." />}
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
