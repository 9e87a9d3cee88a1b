// The post as a file: its head, what it looks like, and a way to take it along.

import { useId, useState } from "react";
import { client } from "../../data/client";
import { threadChanged } from "../../data/queries";
import { Form, useForm, type Schema } from "../../forms";
import { Button } from "../../parts/Button";
import { useCopy } from "../../parts/CopyText";
import { Markdown } from "../../parts/Markdown";
import { Empty, Failed } from "../../parts/notices";
import { frontMatter } from "../../parts/Post";
import { newestOf, openFindings, slug, versionsOf } from "./blog";
import { htmlOf } from "./html";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

const REASON: Schema = {
  type: "object", required: ["reason"],
  properties: { reason: { type: "string", title: "Why it is exported all the same", minLength: 5, maxLength: 500, "x-widget": "textarea" } },
};

export function ExportStep({ post }: { post: Post }) {
  const { blog, waiting } = post;
  const busy = post.busy && post.revising === null;
  const [copied, copy] = useCopy();
  const [format, setFormat] = useState<"md" | "html">("md");
  const choice = useId();
  const text = blog.final_blog;
  if (busy || waiting || !text) return <Empty title="There is no finished post yet." />;
  const { entries, body } = frontMatter(text);
  const extracts = blog.mode?.generation === "extractive";
  const name = slug(blog.title ?? "post");
  const file = `${name}${extracts ? ".extracts" : ""}.${format}`;
  const made = () => (format === "md" ? text : htmlOf({
    markdown: text, title: blog.title ?? "A post", language: blog.language ?? "en", sources: blog.sources ?? [], generation: blog.mode?.generation ?? "",
  }));
  const blocking = openFindings(blog).filter((finding) => finding.level === "blocking").length;
  const excused = excuseOf(post);
  const isFree = blocking === 0 || excused !== null;
  const refused = !isFree && "blocking findings need a reason first";
  const evidence = () => JSON.stringify({
    title: blog.title, mode: blog.mode, request: blog.request, sources: blog.sources, evidence: blog.evidence, findings: blog.findings,
    sections: [...newestOf(blog).values()].map(({ id, name, change }) => ({ id, name, change: change ?? null, versions: versionsOf(blog, id).length })),
    ...(excused === null ? {} : { exported_despite_findings: excused }),
  }, null, 2);
  return (
    <section aria-labelledby="export" className={styles.export}>
      <div className={styles.part}>
        <header className={styles.partHead}>
          <div>
            <h2 id="export">{file}</h2>
            <p className={styles.soft}>{format === "md" ? "Markdown with footnotes; the head is what site generators read." : "One page with its style inside. It loads nothing and runs no code."}</p>
          </div>
        </header>
        {blocking > 0 && excused === null && <Reason post={post} blocking={blocking} />}
        {excused !== null && blocking > 0 && <p className={styles.soft}>Exported with {blocking} blocking {blocking === 1 ? "finding" : "findings"}: “{excused}”</p>}
        <fieldset className={styles.formats}>
          <legend>Format</legend>
          {(["md", "html"] as const).map((one) => (
            <label key={one}>
              <input type="radio" name={choice} checked={format === one} onChange={() => setFormat(one)} />
              {{ md: "Markdown", html: "HTML page" }[one]}
            </label>
          ))}
        </fieldset>
        <div className={styles.buttons}>
          <Button kind="primary" icon="download" refused={refused} onClick={() => save(file, made(), format === "md" ? "text/markdown" : "text/html")}>Download</Button>
          <Button icon="copy" refused={refused} onClick={() => copy(made())}><span role="status">{copied ? "Copied" : format === "md" ? "Copy the Markdown" : "Copy the HTML"}</span></Button>
          <Button icon="download" refused={refused} onClick={() => save(`${name}.evidence.json`, evidence(), "application/json")}>Evidence file</Button>
        </div>
        <dl className={styles.front}>
          {entries.map(([key, value]) => <div key={key}><dt>{key.replaceAll("_", " ")}</dt><dd>{value}</dd></div>)}
        </dl>
      </div>
      <article className={styles.preview} aria-label="Preview">
        <Markdown text={withList(body)} footnote={(label, key) => <sup key={key}>{label}</sup>} serif />
      </article>
    </section>
  );
}

/** The list behind the text, as readers see it. */
function withList(body: string): string {
  const list = [...body.matchAll(/^\[\^([^\]]+)\]:\s*(.*)$/gm)].map(([, label, text]) => `${label}. ${text}`);
  const rest = body.replace(/^\[\^[^\]]+\]:.*$/gm, "").trimEnd();
  return list.length ? `${rest}\n\n## Sources\n\n${list.join("\n")}\n` : rest;
}

/** The reason under which this very text was exported. */
function excuseOf(post: Post): string | null {
  const kept = post.thread.data?.metadata?.export_reason as { reason?: unknown; checkpoint?: unknown } | undefined;
  const here = post.state.data?.checkpoint?.checkpoint_id;
  return kept && kept.checkpoint === here && typeof kept.reason === "string" ? kept.reason : null;
}

function Reason({ post, blocking }: { post: Post; blocking: number }) {
  const form = useForm(REASON);
  const [problem, setProblem] = useState<unknown>(null);
  const [sending, setSending] = useState(false);
  const keep = async () => {
    const checked = form.check();
    if (!checked.ok) return;
    setSending(true);
    setProblem(null);
    try {
      const { reason } = checked.value as { reason: string };
      await client.threads.update(post.id, {
        metadata: { export_reason: { reason, checkpoint: post.state.data?.checkpoint?.checkpoint_id ?? "", at: new Date().toISOString() } },
      });
      threadChanged(post.id);
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <section className={styles.reason} aria-label="Blocking findings">
      <p><b>{blocking} blocking {blocking === 1 ? "finding" : "findings"}.</b> The post can be exported with a reason, which is kept with the thread and goes into the evidence file.</p>
      <Form form={form} plain label="Reason" />
      <Button busy={sending} onClick={() => void keep()}>Keep the reason</Button>
      {problem !== null && <Failed what="The reason was not kept" error={problem} />}
    </section>
  );
}

function save(name: string, text: string, type: string) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
