// What is different between two states, key by key, and as JSON Patch.

export type Change =
  | { kind: "added"; path: string[]; after: unknown }
  | { kind: "removed"; path: string[]; before: unknown }
  | { kind: "changed"; path: string[]; before: unknown; after: unknown };

/** Changes listed at most; beyond it the nearest common value counts as changed whole. */
const CHANGES_MAX = 2_000;
/** Members of a list or an object that are compared one by one. */
const MEMBERS_MAX = 5_000;

/** What has to change for `before` to become `after`. */
export function changes(before: unknown, after: unknown): Change[] {
  const found: Change[] = [];
  compare(before, after, [], found);
  return found;
}

function compare(before: unknown, after: unknown, path: string[], found: Change[]) {
  if (same(before, after)) return;
  const isPair = isObject(before) && isObject(after) && Array.isArray(before) === Array.isArray(after);
  if (!isPair || found.length >= CHANGES_MAX || path.length > 60) {
    found.push({ kind: "changed", path, before, after });
    return;
  }
  const old = before as Record<string, unknown>;
  const now = after as Record<string, unknown>;
  const keys = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  if (keys.length > MEMBERS_MAX) {
    found.push({ kind: "changed", path, before, after });
    return;
  }
  for (const key of keys) {
    const inside = [...path, key];
    if (!(key in old)) found.push({ kind: "added", path: inside, after: now[key] });
    else if (!(key in now)) found.push({ kind: "removed", path: inside, before: old[key] });
    else compare(old[key], now[key], inside, found);
  }
}

function isObject(value: unknown): value is object {
  return value !== null && typeof value === "object";
}

/** Whether two JSON values are equal, whatever the order of their members. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => key in b && same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  );
}

/** The changes as JSON Patch (RFC 6902). Members of lists are removed from the end. */
export function patch(found: Change[]): { op: string; path: string; value?: unknown }[] {
  const pointer = (path: string[]) => path.map((key) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  const removed = found.filter((it) => it.kind === "removed").reverse();
  return [
    ...found.filter((it) => it.kind !== "removed").map((it) => ({
      op: it.kind === "added" ? "add" : "replace", path: pointer(it.path), value: it.after,
    })),
    ...removed.map((it) => ({ op: "remove", path: pointer(it.path) })),
  ];
}
