// What is asked for: the request that the agent takes, as a form.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useLocation } from "wouter";
import { assistantsQuery, schemasQuery, threadChanged } from "../../data/queries";
import { same } from "../../data/diff";
import { draftOf, dropDraft, keepDraft } from "../../data/drafts";
import { newThread, startRun } from "../../data/runs";
import { Form, isObject, useForm, type AnySchema, type Schema } from "../../forms";
import { Button } from "../../parts/Button";
import { Failed, Loading, Empty } from "../../parts/notices";
import { GRAPH, OUTLINE_NODE, requestDraft } from "./blog";
import type { Post } from "./useBlog";
import styles from "./Desk.module.css";

export function RequestStep({ post }: { post: Post | null }) {
  const { data: assistants, error: none } = useQuery(assistantsQuery);
  const own = assistants?.filter((one) => one.graph_id === GRAPH) ?? [];
  const [picked, setPicked] = useState<string | null>(null);
  const system = own.find((one) => one.metadata?.created_by === "system") ?? own[0];
  const assistant = picked ?? system?.assistant_id ?? null;
  const { data: schemas, error, refetch } = useQuery({ ...schemasQuery(assistant ?? ""), enabled: assistant !== null });
  const schema = useMemo(() => (schemas?.input_schema ? forWriters(schemas.input_schema) : null), [schemas]);
  if (none ?? error) return <Failed what="The form could not be read" error={none ?? error} onRetry={() => void refetch()} />;
  if (assistants && own.length === 0) return <Empty title="This server has no blog agent." />;
  if (!schema || !assistant) return <Loading what="the form" lines={8} />;
  return (
    <Filled
      key={post?.id ?? "new"} post={post} schema={schema} assistant={assistant}
      choice={own.length > 1 && (
        <label className={styles.assistant}>
          Assistant
          <select value={assistant} onChange={(event) => setPicked(event.target.value)}>
            {own.map((one) => <option key={one.assistant_id} value={one.assistant_id}>{one.name}</option>)}
          </select>
        </label>
      )}
    />
  );
}

interface FilledProps {
  post: Post | null;
  schema: AnySchema;
  assistant: string;
  choice: React.ReactNode;
}

function Filled({ post, schema, assistant, choice }: FilledProps) {
  const [, go] = useLocation();
  const name = requestDraft(post?.id ?? "new");
  const begun = post !== null;
  const kept = useMemo(() => (begun ? draftOf(name) : undefined), [name, begun]);
  const form = useForm(schema, kept ?? post?.blog.request);
  const [asks, setAsks] = useState(true);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const again = Boolean(post?.blog.request);
  // Looked at again after another step, or a reload, it is as it was left.
  const changed = again && (form.changed || kept !== undefined) && !same(form.value, post?.blog.request);
  useEffect(() => {
    if (!again) return;
    if (changed) keepDraft(name, form.value);
    else dropDraft(name);
  }, [again, name, changed, form.value]);
  const leave = () => {
    dropDraft(name);
    form.reset(post?.blog.request);
  };

  const send = async () => {
    const checked = form.check();
    if (!checked.ok || sending || post?.busy) return;
    setSending(true);
    setProblem(null);
    try {
      const input = checked.value as Record<string, unknown>;
      const id = post?.id ?? (await newThread({ title: String(input.topic), graph_id: GRAPH }));
      try {
        await startRun(id, { assistant, input, interruptAfter: asks ? [OUTLINE_NODE] : undefined });
      } catch (error) {
        // A thread without a run would be a post of nothing.
        if (!post) {
          const { client } = await import("../../data/client");
          await client.threads.delete(id).catch(() => undefined);
          threadChanged(id);
        }
        throw error;
      }
      dropDraft(name);
      go(`/desk/${id}?step=${asks ? "outline" : "draft"}`);
    } catch (error) {
      if (!form.refuse(error, "/input")) setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <div className={styles.request}>
      {again && (
        <p className={styles.soft}>
          {changed ? "Changed. Sources, outline and draft are still those of the request before; writing again makes them anew." : "This is what the post was made from. To change it, write the post again."}
          {" "}The text that is there stays in the history of the thread.
        </p>
      )}
      {choice}
      <Form form={form} plain locked={post?.busy} label="Request" />
      <div className={styles.send}>
        <label className={styles.asks}>
          <input type="checkbox" checked={asks} onChange={(event) => setAsks(event.target.checked)} />
          <span>Show me the outline before anything is written</span>
        </label>
        <Button
          kind="primary" icon="play" busy={sending} onClick={() => void send()}
          refused={post?.busy && "the post is being written"}
        >
          {again ? "Write it again" : asks ? "Make the outline" : "Write the post"}
        </Button>
        {changed && <Button onClick={leave}>Leave it as it was</Button>}
      </div>
      {problem !== null && <Failed what="The post was not begun" error={problem} safe="What you wrote is still here." />}
    </div>
  );
}

/** Words and looks for a writer; what a field is and what it may hold stays the schema's. */
const LOOKS: Record<string, Schema> = {
  topic: { title: "Topic", "x-order": 1 },
  mode: { title: "Who writes", "x-order": 2 },
  sources: { title: "Sources", "x-order": 3 },
  must_cover: { title: "Points that must appear", "x-order": 4, "x-entry": "Point" },
  reader: { title: "Reader", "x-order": 5 },
  purpose: { title: "Purpose", "x-widget": "textarea", "x-order": 6 },
  structure: { title: "Structure", "x-widget": "textarea", "x-order": 7 },
  words: { title: "Length", "x-order": 8 },
  language: { title: "Language", "x-order": 9, examples: ["en", "de", "fr", "es", "hi"] },
};
const SOURCE_LOOKS: Record<string, Schema> = {
  urls: { title: "Pages", "x-order": 1, "x-entry": "Page" },
  notes: { title: "Notes", "x-order": 2, "x-widget": "markdown", "x-entry": "Note" },
  search: { title: "Search the web", "x-order": 3 },
  exclude_hosts: { title: "Hosts to leave out", "x-order": 4, "x-entry": "Host" },
  exclude: { title: "Sources to leave out", "x-order": 5, "x-entry": "Place" },
  max: { title: "Documents at most", "x-order": 6 },
};

function forWriters(schema: AnySchema): AnySchema {
  if (!isObject(schema) || !isObject(schema.properties)) return schema;
  const defs = isObject(schema.$defs) ? { ...schema.$defs } : {};
  const words = defs.Mode;
  if (isObject(words) && Array.isArray(words.oneOf)) {
    const titles: Record<string, string> = { auto: "A model if there is one", model: "A model", extractive: "Nobody: extracts only" };
    defs.Mode = { ...words, oneOf: words.oneOf.map((one) => (isObject(one) ? { ...one, title: titles[String(one.const)] ?? one.title } : one)) };
  }
  if (isObject(defs.Sources)) defs.Sources = { ...defs.Sources, properties: looked(defs.Sources.properties, SOURCE_LOOKS) };
  if (isObject(defs.Words)) defs.Words = { ...defs.Words, properties: looked(defs.Words.properties, { target: { title: "Words" } }) };
  return { ...schema, $defs: defs, properties: looked(schema.properties, LOOKS) };
}

function looked(properties: unknown, looks: Record<string, Schema>): unknown {
  if (!isObject(properties)) return properties;
  return Object.fromEntries(Object.entries(properties).map(([key, own]) => {
    const look = looks[key];
    if (!look || !isObject(own)) return [key, own];
    const { "x-widget": widget, "x-entry": entry, ...rest } = look;
    // The look of a list is that of its entries.
    if (own.type === "array" && isObject(own.items)) return [key, { ...own, ...rest, items: { ...own.items, "x-widget": widget, title: entry } }];
    return [key, { ...own, ...look }];
  }));
}
