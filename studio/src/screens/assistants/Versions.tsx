// The versions of an assistant, what each changed, and the way back.

import type { Assistant, AssistantVersion } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../data/client";
import { changes, type Change } from "../../data/diff";
import { Button } from "../../parts/Button";
import { Failed, Loading } from "../../parts/notices";
import { Ago } from "../../parts/time";
import { comparable } from "./assistant";
import styles from "./Assistants.module.css";

/** Versions that are listed. */
const SHOWN = 200;

interface Props {
  assistant: Assistant;
  onChanged: () => void;
}

export function Versions({ assistant, onChanged }: Props) {
  const id = assistant.assistant_id;
  const { data: versions, error, refetch } = useQuery({
    queryKey: ["versions", id, assistant.updated_at],
    queryFn: () => client.assistants.getVersions(id, { limit: SHOWN }) as Promise<AssistantVersion[]>,
  });
  const [picked, setPicked] = useState<number | null>(null);
  const [sending, setSending] = useState<number | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  if (error) return <Failed what="The versions could not be read" error={error} onRetry={() => void refetch()} />;
  if (!versions) return <Loading what="the versions" />;
  const active = versions.find((one) => one.version === assistant.version);
  const shown = versions.find((one) => one.version === picked) ?? versions.find((one) => one !== active) ?? active;
  const goBack = async (version: number) => {
    setSending(version);
    setProblem(null);
    try {
      await client.assistants.setLatest(id, version);
      onChanged();
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(null);
    }
  };
  return (
    <div className={styles.versions}>
      <ol className={styles.versionList} aria-label="Versions, the newest first">
        {versions.map((one) => (
          <li key={one.version}>
            <button type="button" aria-pressed={one === shown} onClick={() => setPicked(one.version)}>
              <b>Version {one.version}</b>
              {one === active && <span className={styles.active}>✓ active</span>}
              <small><Ago at={one.created_at} /></small>
            </button>
          </li>
        ))}
      </ol>
      <section aria-label="What is different" className={styles.compared}>
        {shown && active && (
          <>
            <header>
              <h2>{shown === active ? `Version ${active.version} is active` : `Version ${shown.version} beside the active ${active.version}`}</h2>
              {shown !== active && (
                <Button kind="primary" busy={sending === shown.version} onClick={() => void goBack(shown.version)}>Make version {shown.version} active</Button>
              )}
            </header>
            {shown === active ? <p className={styles.soft}>Choose another version to see what is different, and to go back to it.</p>
              : <Differences found={changes(comparable(active), comparable(shown))} />}
            {problem !== null && <Failed what="The version was not made active" error={problem} />}
          </>
        )}
      </section>
    </div>
  );
}

const SIGNS: Record<Change["kind"], { sign: string; word: string }> = {
  added: { sign: "+", word: "added" }, removed: { sign: "−", word: "removed" }, changed: { sign: "±", word: "changed" },
};

function Differences({ found }: { found: Change[] }) {
  if (found.length === 0) return <p className={styles.soft}>They are the same.</p>;
  return (
    <table className={styles.differences}>
      <thead><tr><th scope="col">Entry</th><th scope="col">Active</th><th scope="col">This version</th></tr></thead>
      <tbody>
        {found.map((one) => (
          <tr key={one.path.join("/")} data-kind={one.kind}>
            <th scope="row">{one.path.join(" › ")} <small>{SIGNS[one.kind].sign} {SIGNS[one.kind].word}</small></th>
            <td>{"before" in one ? <Value value={one.before} /> : <span className={styles.soft}>–</span>}</td>
            <td>{"after" in one ? <Value value={one.after} /> : <span className={styles.soft}>–</span>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Value({ value }: { value: unknown }) {
  return <code className={styles.value}>{typeof value === "string" ? value : JSON.stringify(value)}</code>;
}
