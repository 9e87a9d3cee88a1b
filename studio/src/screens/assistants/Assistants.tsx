// Assistants: graphs with a name and a configuration, each change of which is a version.

import type { Assistant } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { Link, useLocation, useParams, useSearchParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { client } from "../../data/client";
import { assistantsQuery, queryClient, schemasQuery, threadCountQuery } from "../../data/queries";
import { Form, useBegun, useForm, useIsBegun, type Schema } from "../../forms";
import { Button } from "../../parts/Button";
import { CopyRequest } from "../../parts/CopyRequest";
import { CopyText } from "../../parts/CopyText";
import { Dialog } from "../../parts/Dialog";
import { Empty, Failed, Loading } from "../../parts/notices";
import { Page } from "../../parts/Page";
import { Tabs } from "../../parts/Tabs";
import { Versions } from "./Versions";
import { bodyOf, isOfGraph, schemaOf, settingsOf, type Settings } from "./assistant";
import styles from "./Assistants.module.css";

export default function Assistants() {
  const { id } = useParams<{ id?: string }>();
  const [, go] = useLocation();
  const { data: all, error, refetch } = useQuery(assistantsQuery);
  const own = useMemo(() => (all ?? []).filter((one) => !isOfGraph(one)), [all]);
  const ofGraphs = useMemo(() => (all ?? []).filter(isOfGraph), [all]);
  const order = [...own, ...ofGraphs];
  const chosen = id === undefined || id === "new" ? undefined : order.find((one) => one.assistant_id === id);
  const place = order.findIndex((one) => one.assistant_id === id);
  const step = (by: number) => {
    const next = order[place < 0 ? 0 : Math.min(order.length - 1, Math.max(0, place + by))];
    if (next) go(`/assistants/${next.assistant_id}`);
  };
  useShortcuts("Assistants", [
    { keys: "j", label: "Next assistant", run: () => step(1) },
    { keys: "k", label: "Previous assistant", run: () => step(-1) },
    { keys: "n", label: "New assistant", run: () => go("/assistants/new") },
  ]);
  useEffect(() => {
    if (id === undefined) document.title = "Assistants · Genesis Mesh";
  }, [id]);
  if (error && !all) return <Page title="Assistants"><Failed what="The assistants could not be read" error={error} onRetry={() => void refetch()} /></Page>;
  if (!all) return <Page title="Assistants"><Loading what="assistants" /></Page>;
  return (
    <div className={styles.panes} data-open={id !== undefined}>
      {id === undefined && <h1 className="visually-hidden">Assistants</h1>}
      <nav className={styles.side} aria-label="Assistants">
        <Button icon="plus" onClick={() => go("/assistants/new")}>New assistant</Button>
        <List title="Configured" assistants={own} chosen={id} none="None yet: every graph runs as it is." />
        <List title="Graphs as they are" assistants={ofGraphs} chosen={id} none="This server has no graphs." />
      </nav>
      <div className={styles.main}>
        {id !== undefined && <Link href="/assistants" className={styles.back}>‹ All assistants</Link>}
        {id === "new" ? <New graphs={[...new Set(all.map((one) => one.graph_id))].sort()} all={all} />
          : chosen ? <Detail key={chosen.assistant_id} assistant={chosen} />
          : id !== undefined ? <Page title="Assistants"><Empty title="There is no such assistant." action={<Button onClick={() => go("/assistants")}>See all</Button>} /></Page>
          : (
            <Empty title="An assistant is a graph with a name and a configuration." action={<Button kind="primary" icon="plus" onClick={() => go("/assistants/new")}>New assistant</Button>}>
              Every change of one makes a version, and one can always go back.
            </Empty>
          )}
      </div>
    </div>
  );
}

function List({ title, assistants, chosen, none }: { title: string; assistants: Assistant[]; chosen: string | undefined; none: string }) {
  return (
    <section>
      <h2>{title}</h2>
      {assistants.length === 0 && <p className={styles.soft}>{none}</p>}
      <ul>
        {assistants.map((one) => (
          <li key={one.assistant_id}><Row assistant={one} here={one.assistant_id === chosen} /></li>
        ))}
      </ul>
    </section>
  );
}

const begunName = (assistant: Assistant) => `assistant ${assistant.assistant_id}`;

function Row({ assistant, here }: { assistant: Assistant; here: boolean }) {
  const begun = useIsBegun(begunName(assistant));
  return (
    <Link href={`/assistants/${assistant.assistant_id}`} className={styles.row} aria-current={here ? "page" : undefined}>
      <span>{assistant.name}</span>
      {!isOfGraph(assistant) && <small>{assistant.graph_id} · v{assistant.version}{begun && " · not saved"}</small>}
    </Link>
  );
}

function changed() {
  void queryClient.invalidateQueries({ queryKey: ["assistants"] });
  void queryClient.invalidateQueries({ queryKey: ["versions"] });
}

const PARTS = [{ id: "configuration", label: "Configuration" }, { id: "versions", label: "Versions" }] as const;
type Part = (typeof PARTS)[number]["id"];

function Detail({ assistant }: { assistant: Assistant }) {
  const [, go] = useLocation();
  const [query, setQuery] = useSearchParams();
  const [deleting, setDeleting] = useState(false);
  const { data: threads } = useQuery(threadCountQuery({ metadata: { assistant_id: assistant.assistant_id } }));
  const part: Part = query.get("part") === "versions" ? "versions" : "configuration";
  const fixed = isOfGraph(assistant);
  return (
    <Page
      title={assistant.name}
      note={
        <span className={styles.note}>
          <Link href={`/graphs/${encodeURIComponent(assistant.graph_id)}`}>{assistant.graph_id}</Link>
          <span>version {assistant.version}</span>
          <Link href={`/threads?assistant=${assistant.assistant_id}`}>{threads ?? "–"} {threads === 1 ? "thread" : "threads"}</Link>
          <CopyText text={assistant.assistant_id} shown={assistant.assistant_id.slice(0, 8)} />
        </span>
      }
      actions={
        <>
          {!fixed && <Button kind="quiet" onClick={() => setDeleting(true)}>Delete</Button>}
          <Button icon="copy" onClick={() => go(`/assistants/new?from=${assistant.assistant_id}`)}>Copy</Button>
          <Button kind="primary" icon="play" onClick={() => go(`/threads?new=1&assistant=${assistant.assistant_id}`)}>Try it</Button>
        </>
      }
    >
      <Tabs
        label="Views of the assistant" tabs={PARTS} chosen={part}
        onChoose={(next) => setQuery((before) => { before.set("part", next); return before; }, { replace: true })}
      >
        <div className={styles.part}>
          {part === "versions" ? <Versions assistant={assistant} onChanged={changed} />
            : fixed ? <AsItIs assistant={assistant} />
            : <Edit key={`${assistant.version} ${assistant.updated_at}`} assistant={assistant} />}
        </div>
      </Tabs>
      {deleting && <Delete assistant={assistant} onClose={() => setDeleting(false)} />}
    </Page>
  );
}

/** A graph as it is has nothing set; what could be is shown. */
function AsItIs({ assistant }: { assistant: Assistant }) {
  const [, go] = useLocation();
  const { data: schemas, error, refetch } = useQuery(schemasQuery(assistant.assistant_id));
  if (error) return <Failed what="The schema could not be read" error={error} onRetry={() => void refetch()} />;
  if (!schemas) return <Loading what="the schema" />;
  return (
    <Empty
      title={schemas.context_schema === null ? "This graph says of no configuration." : "This runs the graph with its defaults."}
      action={<Button icon="plus" onClick={() => go(`/assistants/new?graph=${encodeURIComponent(assistant.graph_id)}`)}>Make an assistant of it</Button>}
    >
      An assistant of your own can have another name, limits and tags{schemas.context_schema !== null && ", and another configuration"}.
    </Empty>
  );
}

function Edit({ assistant }: { assistant: Assistant }) {
  const { data: schemas, error, refetch } = useQuery(schemasQuery(assistant.assistant_id));
  const schema = useMemo(() => (schemas ? schemaOf(schemas.context_schema) : null), [schemas]);
  if (error) return <Failed what="The schema could not be read" error={error} onRetry={() => void refetch()} />;
  if (!schema) return <Loading what="the form" lines={8} />;
  return <EditForm assistant={assistant} schema={schema} />;
}

function EditForm({ assistant, schema }: { assistant: Assistant; schema: Schema }) {
  const initial = useMemo(() => settingsOf(assistant), [assistant]);
  const { form, changed: isChanged, moved, discard, done } = useBegun(begunName(assistant), String(assistant.version), schema, initial);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const save = async () => {
    const checked = form.check();
    if (!checked.ok || sending) return;
    setSending(true);
    setProblem(null);
    try {
      await client.assistants.update(assistant.assistant_id, bodyOf(checked.value as Settings, assistant) as never);
      done();
      changed();
    } catch (error) {
      if (!form.refuse(error)) setProblem(error);
      setSending(false);
    }
  };
  return (
    <div className={styles.form}>
      {moved && <p className={styles.soft} role="status"><b>There is a newer version.</b> What you began was made from an older one; saving it makes a version after the newest.</p>}
      <Form form={form} label="Assistant" />
      <div className={styles.save}>
        <Button kind="primary" busy={sending} refused={!isChanged && "nothing is changed"} onClick={() => void save()}>Save as a new version</Button>
        <Button refused={!isChanged && "nothing is changed"} onClick={discard}>Discard</Button>
        {isChanged && <span className={styles.soft}>Kept while this page is open.</span>}
        <CopyRequest path={`/assistants/${assistant.assistant_id}`} />
      </div>
      {problem !== null && <Failed what="The version was not made" error={problem} safe="What you wrote is still here." />}
    </div>
  );
}

function New({ graphs, all }: { graphs: string[]; all: Assistant[] }) {
  const [query, setQuery] = useSearchParams();
  const from = all.find((one) => one.assistant_id === query.get("from"));
  const graph = from?.graph_id ?? query.get("graph") ?? graphs[0];
  const of = all.find((one) => one.graph_id === graph);
  const { data: schemas, error, refetch } = useQuery({ ...schemasQuery(of?.assistant_id ?? ""), enabled: of !== undefined });
  const schema = useMemo(() => (schemas ? schemaOf(schemas.context_schema) : null), [schemas]);
  return (
    <Page title={from ? `A copy of ${from.name}` : "New assistant"}>
      <div className={styles.form}>
        {!from && (
          <label className={styles.graph}>
            Graph
            <select value={graph} onChange={(event) => setQuery({ graph: event.target.value }, { replace: true })}>
              {graphs.map((one) => <option key={one}>{one}</option>)}
            </select>
          </label>
        )}
        {error && <Failed what="The schema could not be read" error={error} onRetry={() => void refetch()} />}
        {!schema && !error && <Loading what="the form" lines={6} />}
        {schema && graph && <NewForm key={graph} graph={graph} schema={schema} from={from} />}
      </div>
    </Page>
  );
}

function NewForm({ graph, schema, from }: { graph: string; schema: Schema; from: Assistant | undefined }) {
  const [, go] = useLocation();
  const form = useForm(schema, from ? { ...settingsOf(from), name: `${from.name} 2` } : undefined);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const make = async () => {
    const checked = form.check();
    if (!checked.ok || sending) return;
    setSending(true);
    setProblem(null);
    try {
      const made = await client.assistants.create({ graphId: graph, ...bodyOf(checked.value as Settings) } as never);
      await queryClient.invalidateQueries({ queryKey: ["assistants"] });
      go(`/assistants/${made.assistant_id}`);
    } catch (error) {
      if (!form.refuse(error)) setProblem(error);
      setSending(false);
    }
  };
  return (
    <>
      <Form form={form} label="Assistant" />
      <div className={styles.save}>
        <Button kind="primary" icon="plus" busy={sending} onClick={() => void make()}>Make it</Button>
        <Button onClick={() => go("/assistants")}>Cancel</Button>
      </div>
      {problem !== null && <Failed what="The assistant was not made" error={problem} safe="What you wrote is still here." />}
    </>
  );
}

function Delete({ assistant, onClose }: { assistant: Assistant; onClose: () => void }) {
  const [, go] = useLocation();
  const [typed, setTyped] = useState("");
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const remove = async () => {
    setSending(true);
    try {
      await client.assistants.delete(assistant.assistant_id);
      changed();
      go("/assistants");
    } catch (error) {
      setProblem(error);
      setSending(false);
    }
  };
  return (
    <Dialog
      title={`Delete ${assistant.name}`} onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Keep it</Button>
          <Button kind="danger" busy={sending} refused={typed !== assistant.name && "the name is not typed"} onClick={() => void remove()}>Delete with all versions</Button>
        </>
      }
    >
      <label className={styles.graph}>
        Type its name to delete it
        <input value={typed} onChange={(event) => setTyped(event.target.value)} autoComplete="off" />
      </label>
      <p className={styles.soft}>Its threads stay. Crons that run it are disabled.</p>
      {problem !== null && <Failed what="It was not deleted" error={problem} />}
    </Dialog>
  );
}
