// The marks of a post: `[^3]` behind a sentence, and the evidence that stands behind each. Pure.

import type { Evidence } from "../parts/Post";

/** Code, fenced or between ticks: nothing in it is a mark. */
const CODE = /(^ {0,3}(`{3,}|~{3,})[^\n]*\n[\s\S]*?(?:^ {0,3}\2[`~]*[ \t]*$|(?![\s\S])))|(`+)(?!`)[^\n]*?[^`\n]\3(?!`)/gm;

/** The text with `change` made to everything that is not code. */
export function inProse(text: string, change: (prose: string) => string): string {
  let done = "";
  let at = 0;
  for (const found of text.matchAll(CODE)) {
    done += change(text.slice(at, found.index)) + found[0];
    at = found.index + found[0].length;
  }
  return done + change(text.slice(at));
}

/** Changes the marks of a text; a mark behind a backslash is none. */
export function eachMark(text: string, change: (label: string) => string): string {
  return inProse(text, (prose) => prose.replace(/(\\?)\[\^([^\]\s]+)\]/g, (all, escape: string, label: string) => (escape ? all : change(label))));
}

/** One mark: a sentence, a source, and the passages of it. */
export interface Mark {
  sentence: string;
  relation: string;
  source: string;
  passages: Evidence[];
}

/** The marks that a text with this evidence has, in order: a sentence has one per source. */
export function marksOf(evidence: Evidence[]): Mark[] {
  const marks: Mark[] = [];
  let sentence: string | null = null;
  let own: Mark[] = [];
  for (const one of evidence) {
    if (!one.source) {
      sentence = null;
      continue;
    }
    if (one.sentence !== sentence) {
      sentence = one.sentence;
      own = [];
    }
    const known = own.find((mark) => mark.source === one.source);
    // The same place twice is the same sentence said twice.
    if (known && !known.passages.some((it) => it.start === one.start)) {
      known.passages.push(one);
      continue;
    }
    if (known) own = [];
    const mark = { sentence: one.sentence, relation: one.relation, source: one.source, passages: [one] };
    own.push(mark);
    marks.push(mark);
  }
  return marks;
}

/** Marks numbered one after the other, each keeping the number it shows; their list is left out. */
export function numbered(body: string): string {
  let place = 0;
  return eachMark(withoutList(body), (label) => `[^${(place += 1)}.${label}]`);
}

/** The text without the list that says what the marks stand for. */
export function withoutList(body: string): string {
  return inProse(body, (prose) => prose.replace(/^\[\^[^\]]+\]:.*$/gm, ""));
}
