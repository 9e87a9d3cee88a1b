// What a large graph needs besides: its picture from afar, and a way to a node by its name.

import { memo, useId, useMemo, useState } from "react";
import type { Drawing } from "../data/queries";
import type { NodeFacts } from "./Canvas";
import { curve, isEnd } from "./drawn";
import type { NodeState } from "./StateMark";
import styles from "./Canvas.module.css";

interface OverviewProps {
  drawing: Drawing;
  facts?: ReadonlyMap<string, NodeFacts>;
  taken?: ReadonlySet<string>;
  selected: string | null;
}

/** All of a graph, a stroke for the nodes of each state and one for the edges that were taken. */
export const Overview = memo(function Overview({ drawing, facts, taken, selected }: OverviewProps) {
  const { layout, edges } = drawing;
  const nodes = useMemo(() => {
    const paths = new Map<NodeState, string[]>();
    for (const { id, x, y, width, height } of layout?.nodes ?? []) {
      const state = facts?.get(id)?.state ?? "idle";
      const path = `M${x} ${y}h${width}v${height}h${-width}z`;
      const list = paths.get(state);
      if (list) list.push(path);
      else paths.set(state, [path]);
    }
    return [...paths].map(([state, list]) => ({ state, path: list.join("") }));
  }, [layout, facts]);
  const ways = useMemo(() => {
    const [plain, followed]: [string[], string[]] = [[], []];
    for (const [place, { source, target }] of edges.entries()) {
      const points = layout?.edges[place]?.points;
      if (points && points.length > 1) (taken?.has(`${source} ${target}`) ? followed : plain).push(curve(points));
    }
    return [plain.join(""), followed.join("")];
  }, [layout, edges, taken]);
  const at = selected ? layout?.nodes.find((node) => node.id === selected) : undefined;
  return (
    <g className={styles.far}>
      <g className={styles.edge}><path d={ways[0]} /></g>
      <g className={styles.edge} data-taken><path d={ways[1]} /></g>
      {nodes.map(({ state, path }) => (
        <g key={state} className={styles.node} data-state={state}><path className={styles.box} d={path} /></g>
      ))}
      {at && <rect className={styles.here} x={at.x - 12} y={at.y - 12} width={at.width + 24} height={at.height + 24} rx="16" />}
    </g>
  );
});

interface SearchProps {
  drawing: Drawing;
  onShow: (node: string) => void;
  onSelect: (node: string) => void;
}

/** Leads to nodes by parts of their names, one after the other. */
export function NodeSearch({ drawing, onShow, onSelect }: SearchProps) {
  const [text, setText] = useState("");
  const [place, setPlace] = useState(0);
  const id = useId();
  const names = useMemo(() => drawing.nodes.map((node) => node.id).filter((it) => !isEnd(it)), [drawing]);
  const find = (words: string) => {
    const wanted = words.trim().toLowerCase();
    return wanted ? names.filter((name) => name.toLowerCase().includes(wanted)) : [];
  };
  const found = useMemo(() => find(text), [names, text]);
  return (
    <form
      className={styles.find} role="search" aria-label="Nodes"
      onSubmit={(event) => {
        event.preventDefault();
        const node = found[place % found.length];
        if (node) onSelect(node);
      }}
      onKeyDown={(event) => {
        event.stopPropagation();
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step || found.length === 0) return;
        event.preventDefault();
        const next = (place + step + found.length) % found.length;
        setPlace(next);
        onShow(found[next] ?? "");
      }}
    >
      <input
        type="search" id={id} aria-label="Find a node" placeholder="Find a node" value={text}
        onChange={(event) => {
          const words = event.target.value;
          setText(words);
          setPlace(0);
          const [first] = find(words);
          if (first) onShow(first);
        }}
      />
      <span role="status">{text && (found.length ? `${place + 1} of ${found.length}: ${found[place] ?? ""}` : "No node has this name.")}</span>
    </form>
  );
}
