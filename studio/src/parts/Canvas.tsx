// A graph as the server lays it out, with what its nodes are doing. Zoom and pan by wheel, drag and
// keys; every node is a button, and the same facts stand in the step list.

import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import type { Drawing } from "../data/queries";
import { IconButton } from "./Button";
import { GlyphShape } from "./Glyph";
import { WORDS, type NodeState } from "./StateMark";
import styles from "./Canvas.module.css";

export interface NodeFacts {
  state: NodeState;
  /** Beside the state: `3 of 5`, `2.1 s`. */
  detail?: string;
  /** Its place on the way of the run, from 1. */
  order?: number;
}

interface Props {
  drawing: Drawing;
  name: string;
  /** By node id. What is missing is idle. */
  facts?: ReadonlyMap<string, NodeFacts>;
  selected?: string | null;
  onSelect?: (node: string) => void;
  /** Edges that were taken: `source target`. */
  taken?: ReadonlySet<string>;
  /** No controls, and what is shown is always all of it. */
  still?: boolean;
}

interface View {
  x: number;
  y: number;
  scale: number;
}

const SCALES = { least: 0.1, most: 2.5, step: 1.25, fitMost: 1.15, readable: 0.62 };
const PAN_STEP = 60;
const PADDING = 16;

export function Canvas({ drawing, name, facts, selected, onSelect, taken, still }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [moved, setMoved] = useState<View | null>(null);
  const arrow = useId();
  const layout = drawing.layout;

  useEffect(() => {
    const box = frame.current;
    if (!box) return;
    const observer = new ResizeObserver(() => setSize({ width: box.clientWidth, height: box.clientHeight }));
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  // Another drawing is seen whole first.
  useEffect(() => setMoved(null), [drawing]);

  const fit = useMemo<View>(() => {
    if (!layout || !size.width || !size.height) return { x: 0, y: 0, scale: 1 };
    const wide = (size.width - 2 * PADDING) / layout.width;
    const high = (size.height - 2 * PADDING) / layout.height;
    const whole = Math.min(wide, high, SCALES.fitMost);
    // Names have to be read: what does not fit then is reached by moving, from the top on.
    const scale = still ? whole : Math.max(SCALES.least, whole, Math.min(wide, SCALES.readable));
    return {
      scale,
      x: (size.width - layout.width * scale) / 2,
      y: Math.max(PADDING, (size.height - layout.height * scale) / 2),
    };
  }, [layout, size, still]);
  const view = moved ?? fit;

  const zoom = (factor: number, at = { x: size.width / 2, y: size.height / 2 }) => {
    const scale = Math.min(SCALES.most, Math.max(SCALES.least, view.scale * factor));
    const by = scale / view.scale;
    setMoved({ scale, x: at.x - (at.x - view.x) * by, y: at.y - (at.y - view.y) * by });
  };
  const latest = useRef(zoom);
  latest.current = zoom;
  useEffect(() => {
    const box = frame.current;
    if (!box || still) return;
    // Not by React: a wheel that zooms must not scroll the page as well.
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey && !box.contains(document.activeElement)) return;
      event.preventDefault();
      const { left, top } = box.getBoundingClientRect();
      latest.current(Math.exp(-event.deltaY / 400), { x: event.clientX - left, y: event.clientY - top });
    };
    box.addEventListener("wheel", onWheel, { passive: false });
    return () => box.removeEventListener("wheel", onWheel);
  }, [still]);

  const drag = useRef<{ x: number; y: number; view: View } | null>(null);
  const onPointerDown = (event: PointerEvent) => {
    if (still || event.button !== 0 || (event.target as Element).closest("[data-node]")) return;
    drag.current = { x: event.clientX, y: event.clientY, view };
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const onPointerMove = (event: PointerEvent) => {
    const from = drag.current;
    if (!from) return;
    setMoved({ ...from.view, x: from.view.x + event.clientX - from.x, y: from.view.y + event.clientY - from.y });
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey || still) return;
    const pan: Record<string, [number, number]> = {
      ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
    };
    const by = pan[event.key];
    const focused = (event.target as Element).closest("[data-node]")?.getAttribute("data-node");
    if (by && focused !== null && focused !== undefined) {
      // Along the edges, from the node that has the focus.
      const forward = event.key === "ArrowDown" || event.key === "ArrowRight";
      const next = drawing.edges.filter((edge) => (forward ? edge.source : edge.target) === focused)
        .map((edge) => (forward ? edge.target : edge.source));
      const target = next.map((id) => frame.current?.querySelector<SVGGElement>(`[data-node="${CSS.escape(id)}"]`)).find(Boolean);
      target?.focus();
    } else if (by) {
      setMoved({ ...view, x: view.x + by[0] * PAN_STEP, y: view.y + by[1] * PAN_STEP });
    } else if (event.key === "+" || event.key === "=") zoom(SCALES.step);
    else if (event.key === "-") zoom(1 / SCALES.step);
    else if (event.key === "0") setMoved(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const summary = useMemo(() => describe(name, drawing, facts), [name, drawing, facts]);
  if (!layout) return null;
  return (
    <div
      ref={frame} className={styles.frame} data-still={still || undefined} role="group" aria-label={summary}
      onPointerDown={onPointerDown} onPointerMove={onPointerMove} onKeyDown={onKey}
      onPointerUp={() => { drag.current = null; }}
    >
      <svg className={styles.picture} width={size.width} height={size.height} aria-hidden={still || undefined}>
        <defs>
          <marker id={arrow} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
            <path d="M0 0.5 8 4 0 7.500z" className={styles.head} />
          </marker>
        </defs>
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          {layout.groups.map((group) => (
            <g key={group.id} className={styles.group}>
              <rect x={group.x} y={group.y} width={group.width} height={group.height} rx="8" />
              <text x={group.x + 12} y={group.y + 20}>{group.id.split(":").pop()}</text>
            </g>
          ))}
          <Edges drawing={drawing} taken={taken} arrow={arrow} />
          {layout.nodes.map((node) => (
            <Node
              key={node.id} node={node} facts={facts?.get(node.id)} selected={selected === node.id}
              onSelect={onSelect} detailed={view.scale > 0.45}
            />
          ))}
        </g>
      </svg>
      {!still && (
        <div className={styles.tools} role="toolbar" aria-label="View of the graph">
          <IconButton icon="plus" label="Larger (+)" onClick={() => zoom(SCALES.step)} />
          <IconButton icon="minus" label="Smaller (-)" onClick={() => zoom(1 / SCALES.step)} />
          <IconButton icon="fit" label="Show all (0)" onClick={() => setMoved(null)} />
        </div>
      )}
    </div>
  );
}

function Edges({ drawing, taken, arrow }: Pick<Props, "drawing" | "taken"> & { arrow: string }) {
  return drawing.edges.map((edge, place) => {
    const points = drawing.layout?.edges[place]?.points;
    if (!points || points.length < 2) return null;
    const was = taken?.has(`${edge.source} ${edge.target}`);
    const middle = points[Math.floor((points.length - 1) / 2)] ?? [0, 0];
    return (
      <g key={place} className={styles.edge} data-conditional={edge.conditional || undefined} data-taken={was || undefined}>
        <path d={curve(points)} markerEnd={`url(#${arrow})`} />
        {edge.data && <text x={middle[0] + 6} y={middle[1] + 16}>{edge.data}</text>}
      </g>
    );
  });
}

/** A smooth way through points: straight across layers, an S between them. */
function curve(points: [number, number][]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${first[0]} ${first[1]}`;
  let [x, y] = first;
  for (const [nextX, nextY] of rest) {
    const middle = (y + nextY) / 2;
    path += x === nextX || y === nextY ? `L${nextX} ${nextY}` : `C${x} ${middle} ${nextX} ${middle} ${nextX} ${nextY}`;
    [x, y] = [nextX, nextY];
  }
  return path;
}

interface NodeProps {
  node: { id: string; x: number; y: number; width: number; height: number };
  facts?: NodeFacts;
  selected: boolean;
  onSelect?: (node: string) => void;
  detailed: boolean;
}

/** Characters of a name that fit, by the server's measure of a character. */
const fitting = (width: number) => Math.floor((width - 40) / 7.6);

function Node({ node, facts, selected, onSelect, detailed }: NodeProps) {
  const { x, y, width, height } = node;
  const name = node.id.split(":").pop() ?? node.id;
  const isEnd = name === "__start__" || name === "__end__";
  const state = facts?.state ?? "idle";
  const word = WORDS[state];
  const shown = name.length > fitting(width) ? `${name.slice(0, fitting(width) - 1)}…` : name;
  if (isEnd) {
    return (
      <g className={styles.end}>
        <rect x={x} y={y} width={width} height={height} rx={height / 2} />
        <text x={x + width / 2} y={y + height / 2 + 4} textAnchor="middle">{name === "__start__" ? "start" : "end"}</text>
      </g>
    );
  }
  // In the middle when nothing is told below it.
  const line = facts ? y + 19 : y + height / 2 + 4;
  const told = facts?.detail ?? (facts ? word : "");
  // What is seen comes first, for those who say what they see.
  const label = [shown, told, facts?.order].filter((it) => it !== undefined && it !== "").join(" ")
    + (shown === name ? "" : `, ${name}`) + (told.includes(word) ? "" : `, ${word}`);
  return (
    <g className={styles.node} data-state={state} data-selected={selected || undefined}>
      <g
        className={styles.hit} data-state={state} data-node={node.id}
        role={onSelect ? "button" : undefined} tabIndex={onSelect ? 0 : undefined}
        aria-label={onSelect ? label : undefined} aria-pressed={onSelect ? selected : undefined}
        onClick={() => onSelect?.(node.id)}
        onKeyDown={(event) => {
          if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            event.stopPropagation();
            onSelect?.(node.id);
          }
        }}
      >
        <rect className={styles.box} x={x} y={y} width={width} height={height} rx="6" />
        {state === "running" && <rect className={styles.inner} x={x + 3} y={y + 3} width={width - 6} height={height - 6} rx="4" />}
      </g>
      {detailed && (
        // Said by the label of the whole.
        <g aria-hidden="true" className={styles.words}>
          <g className={styles.glyph} transform={`translate(${x + 11} ${line - 10})`}><GlyphShape state={state} /></g>
          <text className={styles.name} x={x + 32} y={line}>{shown}</text>
          <text className={styles.detail} x={x + 32} y={y + 34}>{told}</text>
          {facts?.order !== undefined && (
            <text className={styles.order} x={x + width - 9} y={y + 34} textAnchor="end">{facts.order}</text>
          )}
        </g>
      )}
    </g>
  );
}

/** `Graph blogger, 9 nodes, running at research (3 of 5)`. */
function describe(name: string, drawing: Drawing, facts?: ReadonlyMap<string, NodeFacts>): string {
  const nodes = drawing.nodes.filter((node) => !/(^|:)__(start|end)__$/.test(node.id));
  const told = ["running", "waiting", "failed"] as const;
  const doing = told.flatMap((state) => {
    const at = [...(facts ?? [])].filter(([, it]) => it.state === state);
    const names = at.map(([id, it]) => (it.detail ? `${id} (${it.detail})` : id));
    return names.length ? [`${WORDS[state]} at ${names.join(", ")}`] : [];
  });
  return [`Graph ${name}`, `${nodes.length} nodes`, ...doing].join(", ");
}
