// What a run tells, frame by frame, as a picture of what it does. Pure apart from the clock: the
// same frames give the same picture.

import type { NodeState } from "../parts/StateMark";

/** Something that a run told. */
export interface Frame {
  /** Mode, and behind bars the place in mounted graphs: `tasks|section:4fde`. */
  event: string;
  // What a frame carries is as various as graphs are; readers check what they take.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  data: any;
  /** When it was told, in milliseconds since 1970. */
  at: number;
}

export interface LiveTask {
  id: string;
  name: string;
  /** Mounted graphs around it, outermost first, as `node:task`. */
  ns: string[];
  /** Superstep of its graph within this run, from 0. */
  wave: number;
  state: NodeState;
  /** When it began and ended, in milliseconds since 1970. */
  began: number;
  ended?: number;
  input?: unknown;
  result?: unknown;
  error?: string;
  interrupts: { id?: string; value: unknown }[];
}

/** Something to read, in the order in which it began. */
export type Card =
  | { kind: "message"; id: string; node: string; instance: string; model?: string; text: string; reasoning: string; calls: ToolCall[]; done: boolean; at: number; tokens?: number }
  | { kind: "tool"; id: string; node: string; name: string; text: string; failed: boolean; at: number }
  | { kind: "text"; id: string; node: string; instance: string; key: string; text: string; at: number }
  | { kind: "note"; id: string; node: string; type: string; data: unknown; at: number }
  | { kind: "question"; id: string; node: string; value: unknown; at: number }
  | { kind: "error"; id: string; node: string; message: string; at: number };

export interface ToolCall {
  id: string;
  name: string;
  args: string;
}

/** A text that a node returns is worth a card from this many characters on. */
const TEXT_CHARS_MIN = 80;
/** Depth to which results are searched for texts. */
const TEXT_DEPTH_MAX = 5;
/** Cards kept; the oldest go first. */
const CARDS_MAX = 2_000;

/** The name of a node as drawings have it: mounted graphs in front of it. */
export function nodeId(ns: string[], name: string): string {
  return [...ns.map((part) => part.split(":")[0]), name].join(":");
}

export class RunLive {
  readonly tasks = new Map<string, LiveTask>();
  cards: Card[] = [];
  attempt = 0;
  ended = false;
  error: string | null = null;
  /** Frames that were read. */
  frames = 0;
  /** Rises with every change. */
  version = 0;
  /** Rises with every change of what the nodes do, which is far seldomer than what they say. */
  tasksVersion = 0;

  #open = new Map<string, number>();
  #waves = new Map<string, number>();
  #messages = new Map<string, Card & { kind: "message" }>();
  #texts = new Set<string>();
  /** Ids of the cards. */
  #ids = new Set<string>();

  /** Takes a frame in. */
  take(frame: Frame) {
    const now = frame.at;
    this.frames += 1;
    this.version += 1;
    const [mode = "", ...ns] = frame.event.split("|");
    const data = frame.data;
    if (mode !== "messages" && mode !== "returned" && mode !== "custom") this.tasksVersion += 1;
    switch (mode) {
      case "begun": {
        const attempt = Number(data?.attempt ?? 1);
        // What an attempt before this one had open is done again.
        if (attempt > 1) {
          for (const task of this.tasks.values()) if (task.state === "running") task.state = "cancelled";
          this.#open.clear();
        }
        this.attempt = attempt;
        break;
      }
      case "tasks":
        if (data && typeof data.id === "string") this.#task(data, ns, now);
        break;
      case "messages":
      case "returned":
        if (Array.isArray(data)) this.#message(data[0], data[1] ?? {}, now);
        break;
      case "custom":
        this.#add({
          kind: "note", id: `note-${this.frames}`, node: ns.map((part) => part.split(":")[0]).join(":"),
          type: typeof data?.type === "string" ? data.type : "custom", data, at: now,
        });
        break;
      case "ended": {
        if (data?.status !== "error" && data?.status !== "timeout") break;
        this.error = errorText(data.error) ?? `the run ended as ${data.status}`;
        // That of a task is told already.
        if (!this.cards.some((card) => card.kind === "error")) {
          this.#add({ kind: "error", id: "error", node: "", message: this.error, at: now });
        }
        break;
      }
    }
  }

  /** The stream of the run is over. */
  end(status: string) {
    this.ended = true;
    this.version += 1;
    this.tasksVersion += 1;
    for (const task of this.tasks.values()) {
      if (task.state === "running") task.state = status === "error" ? "failed" : "cancelled";
    }
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  #task(data: any, ns: string[], now: number) {
    const place = ns.join("|");
    if (!("result" in data)) {
      const open = this.#open.get(place) ?? 0;
      let wave = this.#waves.get(place) ?? -1;
      if (open === 0) wave += 1;
      this.#waves.set(place, wave);
      this.#open.set(place, open + 1);
      this.tasks.set(data.id, {
        id: data.id, name: String(data.name), ns, wave, state: "running", began: now,
        input: data.input, interrupts: [],
      });
      return;
    }
    const task: LiveTask = this.tasks.get(data.id) ?? {
      id: data.id, name: String(data.name), ns, wave: Math.max(0, this.#waves.get(place) ?? 0),
      state: "running", began: now, interrupts: [],
    };
    this.#open.set(place, Math.max(0, (this.#open.get(place) ?? 1) - 1));
    task.ended = now;
    task.result = data.result;
    task.error = errorText(data.error);
    task.interrupts = Array.isArray(data.interrupts) ? data.interrupts : [];
    task.state = task.error ? "failed" : task.interrupts.length ? "waiting" : "done";
    this.tasks.set(task.id, task);
    const node = nodeId(ns, task.name);
    for (const { id, value } of task.interrupts) {
      this.#add({ kind: "question", id: `question-${id ?? this.frames}`, node, value, at: now });
    }
    if (task.error) this.#add({ kind: "error", id: `error-${task.id}`, node, message: task.error, at: now });
    for (const { key, text } of textsOf(task.result)) {
      // A node around others returns their text again; it is shown once, and so are its parts.
      if ([...this.#texts].some((shown) => shown.includes(text))) continue;
      this.#texts.add(text);
      this.#add({ kind: "text", id: `text-${task.id}-${key}`, node, instance: task.id, key, text, at: now });
    }
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  #message(chunk: any, about: any, now: number) {
    const id = String(chunk?.id ?? `message-${this.frames}`);
    const node = String(about?.langgraph_node ?? "");
    const instance = String(about?.langgraph_checkpoint_ns ?? about?.checkpoint_ns ?? "");
    if (chunk?.type === "tool") {
      const failed = chunk.status === "error";
      this.#add({ kind: "tool", id, node, name: String(chunk.name ?? "tool"), text: plain(chunk.content), failed, at: now });
      return;
    }
    if (chunk?.type === "human" || chunk?.type === "system") return;
    let card = this.#messages.get(id);
    if (!card) {
      card = {
        kind: "message", id, node, instance, model: about?.ls_model_name ?? chunk?.response_metadata?.model_name,
        text: "", reasoning: "", calls: [], done: false, at: now,
      };
      this.#messages.set(id, card);
      this.#add(card);
    }
    // A whole message comes instead of pieces where a node returns one.
    const isPiece = String(chunk?.type).endsWith("Chunk");
    const text = plain(chunk?.content);
    card.text = isPiece ? card.text + text : text || card.text;
    card.reasoning += reasoningOf(chunk?.content);
    for (const piece of chunk?.tool_call_chunks ?? []) {
      const place = Number(piece.index ?? card.calls.length);
      const call = (card.calls[place] ??= { id: "", name: "", args: "" });
      call.id ||= piece.id ?? "";
      call.name += piece.name ?? "";
      call.args += piece.args ?? "";
    }
    if (!isPiece && Array.isArray(chunk?.tool_calls) && chunk.tool_calls.length) {
      card.calls = chunk.tool_calls.map((call: { id?: string; name?: string; args?: unknown }) => ({
        id: call.id ?? "", name: call.name ?? "", args: JSON.stringify(call.args ?? {}),
      }));
    }
    card.tokens = chunk?.usage_metadata?.output_tokens ?? card.tokens;
    card.done ||= !isPiece || chunk?.chunk_position === "last";
    const last = this.cards.lastIndexOf(card);
    // A new object tells a list that this one changed.
    const next = { ...card };
    this.#messages.set(id, next);
    if (last >= 0) this.cards[last] = next;
  }

  #add(card: Card) {
    // A card comes once: frames that are read again change nothing.
    if (this.#ids.has(card.id)) return;
    this.#ids.add(card.id);
    this.cards.push(card);
    if (this.cards.length > CARDS_MAX) this.cards.splice(0, this.cards.length - CARDS_MAX);
  }
}

/** An error in words: a text, or an object of its kind and its message. */
function errorText(error: unknown): string | undefined {
  if (error === null || error === undefined) return undefined;
  if (typeof error === "string") return error;
  const { error: kind, message } = error as { error?: unknown; message?: unknown };
  if (typeof message !== "string") return JSON.stringify(error);
  return typeof kind === "string" ? `${kind}: ${message}` : message;
}

/** The text of a message's content. */
export function plain(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((block) => (typeof block === "string" ? block : block?.type === "text" ? String(block.text ?? "") : "")).join("");
}

function reasoningOf(content: unknown): string {
  if (!Array.isArray(content)) return "";
  return content.map((block) => (block?.type === "reasoning" ? String(block.reasoning ?? "") : "")).join("");
}

/** Texts in a result that are worth reading, with where they stand; the longest first. */
function textsOf(result: unknown): { key: string; text: string }[] {
  return textsIn(result).sort((a, b) => b.text.length - a.text.length);
}

function textsIn(value: unknown, key = "", depth = 0): { key: string; text: string }[] {
  if (typeof value === "string") return value.length >= TEXT_CHARS_MIN ? [{ key, text: value }] : [];
  if (value === null || typeof value !== "object" || depth >= TEXT_DEPTH_MAX) return [];
  // Messages are told as messages.
  if ("type" in value && "content" in value) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    textsIn(inner, key ? `${key}.${name}` : name, depth + 1),
  );
}
