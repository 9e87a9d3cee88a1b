// Who takes care of a question, and until when it is put off. Kept in the thread's metadata, for
// everybody who sees the thread.

import { useEffect, useRef, useState, type FormEvent } from "react";
import { preferences } from "../../app/preferences";
import { useShortcuts } from "../../app/shortcuts";
import { useOwnName } from "../../data/access";
import { isSnoozed, note, type Note, type Question } from "../../data/questions";
import { Button } from "../../parts/Button";
import { Failed } from "../../parts/notices";
import { Ago, useNow } from "../../parts/time";
import styles from "./Inbox.module.css";

/** A point of time in full. */
export const exact = (at: string) => new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

export function Deadline({ at }: { at: string }) {
  const now = useNow(15_000);
  const over = Date.parse(at) < now;
  return <span className={styles.due} data-over={over || undefined}>{over ? "overdue: " : "due "}<Ago at={at} />, {exact(at)}</span>;
}

/** Longest name that is noted. */
const NAME_CHARS_MAX = 100;

export function Care({ question }: { question: Question }) {
  const name = useOwnName();
  const [doing, setDoing] = useState<"assign" | "snooze" | null>(null);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const now = useNow(15_000);
  const { assigned, snoozed_until: until } = question.note;
  const snoozed = isSnoozed(question, now);
  useShortcuts("Question", [{ keys: "s", label: "Put it off", run: () => setDoing("snooze") }]);
  const keep = async (change: Note) => {
    setSending(true);
    setProblem(null);
    try {
      await note(question, change);
      setDoing(null);
    } catch (error) {
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <div>
      {doing === null && (
        <p className={styles.care}>
          <span className={styles.soft}>{assigned ? <>Assigned to <b>{assigned}</b></> : "Nobody takes care of it"}</span>
          {name && assigned !== name && <Button busy={sending} onClick={() => void keep({ assigned: name })}>Take it</Button>}
          <Button onClick={() => setDoing("assign")}>{assigned ? "Assign to somebody else" : "Assign"}</Button>
          {assigned && <Button busy={sending} onClick={() => void keep({ assigned: "" })}>Assign to nobody</Button>}
          {snoozed && until ? (
            <>
              <span className={styles.soft}>Put off until {exact(until)}</span>
              <Button busy={sending} onClick={() => void keep({ snoozed_until: "" })}>Bring it back</Button>
            </>
          ) : <Button onClick={() => setDoing("snooze")}>Put off until</Button>}
        </p>
      )}
      {doing === "assign" && <Assign own={name} assigned={assigned ?? ""} sending={sending} onKeep={(to) => void keep({ assigned: to })} onCancel={() => setDoing(null)} />}
      {doing === "snooze" && <Snooze sending={sending} onKeep={(at) => void keep({ snoozed_until: at })} onCancel={() => setDoing(null)} />}
      {problem !== null && <Failed what="It was not noted" error={problem} />}
    </div>
  );
}

interface AssignProps {
  own: string;
  assigned: string;
  sending: boolean;
  onKeep: (name: string) => void;
  onCancel: () => void;
}

function Assign({ own, assigned, sending, onKeep, onCancel }: AssignProps) {
  const [name, setName] = useState(assigned || own);
  const [isOwn, setIsOwn] = useState(!own);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const refused = !name.trim() && "the name is empty";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (refused) return;
    if (!own && isOwn) preferences.set({ name: name.trim() });
    onKeep(name.trim());
  };
  return (
    <form className={styles.careForm} aria-label="Assign" onSubmit={submit}>
      <label>Who takes care of it<input ref={field} value={name} maxLength={NAME_CHARS_MAX} autoComplete="name" onChange={(event) => setName(event.target.value)} /></label>
      {!own && <label><span><input type="checkbox" checked={isOwn} onChange={(event) => setIsOwn(event.target.checked)} /> That is me</span></label>}
      <Button kind="primary" type="submit" busy={sending} refused={refused} onClick={submit}>Assign it</Button>
      <Button onClick={onCancel}>Cancel</Button>
    </form>
  );
}

/** Usual times, from now on. */
function times(now: Date): { label: string; at: Date }[] {
  const at = (days: number, hour: number) => {
    const then = new Date(now);
    then.setDate(then.getDate() + days);
    then.setHours(hour, 0, 0, 0);
    return then;
  };
  const toMonday = (8 - now.getDay()) % 7 || 7;
  return [
    { label: "In an hour", at: new Date(now.getTime() + 3_600_000) },
    { label: "Tomorrow, 9:00", at: at(1, 9) },
    { label: "Monday, 9:00", at: at(toMonday, 9) },
  ];
}

function Snooze({ sending, onKeep, onCancel }: { sending: boolean; onKeep: (at: string) => void; onCancel: () => void }) {
  const [own, setOwn] = useState("");
  const box = useRef<HTMLFormElement>(null);
  useEffect(() => box.current?.querySelector("button")?.focus(), []);
  const chosen = new Date(own);
  const refused = Number.isNaN(chosen.getTime()) ? "no time is chosen" : chosen.getTime() <= Date.now() && "that time has passed";
  return (
    <form ref={box} className={styles.careForm} aria-label="Put off until" onSubmit={(event) => { event.preventDefault(); if (!refused) onKeep(chosen.toISOString()); }}>
      {times(new Date()).map(({ label, at }) => <Button key={label} busy={sending} onClick={() => onKeep(at.toISOString())}>{label}</Button>)}
      <label>Another time<input type="datetime-local" value={own} onChange={(event) => setOwn(event.target.value)} /></label>
      <Button kind="primary" busy={sending} refused={refused} onClick={() => onKeep(chosen.toISOString())}>Put off</Button>
      <Button onClick={onCancel}>Cancel</Button>
    </form>
  );
}
