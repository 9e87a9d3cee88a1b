// The models that the server is configured with: seen and tried here, changed where it is started.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { modelsQuery, tryModel, type Model, type Tried } from "../../data/access";
import { Button } from "../../parts/Button";
import { CopyRequest } from "../../parts/CopyRequest";
import { Failed, Loading } from "../../parts/notices";
import { span } from "../../parts/time";
import styles from "./Settings.module.css";

const ROLES: Record<string, string> = {
  planner: "Plans posts and searches", executor: "Writes posts", agents: "Agents with tools",
};

export function ModelTable() {
  const { data: models, error, refetch } = useQuery(modelsQuery);
  if (error) return <Failed what="The models could not be read" error={error} onRetry={() => void refetch()} />;
  if (!models) return <Loading what="the models" />;
  return (
    <>
      {models.length === 0 && <p>No model is configured. Demo and extract mode work without one.</p>}
      {models.length > 0 && (
        <div className={styles.tableBox} tabIndex={0} role="group" aria-label="Models">
          <table className={styles.table}>
            <thead><tr><th scope="col">For</th><th scope="col">Model</th><th scope="col">Settings</th><th scope="col">Answer</th></tr></thead>
            <tbody>{models.map((model) => <Row key={model.role} model={model} />)}</tbody>
          </table>
        </div>
      )}
      <p>{models.length ? "They are changed" : "Add one for writing"} where the server is started:</p>
      <pre tabIndex={0} aria-label="Command with a model">{`OPENAI_API_BASE_URL=http://127.0.0.1:11434/v1 OPENAI_LLM_NAME=llama3.2 genesis-mesh`}</pre>
      <p className={styles.row}><CopyRequest path="/models" /></p>
    </>
  );
}

function Row({ model }: { model: Model }) {
  const [tried, setTried] = useState<Tried | null>(null);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const test = async () => {
    setSending(true);
    setProblem(null);
    try {
      setTried(await tryModel(model.role));
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <tr>
      <th scope="row">{ROLES[model.role] ?? model.role}<small>{model.role}</small></th>
      <td><code>{model.name}</code><small>{model.host}{model.has_key ? ", with a key" : ", without a key"}</small></td>
      <td>
        {model.max_tokens === null ? "as each call says" : `${model.max_tokens.toLocaleString("en")} tokens`}
        {model.temperature !== null && <small>temperature {model.temperature}</small>}
      </td>
      <td>
        <Button busy={sending} onClick={() => void test()}>Test<span className="visually-hidden"> {model.role}</span></Button>
        <span role="status" className={styles.tried} data-ok={tried?.ok}>
          {tried && (tried.ok ? `✓ answered in ${span(tried.took_ms)}` : `✕ no answer after ${span(tried.took_ms)}`)}
          {tried?.problem && <small>{tried.problem}</small>}
        </span>
        {problem !== null && <Failed what="It was not asked" error={problem} />}
      </td>
    </tr>
  );
}
