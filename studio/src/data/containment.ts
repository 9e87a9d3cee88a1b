// Whether one JSON value is in another, as the server's searches decide it.

/** Of an object every entry, looked into; of a list every item, anywhere; else the value itself. */
export function contains(whole: unknown, part: unknown): boolean {
  if (Array.isArray(part)) return Array.isArray(whole) && part.every((it) => whole.some((item) => contains(item, it)));
  if (part !== null && typeof part === "object") {
    if (whole === null || typeof whole !== "object" || Array.isArray(whole)) return false;
    return Object.entries(part).every(([key, it]) => key in whole && contains((whole as Record<string, unknown>)[key], it));
  }
  return whole === part;
}
