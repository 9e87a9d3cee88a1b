// What a graph asks, taken apart for a reader: one sentence, a text, and what it is about. Graphs ask
// as they like; what has no known place is shown as it is.

import { isObject, type AnySchema } from "../../forms";

export interface Shown {
  title: string;
  /** Markdown below it. */
  text: string | null;
  /** Calls of tools that wait for a decision. */
  actions: { name: string; args: unknown; description: string | null }[];
  /** By when an answer is wanted, if it says so. */
  deadline: string | null;
  /** Whatever else was given with it. */
  rest: Record<string, unknown> | null;
  other: unknown;
}

const TITLES = ["question", "title", "prompt", "message", "ask"];
const TEXTS = ["text", "description", "context", "body", "details", "instructions"];
const DEADLINES = ["deadline", "expires_at", "due"];
/** Longer ones are texts. */
const TITLE_CHARS = 160;

export function shown(value: unknown): Shown {
  const none = { text: null, deadline: null, actions: [], rest: null, other: undefined };
  if (typeof value === "string") {
    const [first = "", ...lines] = value.trim().split("\n");
    if (value.length <= TITLE_CHARS && lines.length === 0) return { ...none, title: value.trim() || "A question without words" };
    if (first.length <= TITLE_CHARS && first) return { ...none, title: first.replace(/^#+\s*/, ""), text: lines.join("\n").trim() || null };
    return { ...none, title: "The graph asks", text: value };
  }
  if (!isObject(value)) return { ...none, title: "The graph asks", other: value };
  const rest: Record<string, unknown> = { ...value };
  const take = (keys: string[]) => {
    const key = keys.find((one) => typeof rest[one] === "string" && (rest[one] as string).trim());
    if (!key) return null;
    const text = rest[key] as string;
    delete rest[key];
    return text.trim();
  };
  const due = DEADLINES.find((key) => typeof rest[key] === "string" && Number.isFinite(Date.parse(rest[key] as string)));
  const deadline = due ? (rest[due] as string) : null;
  if (due) delete rest[due];
  const actions = actionsOf(rest.action_requests);
  if (actions.length) {
    delete rest.action_requests;
    delete rest.review_configs;
  }
  let title = take(TITLES);
  let text = take(TEXTS);
  if (title && title.length > TITLE_CHARS) {
    text = text ? `${title}\n\n${text}` : title;
    title = null;
  }
  if (!title && text && text.length <= TITLE_CHARS && !text.includes("\n")) [title, text] = [text, null];
  title ??= actions.length === 1 ? `May ${actions[0]?.name} be run?` : actions.length ? `May these ${actions.length} tools be run?` : "The graph asks";
  return { title, text, deadline, actions, rest: Object.keys(rest).length ? rest : null, other: undefined };
}

function actionsOf(given: unknown): Shown["actions"] {
  if (!Array.isArray(given)) return [];
  return given.filter(isObject).map((one) => ({
    name: typeof one.name === "string" ? one.name : typeof one.action === "string" ? one.action : "a tool",
    args: one.args ?? one.arguments ?? {},
    description: typeof one.description === "string" ? one.description : null,
  }));
}

export interface Decision {
  value: unknown;
  label: string;
  /** It cannot be taken back: last, and pressed twice. */
  grave: boolean;
}

const GRAVE = /^(reject|deny|decline|refuse|stop|delete|cancel|abort|discard|drop|remove|no|false)$/i;

/**
 * The buttons that a schema makes: the values of its entry `decision`, or the answer itself where
 * it is one of a few. `key` is the entry.
 */
export function decisionsOf(schema: AnySchema | null): { key: string | null; decisions: Decision[] } | null {
  if (!isObject(schema)) return null;
  const own = isObject(schema.properties) ? schema.properties.decision : undefined;
  const inside = isObject(own) ? valuesOf(own) : null;
  if (inside) return { key: "decision", decisions: sorted(inside) };
  const whole = valuesOf(schema);
  return whole && whole.length <= 5 ? { key: null, decisions: sorted(whole) } : null;
}

function valuesOf(schema: Record<string, unknown>): Decision[] | null {
  const of = (value: unknown, label?: unknown): Decision => {
    const words = value === true ? "Yes" : value === false ? "No" : String(value).replaceAll(/[_-]/g, " ");
    const shown = typeof label === "string" && label.trim() ? label : words.charAt(0).toUpperCase() + words.slice(1);
    return { value, label: shown, grave: GRAVE.test(String(value)) };
  };
  if (schema.type === "boolean") return [of(true), of(false)];
  const simple = (value: unknown) => typeof value === "string" || typeof value === "boolean";
  if (Array.isArray(schema.enum) && schema.enum.length > 1 && schema.enum.every(simple)) return schema.enum.map((value) => of(value));
  const ways = schema.oneOf ?? schema.anyOf;
  if (Array.isArray(ways) && ways.length > 1 && ways.every((one) => isObject(one) && simple(one.const))) {
    return ways.map((one) => of(one.const, one.title));
  }
  return null;
}

const sorted = (all: Decision[]) => [...all.filter((one) => !one.grave), ...all.filter((one) => one.grave)];
