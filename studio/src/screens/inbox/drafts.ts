// Answers that were begun, kept in this browser until they are given.

const PREFIX = "genesis-mesh.draft.";
/** Characters of a draft; a longer one is kept in the page alone. */
const DRAFT_CHARS_MAX = 200_000;

export function draftOf(question: string): unknown {
  try {
    const kept = localStorage.getItem(PREFIX + question);
    return kept === null ? undefined : JSON.parse(kept);
  } catch {
    return undefined;
  }
}

export function keepDraft(question: string, value: unknown) {
  try {
    const text = JSON.stringify(value);
    if (text !== undefined && text.length <= DRAFT_CHARS_MAX) localStorage.setItem(PREFIX + question, text);
  } catch {
    // A full or forbidden storage keeps nothing; the page still does.
  }
}

export function dropDraft(question: string) {
  try {
    localStorage.removeItem(PREFIX + question);
  } catch {
    // As above.
  }
}
