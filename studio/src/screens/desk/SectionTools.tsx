// What a writer does with one section: edit its text, have it written again, look at what it was.

import { diffWords } from "diff";
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { modKey } from "../../app/shortcuts";
import { draftOf, dropDraft, keepDraft } from "../../data/drafts";
import { Button } from "../../parts/Button";
import { Dialog } from "../../parts/Dialog";
import { Failed } from "../../parts/notices";
import { Ago } from "../../parts/time";
import { sectionDraft, versionsOf, wordsIn, type Revision, type Section } from "./blog";
import { revise } from "./revise";
import { forAgent, forWriter, wrongWith, type Cited } from "./text";
import type { Post } from "./useBlog";
import styles from "./SectionTools.module.css";

/** Sends a change once, and tells how it went. */
export function useRevision(post: Post, onSent: () => void) {
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const send = async (revision: Revision) => {
    if (sending) return;
    setSending(true);
    setProblem(null);
    try {
      await revise(post, revision);
      onSent();
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return { sending, problem, send };
}

interface EditorProps {
  post: Post;
  section: Section;
  cited: Cited[];
  onClose: () => void;
}

/** The section's text under the writer's hands. What is begun outlives a reload. */
export function Editor({ post, section, cited, onClose }: EditorProps) {
  const name = sectionDraft(post.id, section.id);
  const start = useMemo(() => forWriter(section.content, cited), [section.content, cited]);
  const kept = useMemo(() => draftOf(name) as { text?: string; of?: string } | undefined, [name]);
  const [text, setText] = useState(kept?.text ?? start);
  // The text that the draft was made from: somebody else may have changed it since.
  const [of, setOf] = useState(kept?.of ?? section.content);
  const [tried, setTried] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const help = useId();
  const { sending, problem, send } = useRevision(post, () => {
    dropDraft(name);
    onClose();
  });
  useEffect(() => field.current?.focus(), []);
  const change = (next: string) => {
    setText(next);
    if (next === start) dropDraft(name);
    else keepDraft(name, { text: next, of });
  };
  const wrong = wrongWith(text, cited);
  const moved = of !== section.content;
  const save = () => {
    setTried(true);
    if (wrong || moved || text === start || post.busy) return;
    void send({ type: "text", section: section.id, text: forAgent(text, cited) });
  };
  const leave = () => {
    dropDraft(name);
    onClose();
  };
  const cite = (number: number) => {
    const at = field.current?.selectionStart ?? text.length;
    const mark = `[^${number}]`;
    change(text.slice(0, at) + mark + text.slice(at));
    requestAnimationFrame(() => {
      field.current?.focus();
      field.current?.setSelectionRange(at + mark.length, at + mark.length);
    });
  };
  const listed = cited.filter((one, at) => cited.findIndex((other) => other.number === one.number) === at).sort((a, b) => a.number - b.number);
  return (
    <div className={styles.editor}>
      {moved && (
        <div className={styles.moved} role="alert">
          <p><b>This section was changed meanwhile.</b> This is what became of the text that you began from:</p>
          <Words before={forWriter(of, cited)} after={start} />
          <p className={styles.buttons}>
            <Button onClick={() => { setOf(section.content); keepDraft(name, { text, of: section.content }); }}>Go on with my text</Button>
            <Button onClick={() => { setOf(section.content); setText(start); dropDraft(name); }}>Take the newest text</Button>
          </p>
        </div>
      )}
      <textarea
        ref={field} className={styles.text} value={text} aria-label={`Text of “${section.name}”`} aria-describedby={help}
        rows={8}
        aria-invalid={tried && wrong !== null} onChange={(event) => change(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            save();
          }
        }}
      />
      {tried && wrong && <p className={styles.wrong} role="alert">{wrong}</p>}
      <p id={help} className={styles.soft}>
        Markdown. Every sentence is held against the sources again: one that stands in a source, or whose mark leads to a passage that speaks of it, has its evidence; any other is marked “no source”. The checks run again, and the text before is kept.
      </p>
      {listed.length > 0 && (
        <details className={styles.sources}>
          <summary>Sources to cite</summary>
          <ol>
            {listed.map(({ number, source }) => (
              <li key={number}>
                <Button kind="quiet" onClick={() => cite(number)} title="Puts its mark where the cursor is">
                  <code>[^{number}]</code> {source.title ?? source.location}
                </Button>
              </li>
            ))}
          </ol>
        </details>
      )}
      <p className={styles.buttons}>
        <Button
          kind="primary" busy={sending} onClick={save} title={`${modKey} Enter`}
          refused={post.busy ? "the post is being written" : moved ? "it was changed meanwhile" : text === start && "nothing is changed"}
        >
          Save as a new version
        </Button>
        <Button onClick={leave}>{text === start ? "Close" : "Leave it as it was"}</Button>
        {text !== start && <span className={styles.soft}>{wordsIn(text)} words. Kept in this browser until you save.</span>}
      </p>
      {problem !== null && <Failed what="The text was not saved" error={problem} safe="What you wrote is still here." />}
    </div>
  );
}

interface RewriteProps {
  post: Post;
  section: Section;
  /** The one sentence; none for the whole section. */
  sentence?: string;
  onClose: () => void;
}

/** Characters of an instruction. */
const INSTRUCTION_CHARS_MAX = 2_000;

export function Rewrite({ post, section, sentence, onClose }: RewriteProps) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const { sending, problem, send } = useRevision(post, onClose);
  useEffect(() => field.current?.focus(), []);
  const refused = post.busy ? "the post is being written"
    : !text.trim() ? "it does not say yet what is to be different"
    : text.length > INSTRUCTION_CHARS_MAX && `it is longer than ${INSTRUCTION_CHARS_MAX} characters`;
  const ask = () => {
    if (!refused) void send({ type: "rewrite", section: section.id, sentence, instruction: text.trim() });
  };
  return (
    <form className={styles.rewrite} aria-label={sentence ? "Rewrite this sentence" : `Rewrite “${section.name}”`} onSubmit={(event) => { event.preventDefault(); ask(); }}>
      <label>
        What is to be different
        <textarea
          ref={field} rows={3} value={text} placeholder={sentence ? "Say it more plainly" : "Shorter, and begin with the example"}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
              event.preventDefault();
              ask();
            }
          }}
        />
      </label>
      <p className={styles.buttons}>
        <Button kind="primary" busy={sending} refused={refused} onClick={ask}>Ask the model</Button>
        <Button onClick={onClose}>Cancel</Button>
      </p>
      {problem !== null && <Failed what="Nothing was rewritten" error={problem} safe="The text is as it was." />}
    </form>
  );
}

const KINDS = { edited: "Edited by hand", rewritten: "Rewritten by the model", exchanged: "An extract was exchanged", restored: "An earlier version taken back" };

export function madeBy(section: Section): string {
  const { change } = section;
  if (!change) return "As first written";
  return `${KINDS[change.kind]}${change.by ? ` for ${change.by}` : ""}`;
}

/** The versions of a section, and a way back to each. */
export function Versions({ post, section, cited, onClose }: EditorProps) {
  const all = useMemo(() => versionsOf(post.blog, section.id), [post.blog, section.id]);
  const [shown, setShown] = useState(Math.max(0, all.length - 2));
  const { sending, problem, send } = useRevision(post, onClose);
  const newest = all.at(-1) ?? section;
  const old = all[shown] ?? newest;
  const isNewest = shown === all.length - 1;
  return (
    <Dialog
      title={`Versions of “${section.name}”`} onClose={onClose} wide
      actions={
        <Button
          kind="primary" busy={sending} refused={post.busy ? "the post is being written" : isNewest && "this is the text that is there"}
          onClick={() => void send({ type: "restore", section: section.id, version: shown })}
        >
          Take this text back
        </Button>
      }
    >
      <div className={styles.versions}>
        <ol aria-label="Versions">
          {all.map((one, at) => (
            <li key={at}>
              <button type="button" aria-current={at === shown ? "true" : undefined} onClick={() => setShown(at)}>
                <b>{at + 1}. {madeBy(one)}</b>
                <span>{wordsIn(one.content)} words{one.change && <>, <Ago at={one.change.at} /></>}{at === all.length - 1 && ", there now"}</span>
                {one.change?.instruction && <q>{one.change.instruction}</q>}
              </button>
            </li>
          ))}
        </ol>
        <section aria-label="Text of the version">
          <p className={styles.soft}>{isNewest ? "The text that is there." : "What came since is underlined, what went is struck out."}</p>
          <Words before={forWriter(old.content, cited)} after={forWriter(newest.content, cited)} />
        </section>
      </div>
      {problem !== null && <Failed what="The text was not taken back" error={problem} />}
    </Dialog>
  );
}

/** Characters that are compared word by word. */
const WORDS_MAX = 60_000;

/** What became of a text, word by word. */
export function Words({ before, after }: { before: string; after: string }) {
  const parts = useMemo(
    () => (before.length + after.length > WORDS_MAX ? null : diffWords(before, after, { timeout: 300 })), [before, after],
  );
  return (
    <div className={styles.words} tabIndex={0} role="group" aria-label="Comparison">
      {parts ? parts.map((part, at) => (part.added ? <ins key={at}>{part.value}</ins> : part.removed ? <del key={at}>{part.value}</del> : <span key={at}>{part.value}</span>)) : after}
    </div>
  );
}
