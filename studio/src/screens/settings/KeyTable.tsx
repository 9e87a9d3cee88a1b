// Keys of programs and people, for administrators: made, shown once, and taken back.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { createKey, keysQuery, revokeKey, type Key } from "../../data/access";
import { Form, useForm, type Schema } from "../../forms";
import { Button } from "../../parts/Button";
import { CopyRequest } from "../../parts/CopyRequest";
import { useCopy } from "../../parts/CopyText";
import { Dialog } from "../../parts/Dialog";
import { Failed, Loading } from "../../parts/notices";
import { Ago } from "../../parts/time";
import { useSure } from "../../parts/useSure";
import styles from "./Settings.module.css";

const WISH: Schema = {
  type: "object", required: ["identity"],
  properties: {
    identity: { type: "string", title: "Whose", minLength: 1, maxLength: 200, "x-widget": "line", description: "Things made with it belong to this name." },
    display_name: { type: "string", title: "Name for people", maxLength: 200, "x-widget": "line" },
    scopes: {
      type: "array", title: "What it may do", maxItems: 32, description: "Such as threads:read, or me. Without one: everything with its own things.",
      items: { type: "string", title: "Scope", minLength: 1, maxLength: 100 },
    },
    admin: { type: "boolean", title: "An administrator's", default: false, description: "Everything, with everybody's things." },
    expires_days: { type: "integer", title: "Days until it is worthless", minimum: 1, maximum: 36500, description: "It lasts without." },
  },
};

export function KeyTable() {
  const { data: keys, error, refetch } = useQuery(keysQuery);
  const [making, setMaking] = useState(false);
  if (error) return <Failed what="The keys could not be read" error={error} onRetry={() => void refetch()} />;
  if (!keys) return <Loading what="the keys" />;
  return (
    <>
      <div className={styles.tableBox} tabIndex={0} role="group" aria-label="API keys">
        <table className={styles.table}>
          <thead>
            <tr><th scope="col">Whose</th><th scope="col">May</th><th scope="col">State</th><th scope="col">Made</th><th><span className="visually-hidden">Take back</span></th></tr>
          </thead>
          <tbody>{keys.map((key) => <Row key={key.id} its={key} />)}</tbody>
        </table>
      </div>
      <p className={styles.row}>
        <Button icon="plus" onClick={() => setMaking(true)}>New key</Button>
        <CopyRequest path="/keys" />
      </p>
      {making && <NewKey onClose={() => setMaking(false)} />}
    </>
  );
}

const STATES = { good: "✓ good", expired: "– expired", revoked: "✕ taken back" };

function Row({ its }: { its: Key }) {
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [sure, press] = useSure(() => void revoke());
  const revoke = async () => {
    setSending(true);
    try {
      await revokeKey(its.id);
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <tr data-over={its.state !== "good" || undefined}>
      <th scope="row">{its.display_name}{its.display_name !== its.identity && <small>{its.identity}</small>}<small><code>gm_{its.id}_…</code></small></th>
      <td>{its.admin ? "everything, with everybody's things" : its.scopes.map((scope) => (scope === "*" ? "everything with its own things" : scope)).join(", ")}</td>
      <td className={styles.short}>
        {STATES[its.state]}
        {its.state === "good" && its.expires_at && <small>until {its.expires_at.slice(0, 10)}</small>}
        {its.revoked_at && <small><Ago at={its.revoked_at} /></small>}
      </td>
      <td><Ago at={its.created_at} /></td>
      <td>
        {its.state === "good" && <Button kind="danger" busy={sending} onClick={press}>{sure ? "Press again" : "Take back"}<span className="visually-hidden"> the key of {its.display_name}</span></Button>}
        {problem !== null && <Failed what="It was not taken back" error={problem} />}
      </td>
    </tr>
  );
}

function NewKey({ onClose }: { onClose: () => void }) {
  const form = useForm(WISH);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const [copied, copy] = useCopy();
  const make = async () => {
    const checked = form.check();
    if (!checked.ok || sending) return;
    setSending(true);
    setProblem(null);
    try {
      setSecret((await createKey(checked.value as Record<string, unknown>)).secret);
    } catch (error) {
      if (!form.refuse(error)) setProblem(error);
    } finally {
      setSending(false);
    }
  };
  if (secret !== null) {
    return (
      <Dialog title="The key, this once" onClose={onClose} actions={<Button kind="primary" onClick={onClose}>I have kept it</Button>}>
        <p>It is kept nowhere, and nobody can show it again.</p>
        <p className={styles.secret}><code>{secret}</code></p>
        <p><Button icon="copy" onClick={() => copy(secret)}><span role="status">{copied ? "Copied" : "Copy it"}</span></Button></p>
      </Dialog>
    );
  }
  return (
    <Dialog
      title="New key" onClose={onClose}
      actions={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" busy={sending} onClick={() => void make()}>Make it</Button></>}
    >
      <Form form={form} plain label="New key" />
      {problem !== null && <Failed what="No key was made" error={problem} />}
    </Dialog>
  );
}
