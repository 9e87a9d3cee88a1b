// Graphs: the drawing of each, what it takes and gives, and who runs it.

import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useLocation, useParams, useSearchParams } from "wouter";
import { useShortcuts } from "../../app/shortcuts";
import { assistantsQuery, infoQuery, schemasQuery, threadCountQuery } from "../../data/queries";
import { useDrawing } from "../../data/drawing";
import { Button } from "../../parts/Button";
import { Canvas } from "../../parts/Canvas";
import { CopyRequest } from "../../parts/CopyRequest";
import { Empty, Failed, Loading } from "../../parts/notices";
import { OpenMounts } from "../../parts/OpenMounts";
import { Page } from "../../parts/Page";
import { Split } from "../../parts/Split";
import { Tabs } from "../../parts/Tabs";
import { SchemaTable } from "./SchemaTable";
import styles from "./Graphs.module.css";

export default function Graphs() {
  const { id } = useParams<{ id?: string }>();
  const { data: assistants, error, refetch } = useQuery(assistantsQuery);
  const graphs = useMemo(() => [...new Set((assistants ?? []).map((it) => it.graph_id))].sort(), [assistants]);
  const [, go] = useLocation();
  const chosen = id ? decodeURIComponent(id) : graphs[0];
  const place = graphs.indexOf(chosen ?? "");
  useShortcuts("Graphs", [
    { keys: "j", label: "Next graph", run: () => go(`/graphs/${encodeURIComponent(graphs[Math.min(graphs.length - 1, place + 1)] ?? "")}`) },
    { keys: "k", label: "Previous graph", run: () => go(`/graphs/${encodeURIComponent(graphs[Math.max(0, place - 1)] ?? "")}`) },
  ]);
  if (error) return <Page title="Graphs"><Failed what="The graphs could not be read" error={error} onRetry={() => void refetch()} /></Page>;
  if (!assistants) return <Page title="Graphs"><Loading what="graphs" /></Page>;
  if (!chosen) {
    return (
      <Page title="Graphs">
        <Empty title="This server has no graphs.">
          Start it with <code>genesis-mesh serve --fixtures</code> to have some to try, or build one with the handbook.
        </Empty>
      </Page>
    );
  }
  return (
    <div className={styles.panes}>
      <nav aria-label="Graphs" className={styles.list}>
        <ul>
          {graphs.map((graph) => (
            <li key={graph}>
              <Link href={`/graphs/${encodeURIComponent(graph)}`} aria-current={graph === chosen ? "page" : undefined}>{graph}</Link>
            </li>
          ))}
        </ul>
      </nav>
      <label className={styles.select}>
        Graph
        <select value={chosen} onChange={(event) => go(`/graphs/${encodeURIComponent(event.target.value)}`)}>
          {graphs.map((graph) => <option key={graph}>{graph}</option>)}
        </select>
      </label>
      <Graph key={chosen} graph={chosen} />
    </div>
  );
}

const SCHEMAS = [
  { id: "input", label: "Input" },
  { id: "output", label: "Output" },
  { id: "state", label: "State" },
  { id: "context", label: "Configuration" },
  { id: "nodes", label: "Nodes" },
] as const;
type Part = (typeof SCHEMAS)[number]["id"];

function Graph({ graph }: { graph: string }) {
  const [query, setQuery] = useSearchParams();
  const [node, setNode] = useState<string | null>(null);
  const [, go] = useLocation();
  const drawn = useDrawing(graph);
  const schemas = useQuery(schemasQuery(graph));
  const { data: info } = useQuery(infoQuery);
  const { data: assistants } = useQuery(assistantsQuery);
  const own = (assistants ?? []).filter((it) => it.graph_id === graph);
  const { data: threads } = useQuery(threadCountQuery({ metadata: { graph_id: graph } }));
  const described = info?.assistants.find((it) => it.name === graph);
  const part = (query.get("part") as Part | null) ?? "input";
  const schema = schemas.data && {
    input: schemas.data.input_schema, output: schemas.data.output_schema, state: schemas.data.state_schema,
    context: schemas.data.context_schema, nodes: null,
  }[part];
  const nodes = (drawn.drawing?.nodes ?? []).filter((it) => !/(^|:)__(start|end)__$/.test(it.id));
  return (
    <Page
      title={graph} fills
      note={
        <span className={styles.note}>
          {described && <span>{described.description}.</span>}
          <Link href={`/threads?meta=${encodeURIComponent(`graph_id=${graph}`)}`}>{threads ?? "–"} threads</Link>
          <span>{own.length} {own.length === 1 ? "assistant" : "assistants"}</span>
        </span>
      }
      actions={<Button kind="primary" icon="play" onClick={() => go(`/threads?new=1&assistant=${encodeURIComponent(own.find((it) => it.metadata?.created_by === "system")?.assistant_id ?? graph)}`)}>Run it</Button>}
    >
      <Split
        name="graphs" label="Width of the schemas" first={430} least={300} most={800}
        main={
          <div className={styles.canvas}>
            {drawn.error ? <Failed what="The graph could not be drawn" error={drawn.error} onRetry={drawn.refetch} />
              : !drawn.drawing && <Loading what="the drawing" />}
            {drawn.drawing && <Canvas drawing={drawn.drawing} name={graph} selected={node} onMount={drawn.toggle} onSelect={(id) => {
              setNode(id);
              setQuery((before) => { before.set("part", "nodes"); return before; }, { replace: true });
            }} />}
            {drawn.hasMounts && <OpenMounts all={drawn.all} onChange={drawn.openAll} />}
          </div>
        }
        side={
          <aside className={styles.side} aria-label="Schemas">
            <Tabs label="Schemas" tabs={SCHEMAS} chosen={part} onChoose={(next) => setQuery((before) => { before.set("part", next); return before; }, { replace: true })}>
              {schemas.error ? <Failed what="The schemas could not be read" error={schemas.error} onRetry={() => void schemas.refetch()} />
                : part === "nodes" ? (
                  <table className={styles.nodes}>
                    <thead><tr><th scope="col">Node</th><th scope="col">From</th><th scope="col">To</th></tr></thead>
                    <tbody>
                      {nodes.map((it) => (
                        <tr key={it.id} aria-selected={it.id === node}>
                          <th scope="row"><button type="button" aria-pressed={it.id === node} onClick={() => setNode(it.id === node ? null : it.id)}>{it.id}</button></th>
                          <td>{ends(drawn.drawing?.edges.filter((edge) => edge.target === it.id).map((edge) => edge.source))}</td>
                          <td>{ends(drawn.drawing?.edges.filter((edge) => edge.source === it.id).map((edge) => `${edge.target}${edge.conditional ? " ?" : ""}`))}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                )
                : schemas.isPending ? <Loading what="the schemas" />
                : schema ? <SchemaTable schema={schema} />
                : <Empty title={part === "context" ? "This graph has nothing to configure." : "This graph says nothing of it."} />}
            </Tabs>
            <footer className={styles.foot}><CopyRequest path={`/assistants/${encodeURIComponent(graph)}/schemas`} /></footer>
          </aside>
        }
      />
    </Page>
  );
}

function ends(names: string[] | undefined): string {
  return (names ?? []).map((name) => name.replace("__start__", "start").replace("__end__", "end")).join(", ");
}
