// A post as the blog agent's thread holds it, and how far it is. Pure.

import type { ThreadState } from "@langchain/langgraph-sdk";
import type { Evidence, Finding, Source } from "../../parts/Post";

/** The graph whose threads are posts. */
export const GRAPH = "blogger";
/** The node that makes the outline; a run that asks before writing stops behind it. */
export const OUTLINE_NODE = "generate_blog_plan";
/** Nodes that may come after the outline. */
const AFTER_OUTLINE = new Set(["build_section_with_web_research", "gather_completed_sections", "fail"]);

export interface Section {
  id: string;
  name: string;
  description: string;
  research: boolean;
  content: string;
  evidence?: Evidence[];
  /** What a person had changed to make it what it is. */
  change?: { kind: "edited" | "rewritten" | "exchanged" | "restored"; instruction?: string | null; by?: string | null; at: string } | null;
}

/** A change of one section, as the agent takes it. */
export type Revision =
  | { type: "text"; section: string; text: string }
  | { type: "rewrite"; section: string; sentence?: string; instruction: string }
  | { type: "exchange"; section: string; sentence: string }
  | { type: "restore"; section: string; version: number };

export interface Blog {
  request?: Record<string, unknown> & { topic?: string; sources?: { exclude_hosts?: string[]; exclude?: string[] } };
  mode?: { generation: "extractive" | "model"; reason: string; handbook?: string | null };
  sources?: Source[];
  problems?: { subject: string; reason: string }[];
  title?: string;
  language?: string;
  sections?: Section[];
  completed_sections?: Section[];
  draft?: string;
  evidence?: Evidence[];
  findings?: Finding[];
  refusals?: { section: string; reason: string }[];
  final_blog?: string;
}

/** The versions of a section, oldest first. */
export const versionsOf = (blog: Blog, id: string) => (blog.completed_sections ?? []).filter((section) => section.id === id);

/** The sections that count: the newest version of each. */
export function newestOf(blog: Blog): Map<string, Section> {
  return new Map((blog.completed_sections ?? []).map((section) => [section.id, section]));
}

/** Sections that were written from others which have changed since. */
export function staleOf(blog: Blog): Set<string> {
  const written = blog.completed_sections ?? [];
  const last = (id: string) => written.findLastIndex((section) => section.id === id);
  const changed = Math.max(-1, ...(blog.sections ?? []).filter((one) => one.research).map((one) => (written[last(one.id)]?.change ? last(one.id) : -1)));
  return new Set((blog.sections ?? []).filter((one) => !one.research && last(one.id) >= 0 && last(one.id) < changed && written[last(one.id)]?.content).map((one) => one.id));
}

export const openFindings = (blog: Blog) => (blog.findings ?? []).filter((finding) => !finding.accepted);

export const STEPS = [
  { id: "request", label: "Request" },
  { id: "sources", label: "Sources" },
  { id: "outline", label: "Outline" },
  { id: "draft", label: "Draft" },
  { id: "checks", label: "Checks" },
  { id: "export", label: "Export" },
] as const;
export type Step = (typeof STEPS)[number]["id"];

/** What is at a step: nothing yet, work, a person's turn, something finished, something wrong,
 *  something that was made before what it rests on was changed. */
export type Progress = "empty" | "running" | "waiting" | "done" | "attention" | "stale";

/** Whether the run stands behind the outline and nothing of it is written. */
export function waitsForOutline(state: ThreadState | undefined, status: string | undefined): boolean {
  return status === "interrupted" && (state?.next ?? []).some((node) => AFTER_OUTLINE.has(node))
    && ((state?.values as Blog | undefined)?.completed_sections ?? []).length === 0;
}

/** Whether a checkpoint is the one behind the outline. */
export function isBehindOutline(state: ThreadState): boolean {
  const blog = state.values as Blog;
  return state.next.some((node) => AFTER_OUTLINE.has(node)) && (blog.sections ?? []).length > 0 && (blog.completed_sections ?? []).length === 0;
}

export function progressOf(blog: Blog, busy: boolean, waiting: boolean, reached: ReadonlySet<string>): Record<Step, Progress> {
  // What an earlier turn left is not of this one.
  const planned = waiting || (busy ? reached.has(OUTLINE_NODE) : (blog.sections ?? []).length > 0);
  const read = planned || (busy ? reached.has("collect_sources") : (blog.sources ?? []).length > 0);
  const drafted = busy ? reached.has("assemble") : Boolean(blog.draft) && !waiting;
  const checked = busy ? reached.has("run_checks") : Boolean(blog.final_blog) && !waiting;
  const now = (done: boolean, before: boolean): Progress => (done ? "done" : busy && before ? "running" : "empty");
  const blocking = openFindings(blog).some((finding) => finding.level === "blocking");
  return {
    request: blog.request ? "done" : "empty",
    sources: now(read, true),
    outline: waiting ? "waiting" : now(planned, read),
    draft: now(drafted, planned),
    checks: checked ? (blocking && !busy ? "attention" : "done") : now(false, drafted),
    export: checked && !busy ? "done" : "empty",
  };
}

/** Steps whose work is older than a change before them. A change that was begun counts: it is what
 *  the writer looks at. */
export function withStale(progress: Record<Step, Progress>, begun: { request: boolean; outline: boolean }, stale: boolean): Record<Step, Progress> {
  const first = begun.request ? 1 : begun.outline ? 3 : STEPS.length;
  return Object.fromEntries(STEPS.map(({ id }, at) => {
    const old = at >= first || (stale && id === "draft");
    return [id, old && (progress[id] === "done" || progress[id] === "attention" || progress[id] === "waiting") ? "stale" : progress[id]];
  })) as Record<Step, Progress>;
}

/** Names of the drafts that are kept of a post. */
export const requestDraft = (id: string) => `desk.${id}.request`;
export const outlineDraft = (id: string, checkpoint: string) => `desk.${id}.outline.${checkpoint}`;
export const sectionDraft = (id: string, section: string) => `desk.${id}.${section}`;

/** The step that a reader wants to see first. */
export function firstStep(blog: Blog, busy: boolean, waiting: boolean, failed: boolean): Step {
  if (waiting) return "outline";
  if (busy || blog.final_blog) return "draft";
  return failed || !blog.request ? "request" : "sources";
}

export const wordsIn = (text: string) => text.replaceAll(/\[\^[^\]]+\]/g, "").split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;

/** A part of a text by its bytes in UTF-8, which is how places in sources are counted. */
export class Copy {
  readonly #bytes: Uint8Array;
  readonly #decoder = new TextDecoder();

  constructor(text: string) {
    this.#bytes = new TextEncoder().encode(text);
  }

  get length() {
    return this.#bytes.length;
  }

  slice(start: number, end: number): string {
    return this.#decoder.decode(this.#bytes.subarray(Math.max(0, start), Math.max(0, end)));
  }

  /** The nearest place at or before this one where a character begins. */
  begin(at: number): number {
    let place = Math.min(Math.max(0, at), this.#bytes.length);
    while (place > 0 && place < this.#bytes.length && ((this.#bytes[place] ?? 0) & 0xc0) === 0x80) place -= 1;
    return place;
  }
}

/** A file name out of a title. */
export function slug(title: string): string {
  const words = title.normalize("NFKD").toLowerCase().replaceAll(/[\u0300-\u036f]/g, "").match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.join("-").slice(0, 80).replace(/-+$/, "") || "post";
}

/** Where a source is, in few characters: the host of a page, else its place. */
export function placeOf(source: Source): string {
  try {
    const url = new URL(source.location);
    return url.protocol.startsWith("http") ? url.host : source.location;
  } catch {
    return source.location;
  }
}
