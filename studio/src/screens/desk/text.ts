// The text of a post by its sections, and a section's text as a writer edits it. Pure.

import { eachMark, inProse, numbered, type Mark } from "../../data/marks";
import type { Source } from "../../parts/Post";
import { newestOf, type Blog, type Section } from "./blog";

/** What follows a statement that nothing supports. */
const FLAG = " *(no source)*";

export interface Part {
  name: string;
  /** Markdown with its heading; marks are `[^place.number]`. */
  text: string;
  /** The section that it shows; none for what the agent adds at the end. */
  section: Section | null;
  /** Places of its marks in the whole text: from this one on, so many. */
  first: number;
  marks: number;
}

const labels = (text: string) => {
  const found: string[] = [];
  eachMark(text, (label) => {
    found.push(label);
    return "";
  });
  return found;
};

/** The title with what stands below it, and the parts. */
export function partsOf(body: string, blog: Blog): { head: string; parts: Part[] } {
  const pieces: string[] = [""];
  // A line of code is no heading.
  let fence: string | null = null;
  for (const line of numbered(body).split("\n")) {
    const mark = /^\s{0,3}(```+|~~~+)/.exec(line)?.[1];
    if (mark && !fence) fence = mark;
    else if (mark && fence && line.trim().startsWith(fence)) fence = null;
    if (!fence && line.startsWith("## ")) pieces.push("");
    pieces[pieces.length - 1] += `${line}\n`;
  }
  const [head = "", ...rest] = pieces;
  const newest = newestOf(blog);
  const planned = [...(blog.sections ?? [])];
  let first = labels(head).length;
  const parts = rest.map((text): Part => {
    const name = text.slice(3, text.indexOf("\n")).trim();
    // A section without a text may be left out with its heading; those behind it still fit.
    const at = planned.findIndex((one) => one.name === name);
    const section = at < 0 ? null : newest.get(planned[at]?.id ?? "") ?? null;
    if (at >= 0) planned.splice(0, at + 1);
    const marks = labels(text).length;
    first += marks;
    return { name: name.replaceAll(/[*_`]/g, ""), text, section, first: first - marks, marks };
  });
  return { head, parts };
}

/** A source as a writer cites it: by the number that its marks show. */
export interface Cited {
  number: number;
  source: Source;
}

/** The numbers of all sources: those in the text as they are there, then the others. */
export function citedOf(body: string, marks: Mark[], sources: Source[]): Cited[] {
  const numbers = new Map<string, number>();
  labels(numbered(body)).forEach((label, at) => {
    const mark = marks[at];
    const number = Number(label.split(".")[1]);
    if (mark && Number.isInteger(number) && !numbers.has(mark.source)) numbers.set(mark.source, number);
  });
  // Two sections may have read one page: it has one number.
  const places = new Map<string, number>();
  for (const source of sources) {
    const number = numbers.get(source.id);
    if (number !== undefined) places.set(source.location, number);
  }
  let next = Math.max(0, ...numbers.values());
  return sources.map((source) => {
    const number = numbers.get(source.id) ?? places.get(source.location) ?? (next += 1);
    places.set(source.location, number);
    return { number, source };
  });
}

/** A section's text as a writer sees it: marks with the numbers of the text, no flags. */
export function forWriter(content: string, cited: Cited[]): string {
  const numbers = new Map(cited.map((one) => [one.source.id, one.number]));
  const shown = eachMark(content, (label) => {
    const number = numbers.get(label.replace(/^source-/, ""));
    return number === undefined ? `[^${label}]` : `[^${number}]`;
  });
  return inProse(shown, (prose) => prose.replaceAll(FLAG, ""));
}

/** The same for the agent: marks with the ids of sources. */
export function forAgent(text: string, cited: Cited[]): string {
  const ids = new Map([...cited].reverse().map((one) => [String(one.number), one.source.id]));
  return eachMark(text, (label) => `[^${ids.get(label) ?? label}]`);
}

/** What is wrong with a text before anybody is asked. */
export function wrongWith(text: string, cited: Cited[]): string | null {
  if (!text.trim()) return "The section would be empty.";
  const headings: string[] = [];
  inProse(text, (prose) => {
    headings.push(...(prose.match(/^#{1,2}(?:[ \t].*)?$/gm) ?? []));
    return prose;
  });
  if (headings[0]) return `“${headings[0].trim()}” is a heading of the whole post: inside a section they begin with ###.`;
  const numbers = new Set(cited.map((one) => String(one.number)));
  const unknown = labels(text).find((label) => !numbers.has(label));
  return unknown === undefined ? null : `The mark [^${unknown}] names no source: they go up to ${Math.max(0, ...cited.map((one) => one.number))}.`;
}
