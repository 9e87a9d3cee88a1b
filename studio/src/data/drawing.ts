// The drawing of a graph, with those mounted graphs open that one wants to look into.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { drawingQuery, wholeQuery, type Drawing } from "./queries";

/** With more nodes than this, mounted graphs start closed. */
const CLOSED_ABOVE = 300;

/** Mounted graphs by their paths, as far as nodes lie in them. */
function mountsOf(whole: Drawing): string[] {
  const mounts = new Set<string>();
  for (const { id } of whole.nodes) {
    for (let end = id.indexOf(":"); end > 0; end = id.indexOf(":", end + 1)) mounts.add(id.slice(0, end));
  }
  return [...mounts];
}

export function useDrawing(assistant: string) {
  const whole = useQuery(wholeQuery(assistant));
  const [chosen, choose] = useState<readonly string[] | null>(null);
  const mounts = useMemo(() => (whole.data ? mountsOf(whole.data) : []), [whole.data]);
  const isLarge = (whole.data?.nodes.length ?? 0) > CLOSED_ABOVE;
  const opened = chosen ?? (isLarge ? [] : mounts);
  const all = opened.length === mounts.length;
  const query = useQuery({
    ...drawingQuery(assistant, opened.length === 0 ? false : all ? true : opened),
    enabled: Boolean(whole.data), placeholderData: keepPreviousData,
  });
  return {
    drawing: query.data,
    error: whole.error ?? query.error,
    refetch: () => void (whole.error ? whole.refetch() : query.refetch()),
    /** Whether there is anything to open. */
    hasMounts: mounts.length > 0,
    all,
    openAll: (open: boolean) => choose(open ? mounts : []),
    /** Opens one, or closes it with those in it. */
    toggle: (mount: string) =>
      choose(opened.includes(mount) ? opened.filter((it) => it !== mount && !it.startsWith(`${mount}:`)) : [...opened, mount]),
  };
}
