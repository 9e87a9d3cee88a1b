// What a thread is called: its title, else what it was asked first, else its id.

import { TITLE_PATHS, type ThreadRow } from "./queries";

export function titleOf(row: Pick<ThreadRow, "thread_id" | "metadata" | "extracted">): string {
  for (const alias of Object.keys(TITLE_PATHS)) {
    const text = textOf(row.extracted?.[alias]);
    if (text) return text;
  }
  const graph = row.metadata?.graph_id;
  const short = row.thread_id.slice(-8);
  return typeof graph === "string" ? `${graph} ${short}` : `Thread ${short}`;
}

/** The same from a whole thread. */
export function titleOfValues(id: string, metadata: unknown, values: unknown): string {
  const at = (path: string): unknown =>
    path.split(/[.[\]]+/).filter(Boolean).reduce<unknown>(
      (value, key) => (value as Record<string, unknown> | null | undefined)?.[key],
      { metadata, values },
    );
  const extracted = Object.fromEntries(
    Object.entries(TITLE_PATHS).map(([alias, path]) => [alias, at(path)]),
  );
  return titleOf({ thread_id: id, metadata: metadata as ThreadRow["metadata"], extracted });
}

/** The tags of a thread. */
export function tagsOf(metadata: unknown): string[] {
  const tags = (metadata as { tags?: unknown } | null | undefined)?.tags;
  return Array.isArray(tags) ? tags.filter((it): it is string => typeof it === "string") : [];
}

/** The text of a message's content: a string, or blocks of which some are text. */
function textOf(value: unknown): string | null {
  if (typeof value === "string") return value.trim() || null;
  if (Array.isArray(value)) {
    const block = value.find((it) => it && typeof it === "object" && "text" in it);
    return typeof block?.text === "string" ? block.text.trim() || null : null;
  }
  return null;
}
