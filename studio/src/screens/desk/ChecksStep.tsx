// What the checks found, the gravest first.

import { Link } from "wouter";
import { Empty } from "../../parts/notices";
import type { Finding } from "../../parts/Post";
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

export function ChecksStep({ post }: { post: Post }) {
  const { blog, busy, waiting } = post;
  if (busy || waiting || !blog.final_blog) return <Empty title={busy ? "The checks run when the draft is there." : "Nothing was checked yet."} />;
  const findings: (Finding & { section?: string })[] = blog.findings ?? [];
  const found = new Set(findings.map((one) => one.check));
  const passed = Object.entries(CHECKS).filter(([id]) => !found.has(id));
  return (
    <section aria-label="Checks" className={styles.part}>
      {findings.length === 0 && <p className={styles.good}><span aria-hidden="true">✓</span> Nothing was found.</p>}
      {LEVELS.map((level) => {
        const own = findings.filter((one) => one.level === level.id);
        if (own.length === 0) return null;
        return (
          <section key={level.id} aria-labelledby={level.id} data-level={level.id} className={styles.level}>
            <h2 id={level.id}><span aria-hidden="true">{level.glyph}</span> {level.title} <span className={styles.soft}>{own.length}</span></h2>
            {level.note && <p className={styles.soft}>{level.note}</p>}
            <ul>
              {own.map((finding, at) => {
                const section = blog.sections?.find((one) => one.id === finding.section);
                return (
                  <li key={at} className={styles.finding}>
                    <p>{finding.message.charAt(0).toUpperCase()}{finding.message.slice(1)}</p>
                    <p className={styles.soft}>
                      <code>{finding.check}</code> {CHECKS[finding.check] ?? ""}
                      {section && <> in “{section.name}”</>} <Link href={`/desk/${post.id}?step=${finding.check === "K17" || finding.check === "K09" ? "sources" : "draft"}`}>Go to {finding.check === "K17" || finding.check === "K09" ? "the sources" : "the draft"}</Link>
                    </p>
                  </li>
                );
              })}
            </ul>
          </section>
        );
      })}
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
