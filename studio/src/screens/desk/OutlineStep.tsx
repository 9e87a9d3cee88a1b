// The outline: approved or changed before anything is written, or changed afterwards into a branch.

import type { ThreadState } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useLocation } from "wouter";
import { client } from "../../data/client";
import { draftOf, dropDraft, keepDraft } from "../../data/drafts";
import { threadChanged } from "../../data/queries";
import { startRun } from "../../data/runs";
import { Form, useForm, type Schema } from "../../forms";
import { Button } from "../../parts/Button";
import { Empty, Failed } from "../../parts/notices";
import { GRAPH, OUTLINE_NODE, isBehindOutline, newestOf, outlineDraft, wordsIn, type Section } from "./blog";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

/** What an outline may be: the bounds that the agent's own outlines have. */
const SCHEMA: Schema = {
  type: "object",
  required: ["title", "sections"],
  properties: {
    title: { type: "string", title: "Title", minLength: 1, maxLength: 120, "x-widget": "line" },
    sections: {
      type: "array", title: "Sections", minItems: 1, maxItems: 12,
      items: {
        type: "object", title: "Section", required: ["name", "research"],
        properties: {
          name: { type: "string", title: "Heading", minLength: 1, maxLength: 120, pattern: "^[^\\n]*\\S[^\\n]*$" },
          description: { type: "string", title: "What it covers", maxLength: 600 },
          research: { type: "boolean", title: "Written from sources", default: true, description: "Others, such as an introduction, are written after these." },
        },
      },
    },
  },
};

/** Checkpoints that are looked through for the one behind the outline. */
const HISTORY_READ = 60;

interface Outline {
  title: string;
  sections: Pick<Section, "name" | "description" | "research">[];
}

const outlineOf = (title: string | undefined, sections: Section[]): Outline => ({
  title: title ?? "",
  sections: sections.map(({ name, description, research }) => ({ name, description, research })),
});

export function OutlineStep({ post }: { post: Post }) {
  const { blog, waiting, busy } = post;
  const name = outlineDraft(post.id, post.state.data?.checkpoint?.checkpoint_id ?? "");
  const [editing, setEditing] = useState(() => draftOf(name) !== undefined);
  const sections = blog.sections ?? [];
  if (sections.length === 0 || (busy && !post.reached.has(OUTLINE_NODE) && !blog.draft)) {
    return <Empty title={busy ? "The outline is being made." : "There is no outline yet."} />;
  }
  if (waiting || editing) {
    return <Edited key={post.state.data?.checkpoint?.checkpoint_id ?? ""} post={post} waiting={waiting} onLeave={() => setEditing(false)} />;
  }
  const written = newestOf(blog);
  return (
    <section aria-labelledby="outline" className={styles.part}>
      <header className={styles.partHead}>
        <div>
          <h2 id="outline">{blog.title}</h2>
          <p className={styles.soft}>{sections.length} sections, in this order whatever was finished first.</p>
        </div>
        {!busy && <Button onClick={() => setEditing(true)}>Change the outline</Button>}
      </header>
      <ol className={styles.cards}>
        {sections.map((section, at) => {
          const done = written.get(section.id);
          return (
            <li key={section.id} className={styles.card}>
              <span className={styles.place} aria-hidden="true">{at + 1}</span>
              <div>
                <h3>{section.name}</h3>
                {section.description && <p className={styles.soft}>{section.description}</p>}
              </div>
              <p className={styles.facts}>
                <span>{section.research ? "from sources" : "after the others"}</span>
                {done ? <span>{wordsIn(done.content)} words</span> : <span>{busy ? "in work" : "not written"}</span>}
                {done && <span>{done.evidence?.length ?? 0} marks</span>}
              </p>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

interface EditedProps {
  post: Post;
  /** The run stands at the outline; else it is changed afterwards. */
  waiting: boolean;
  onLeave: () => void;
}

function Edited({ post, waiting, onLeave }: EditedProps) {
  const [, go] = useLocation();
  const { blog } = post;
  const start = useMemo(() => outlineOf(blog.title, blog.sections ?? []), [blog.title, blog.sections]);
  const name = outlineDraft(post.id, post.state.data?.checkpoint?.checkpoint_id ?? "");
  const kept = useMemo(() => draftOf(name) as Outline | undefined, [name]);
  const form = useForm(SCHEMA, kept ?? start);
  const changed = form.changed || kept !== undefined;
  useEffect(() => {
    if (form.changed) keepDraft(name, form.value);
  }, [name, form.value, form.changed]);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  // Afterwards: the state in which the outline had just been made.
  const { data: behind, error } = useQuery({
    queryKey: ["outline", post.id, post.run?.run_id], enabled: !waiting,
    queryFn: async (): Promise<ThreadState | null> => {
      const history = await client.threads.getHistory(post.id, { limit: HISTORY_READ });
      return history.find(isBehindOutline) ?? null;
    },
  });
  const must = Array.isArray(blog.request?.must_cover) ? (blog.request.must_cover as string[]) : [];
  const text = JSON.stringify(form.value ?? "").toLowerCase();

  const write = async () => {
    const checked = form.check();
    if (!checked.ok || sending) return;
    setSending(true);
    setProblem(null);
    try {
      const outline = checked.value as Outline;
      if (changed || !waiting) {
        const checkpoint = waiting ? undefined : behind?.checkpoint?.checkpoint_id;
        await client.threads.updateState(post.id, {
          values: {
            title: outline.title.trim(),
            sections: outline.sections.map((section, at) => ({
              id: `s${at + 1}`, name: section.name.trim(), description: section.description?.trim() ?? "", research: section.research, content: "",
            })),
          },
          asNode: OUTLINE_NODE,
          checkpointId: checkpoint ?? undefined,
        });
      }
      const assistant = post.thread.data?.metadata?.assistant_id ?? GRAPH;
      await startRun(post.id, { assistant: String(assistant), input: null });
      dropDraft(name);
      go(`/desk/${post.id}?step=draft`);
    } catch (error) {
      setProblem(error);
      threadChanged(post.id);
    } finally {
      setSending(false);
    }
  };
  return (
    <section aria-labelledby="outline" className={styles.part}>
      <header className={styles.partHead}>
        <div>
          <h2 id="outline">{waiting ? "Is this outline good?" : "Change the outline"}</h2>
          <p className={styles.soft}>
            {waiting ? "Nothing is written yet. Change headings, their order and what they cover, or leave it as it is."
              : "The sections are written anew from the sources that were read. The text that is there stays in the history of the thread."}
          </p>
        </div>
      </header>
      {must.length > 0 && (
        <section aria-labelledby="must" className={styles.must}>
          <h3 id="must">Points that must appear</h3>
          <ul>
            {must.map((point, at) => {
              const named = text.includes(point.trim().toLowerCase());
              return <li key={at}><span aria-hidden="true">{named ? "✓" : "○"}</span> {point} <small>{named ? "named in the outline" : "not named in these words"}</small></li>;
            })}
          </ul>
        </section>
      )}
      <Form form={form} plain label="Outline" />
      <div className={styles.buttons}>
        <Button
          kind="primary" icon="play" busy={sending} onClick={() => void write()}
          refused={!waiting && (error ? "the state behind the outline could not be read" : behind === undefined ? "the history is being read" : behind === null && "the state behind the outline is not kept any more")}
        >
          {waiting ? (changed ? "Write from this outline" : "Approve and write") : "Write from this outline"}
        </Button>
        {waiting
          ? <Button onClick={() => go(`/desk/${post.id}?step=request`)}>Change the request</Button>
          : <Button onClick={() => { dropDraft(name); onLeave(); }}>Leave it as it is</Button>}
        {changed && <span className={styles.soft}>Changed</span>}
      </div>
      {problem !== null && <Failed what="Writing was not begun" error={problem} safe="The outline and what you changed are still here." />}
    </section>
  );
}
