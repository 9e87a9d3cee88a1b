// What the checks found, the gravest first, and what a person says to it.

import { useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { Button } from "../../parts/Button";
import { Empty, Failed } from "../../parts/notices";
import type { Finding } from "../../parts/Post";
import { Ago } from "../../parts/time";
import { newestOf, openFindings, type Blog } from "./blog";
import { accept } from "./revise";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

/** What each check looks at. */
const CHECKS: Record<string, string> = {
  K01: "Every fact has evidence",
  K02: "Quoted words stand in their source",
  K03: "Numbers stand in their evidence",
  K09: "Not too much is copied from one source",
  K10: "No section is empty",
  K17: "The facts come from more than one source",
};
const LEVELS = [
  { id: "blocking", title: "Blocking", glyph: "✕", note: "The post should not be published like this." },
  { id: "warning", title: "Warnings", glyph: "!", note: "Worth a look." },
  { id: "note", title: "Notes", glyph: "·", note: "" },
];
/** Characters of a reason. */
const REASON_CHARS = { min: 5, max: 500 };

export function ChecksStep({ post }: { post: Post }) {
  const { blog, waiting } = post;
  const busy = post.busy && post.revising === null;
  if (busy || waiting || !blog.final_blog) return <Empty title={busy ? "The checks run when the draft is there." : "Nothing was checked yet."} />;
  const findings = blog.findings ?? [];
  const open = openFindings(blog);
  const accepted = findings.filter((one) => one.accepted);
  const found = new Set(findings.map((one) => one.check));
  const passed = Object.entries(CHECKS).filter(([id]) => !found.has(id));
  return (
    <section aria-label="Checks" className={styles.part}>
      {open.length === 0 && <p className={styles.good}><span aria-hidden="true">✓</span> {accepted.length ? "Nothing is open." : "Nothing was found."}</p>}
      {LEVELS.map((level) => {
        const own = open.filter((one) => one.level === level.id);
        if (own.length === 0) return null;
        return (
          <section key={level.id} aria-labelledby={level.id} data-level={level.id} className={styles.level}>
            <h2 id={level.id}><span aria-hidden="true">{level.glyph}</span> {level.title} <span className={styles.soft}>{own.length}</span></h2>
            {level.note && <p className={styles.soft}>{level.note}</p>}
            <ul>{own.map((finding) => <Found key={`${finding.check}${finding.message}`} post={post} finding={finding} />)}</ul>
          </section>
        );
      })}
      {accepted.length > 0 && (
        <section aria-labelledby="accepted" className={styles.level}>
          <h2 id="accepted"><span aria-hidden="true">✓</span> Accepted <span className={styles.soft}>{accepted.length}</span></h2>
          <ul>{accepted.map((finding) => <Found key={`${finding.check}${finding.message}`} post={post} finding={finding} />)}</ul>
        </section>
      )}
      {passed.length > 0 && (
        <section aria-labelledby="passed">
          <h2 id="passed">Nothing to say</h2>
          <ul className={styles.passed}>
            {passed.map(([id, title]) => <li key={id}><span aria-hidden="true">✓</span> <code>{id}</code> {title}</li>)}
          </ul>
        </section>
      )}
    </section>
  );
}

/** Where a finding is best looked at. */
function placeOf(blog: Blog, finding: Finding): { step: string; section?: string; word: string } {
  if (finding.check === "K17" || finding.check === "K09") return { step: "sources", word: "the sources" };
  const its = finding.section ?? [...newestOf(blog).values()].find((section) => section.evidence?.some((it) => finding.message.includes(it.sentence)))?.id;
  const section = blog.sections?.find((one) => one.id === its);
  return section ? { step: "draft", section: section.id, word: `“${section.name}”` } : { step: "draft", word: "the draft" };
}

function Found({ post, finding }: { post: Post; finding: Finding }) {
  const [asking, setAsking] = useState(false);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const place = placeOf(post.blog, finding);
  const refused = post.busy && "the post is being changed";
  const say = async (reason: string | null) => {
    setSending(true);
    setProblem(null);
    try {
      await accept(post, finding, reason);
      setAsking(false);
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <li className={styles.finding}>
      <p>{finding.message.charAt(0).toUpperCase()}{finding.message.slice(1)}</p>
      {finding.accepted && (
        <p className={styles.accepted}>
          <q>{finding.accepted.reason}</q>{" "}
          <span className={styles.soft}>accepted{finding.accepted.by && ` by ${finding.accepted.by}`} <Ago at={finding.accepted.at} /></span>
        </p>
      )}
      <p className={styles.soft}><code>{finding.check}</code> {CHECKS[finding.check] ?? ""}</p>
      {asking ? <Reason sending={sending} onSay={(reason) => void say(reason)} onCancel={() => setAsking(false)} /> : (
        <p className={styles.buttons}>
          <Link href={`/desk/${post.id}?step=${place.step}${place.section ? `&section=${place.section}` : ""}`}>Go to {place.word}</Link>
          {finding.accepted
            ? <Button kind="quiet" busy={sending} refused={refused} onClick={() => void say(null)}>Take it back</Button>
            : <Button kind="quiet" refused={refused} onClick={() => setAsking(true)}>Accept with a reason</Button>}
        </p>
      )}
      {problem !== null && <Failed what="Your word was not taken" error={problem} />}
    </li>
  );
}

function Reason({ sending, onSay, onCancel }: { sending: boolean; onSay: (reason: string) => void; onCancel: () => void }) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.focus(), []);
  const length = text.trim().length;
  const refused = length < REASON_CHARS.min ? `the reason needs ${REASON_CHARS.min} characters` : length > REASON_CHARS.max && `the reason has more than ${REASON_CHARS.max} characters`;
  return (
    <form className={styles.say} aria-label="Reason" onSubmit={(event) => { event.preventDefault(); if (!refused) onSay(text.trim()); }}>
      <label>
        Why it may stay
        <textarea
          ref={field} rows={2} value={text} onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !refused) {
              event.preventDefault();
              onSay(text.trim());
            }
          }}
        />
      </label>
      <p className={styles.soft}>It is kept with your name and the time, and goes into the evidence file.</p>
      <p className={styles.buttons}>
        <Button kind="primary" busy={sending} refused={refused} onClick={() => onSay(text.trim())}>Accept</Button>
        <Button onClick={onCancel}>Cancel</Button>
      </p>
    </form>
  );
}
