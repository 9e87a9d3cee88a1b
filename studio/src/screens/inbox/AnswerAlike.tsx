// One answer for several questions that take the same answers: each is shown, each can be left out,
// and each says how it went.

import { useState } from "react";
import { Changed, Gone, answer, type Question } from "../../data/questions";
import { titleOf } from "../../data/titles";
import { Form, useForm, type AnySchema } from "../../forms";
import { Button } from "../../parts/Button";
import { Dialog } from "../../parts/Dialog";
import { Ago } from "../../parts/time";
import { askedAt } from "../../data/questions";
import { shown } from "./asked";
import styles from "./Inbox.module.css";

/** Characters of a question's text that its row shows. */
const PREVIEW_CHARS = 240;

type Outcome = "open" | "sending" | "answered" | { refused: string };

export function AnswerAlike({ questions, onClose }: { questions: Question[]; onClose: () => void }) {
  // As they were when the dialog was opened: an answered one stays in sight.
  const [all] = useState(questions);
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const [outcomes, setOutcomes] = useState<Record<string, Outcome>>({});
  const [sure, setSure] = useState(false);
  const [busy, setBusy] = useState(false);
  const form = useForm((all[0]?.schema ?? true) as AnySchema);
  const open = all.filter((one) => !left.has(one.id) && (outcomes[one.id] ?? "open") === "open");
  const isDone = all.some((one) => outcomes[one.id] !== undefined);

  const go = async () => {
    const checked = form.check();
    if (!checked.ok) return setSure(false);
    if (!sure) return setSure(true);
    setBusy(true);
    for (const question of open) {
      setOutcomes((before) => ({ ...before, [question.id]: "sending" }));
      let outcome: Outcome;
      try {
        await answer(question, checked.value);
        outcome = "answered";
      } catch (error) {
        outcome = { refused: error instanceof Gone ? "answered elsewhere" : error instanceof Changed ? "it has changed since" : (error as Error).message };
      }
      setOutcomes((before) => ({ ...before, [question.id]: outcome }));
    }
    setBusy(false);
    setSure(false);
  };
  const many = `${open.length} ${open.length === 1 ? "question" : "questions"}`;
  return (
    <Dialog
      title="Answer all alike" onClose={onClose} wide
      actions={
        <>
          <Button onClick={onClose}>{isDone ? "Close" : "Cancel"}</Button>
          {(open.length > 0 || busy) && (
            <Button kind="primary" busy={busy} onClick={() => void go()}>
              {sure ? `Press again: answer ${many}` : `Answer ${many}`}
            </Button>
          )}
        </>
      }
    >
      <ul className={styles.several} aria-label="Questions">
        {all.map((one) => {
          const said = shown(one.value);
          const outcome = outcomes[one.id] ?? "open";
          const text = said.text ?? said.actions.map((action) => `${action.name} ${JSON.stringify(action.args)}`).join(", ") ?? "";
          return (
            <li key={one.id}>
              <label>
                <input
                  type="checkbox" checked={!left.has(one.id)} disabled={outcome !== "open" || busy}
                  onChange={() => {
                    const next = new Set(left);
                    if (!next.delete(one.id)) next.add(one.id);
                    setLeft(next);
                    setSure(false);
                  }}
                />
                <b>{said.title}</b>
                <span role="status">{outcome === "open" ? <Ago at={askedAt(one)} /> : outcome === "sending" ? "…" : outcome === "answered" ? "✓ answered" : `✕ ${outcome.refused}`}</span>
                <small>{titleOf(one.thread)}{text && `: ${text.slice(0, PREVIEW_CHARS)}${text.length > PREVIEW_CHARS ? "…" : ""}`}</small>
              </label>
            </li>
          );
        })}
      </ul>
      <Form form={form} locked={busy || open.length === 0} label="The answer for all of them" />
    </Dialog>
  );
}
