// Where the next runs of a graph pause: set on the canvas and in the composer, kept for this tab.

import { Watched, useWatched } from "./store";

export interface Stops {
  before: readonly string[];
  after: readonly string[];
}

export type Where = keyof Stops;

const NONE: Stops = { before: [], after: [] };
const known = new Map<string, Watched<Stops>>();
const keyOf = (graph: string) => `genesis-mesh.stops.${graph}`;

function of(graph: string): Watched<Stops> {
  let stops = known.get(graph);
  if (!stops) {
    stops = new Watched(read(graph));
    known.set(graph, stops);
  }
  return stops;
}

function read(graph: string): Stops {
  try {
    const kept = JSON.parse(sessionStorage.getItem(keyOf(graph)) ?? "null") as Partial<Stops> | null;
    const list = (names: unknown) => (Array.isArray(names) ? names.filter((it) => typeof it === "string") : []);
    return { before: list(kept?.before), after: list(kept?.after) };
  } catch {
    // Storage may be forbidden: then there were none.
    return NONE;
  }
}

/** The stops of a graph, and what sets one or takes it away. */
export function useStops(graph: string | null): [Stops, (node: string, where: Where) => void] {
  const watched = of(graph ?? "");
  const stops = useWatched(watched);
  return [stops, (node, where) => {
    const now = watched.get();
    const list = now[where].includes(node) ? now[where].filter((it) => it !== node) : [...now[where], node];
    const next = { ...now, [where]: list };
    watched.setNow(next);
    try {
      sessionStorage.setItem(keyOf(graph ?? ""), JSON.stringify(next));
    } catch {
      // They then hold until the page is left.
    }
  }];
}

/** In words: `before plan, draft; after check`. */
export function tell(stops: Stops): string {
  return (["before", "after"] as const).filter((where) => stops[where].length > 0)
    .map((where) => `${where} ${stops[where].join(", ")}`).join("; ");
}
