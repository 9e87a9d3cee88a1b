// The inputs themselves. Each keeps what is being typed, and tells what it comes to.

import { useId, useState } from "react";
import { wordFor, type Option } from "./schema";
import styles from "./Form.module.css";

interface Common {
  id?: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
  "aria-required"?: true;
  readOnly?: boolean;
}

interface TextProps extends Common {
  value: string;
  onChange: (text: string) => void;
}

const TYPES: Record<string, string> = { email: "email", uri: "url", url: "url" };

export function Line({ value, onChange, format, secret, suggestions = [], ...rest }: TextProps & { format?: string; secret: boolean; suggestions?: string[] }) {
  const list = useId();
  return (
    <>
      <input
        {...rest} className={styles.input} type={secret ? "password" : TYPES[format ?? ""] ?? "text"} value={value}
        autoComplete={secret ? "new-password" : "off"} spellCheck={!secret && !format} list={suggestions.length ? list : undefined}
        placeholder={suggestions[0] === undefined ? undefined : `for example ${suggestions[0].slice(0, 60)}`}
        onChange={(event) => onChange(event.target.value)}
      />
      {suggestions.length > 0 && <datalist id={list}>{suggestions.slice(0, 50).map((one) => <option key={one} value={one} />)}</datalist>}
    </>
  );
}

export function LongText({ value, onChange, look, ...rest }: TextProps & { look: "long" | "code" | "prompt" | "markdown" }) {
  const rows = Math.min(Math.max(value.split("\n").length + 1, look === "long" ? 2 : 6), 24);
  return (
    <textarea
      {...rest} className={look === "code" ? styles.json : styles.input} value={value} rows={rows} spellCheck={look !== "code"}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

interface NumberProps extends Common {
  value: unknown;
  integer: boolean;
  /** A number; a text that is none as it is; nothing when it is empty. */
  onChange: (value: unknown) => void;
}

export function NumberLine({ value, onChange, integer, ...rest }: NumberProps) {
  const [text, setText] = useState(() => (value === undefined || value === null ? "" : String(value)));
  // `1.` and `1` are one number: what was typed stays while it means the value.
  const shown = numberOf(text) === (value ?? undefined) ? text : value === undefined || value === null ? "" : String(value);
  return (
    <input
      {...rest} className={`${styles.input} ${styles.number}`} type="text" inputMode={integer ? "numeric" : "decimal"} autoComplete="off" value={shown}
      onChange={(event) => {
        setText(event.target.value);
        onChange(numberOf(event.target.value));
      }}
    />
  );
}

function numberOf(text: string): unknown {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) && Number.isFinite(Number(trimmed)) ? Number(trimmed) : text;
}

interface DateTimeProps extends TextProps {
  kind: "date" | "time" | "date-time";
}

/** Dates and times in the browser's own fields; told with their zone, as the wire has them. */
export function DateTime({ kind, value, onChange, ...rest }: DateTimeProps) {
  const type = { date: "date", time: "time", "date-time": "datetime-local" }[kind];
  const shown = kind === "date" ? value : kind === "time" ? value.slice(0, 8) : local(value);
  const tell = (text: string) => {
    if (text === "" || kind === "date") return text;
    const full = /T?\d\d:\d\d$/.test(text) ? `${text}:00` : text;
    if (kind === "time") return `${full}Z`;
    const at = new Date(full);
    return Number.isNaN(at.getTime()) ? text : at.toISOString();
  };
  return (
    <span className={styles.moment}>
      <input {...rest} className={styles.input} type={type} step={kind === "date" ? undefined : 1} value={shown} onChange={(event) => onChange(tell(event.target.value))} />
      {kind === "time" && <span className={styles.unit}>UTC</span>}
      {kind === "date-time" && <span className={styles.unit}>your time</span>}
    </span>
  );
}

/** The point of time as the field wants it: of the reader's zone, without naming it. */
function local(value: string): string {
  const at = new Date(value);
  if (value === "" || Number.isNaN(at.getTime())) return "";
  const shifted = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}

interface SuggestedProps extends Common {
  options: Option[];
  value: unknown;
  onChange: (value: unknown) => void;
}

/** One of many choices, found by typing a part of it. */
export function Suggested({ options, value, onChange, ...rest }: SuggestedProps) {
  const list = useId();
  const known = options.find((option) => JSON.stringify(option.value) === JSON.stringify(value));
  const [text, setText] = useState(known?.label ?? "");
  const shown = known && find(options, text) === known ? text : known ? known.label : typeof value === "string" ? value : text;
  return (
    <>
      <input
        {...rest} className={styles.input} list={list} value={shown} autoComplete="off"
        onChange={(event) => {
          setText(event.target.value);
          const found = find(options, event.target.value);
          onChange(found ? found.value : event.target.value || undefined);
        }}
      />
      <datalist id={list}>{options.map((option, at) => <option key={at} value={option.label}>{option.note ?? wordFor(option.value)}</option>)}</datalist>
    </>
  );
}

function find(options: Option[], text: string): Option | undefined {
  const wanted = text.trim().toLowerCase();
  return options.find((option) => option.label.toLowerCase() === wanted);
}
