// A graph as the server lays it out, with what its nodes are doing. Zoom and pan by wheel, drag and
// keys; every node is a button, and the same facts stand in the step list. Of a large graph only
// what is in view is drawn, and from afar all of it in a few strokes.

import { memo, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent, type MouseEvent, type PointerEvent } from "react";
import type { Drawing, Layout } from "../data/queries";
import type { Stops } from "../data/stops";
import { IconButton } from "./Button";
import { NodeSearch, Overview } from "./CanvasLarge";
import { crosses, curve, isEnd, within, type Window } from "./drawn";
import { GlyphShape } from "./Glyph";
import { WORDS, type NodeState } from "./StateMark";
import styles from "./Canvas.module.css";

export interface NodeFacts {
  state: NodeState;
  /** Beside the state: `3 of 5`, `2.1 s`. */
  detail?: string;
  /** The same in fewer words, where a node has room for no more. */
  brief?: string;
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
  stops?: Stops;
  /** Opens a mounted graph, or closes it; without it there is no way to. */
  onMount?: (path: string) => void;
}

export interface View {
  x: number;
  y: number;
  scale: number;
}

const SCALES = { least: 0.1, most: 2.5, step: 1.25, fitMost: 1.15, readable: 0.62, detailed: 0.45 };
const PAN_STEP = 60;
const PADDING = 16;
/** A graph with more nodes is large. */
export const LARGE_ABOVE = 300;
/** Around the window, so that a small move shows nothing empty; in pixels of the drawing. */
const BESIDE = 300;

export function Canvas({ drawing, name, facts, selected, onSelect, taken, still, stops, onMount }: Props) {
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

  const fit = useMemo<View>(() => {
    if (!layout || !size.width || !size.height) return { x: 0, y: 0, scale: 1 };
    const wide = (size.width - 2 * PADDING) / layout.width;
    const high = (size.height - 2 * PADDING) / layout.height;
    const whole = Math.min(wide, high, SCALES.fitMost);
    // Names have to be read: what does not fit then is reached by moving, from the top on.
    const isLarge = layout.nodes.length > LARGE_ABOVE;
    const scale = still || isLarge ? whole : Math.max(SCALES.least, whole, Math.min(wide, SCALES.readable));
    return {
      scale,
      x: (size.width - layout.width * scale) / 2,
      y: Math.max(PADDING, (size.height - layout.height * scale) / 2),
    };
  }, [layout, size, still]);
  const view = moved ?? fit;

  // Another drawing is seen whole first; a graph that was opened or closed stays where it was.
  const anchor = useRef<{ id: string; x: number; y: number } | null>(null);
  const before = useRef(drawing);
  useLayoutEffect(() => {
    if (before.current === drawing) return;
    before.current = drawing;
    const from = anchor.current;
    const to = from && layout && [...layout.groups, ...layout.nodes].find((it) => it.id === from.id);
    anchor.current = null;
    if (!from || !to) return setMoved(null);
    const scale = Math.max(view.scale, SCALES.readable);
    setMoved({ scale, x: from.x - to.x * scale, y: from.y - to.y * scale });
    wanted.current = from.id;
  }, [drawing]);
  const mount = (id: string) => {
    const at = layout && [...layout.groups, ...layout.nodes].find((it) => it.id === id);
    anchor.current = at ? { id, x: Math.max(0, at.x * view.scale + view.x), y: Math.max(0, at.y * view.scale + view.y) } : null;
    onMount?.(id);
  };
  // Focus follows what is drawn: a node out of view is not there to take it.
  const wanted = useRef<string | null>(null);
  useLayoutEffect(() => {
    const id = wanted.current;
    if (!id) return;
    const there = frame.current?.querySelector<SVGGElement>(`[data-node="${CSS.escape(id)}"],[data-mount="${CSS.escape(id)}"]`);
    if (!there) return;
    wanted.current = null;
    // It is in view already; nothing around may move for it.
    there.focus({ preventScroll: true });
  });
  const show = (id: string, focus: boolean) => {
    const place = layout?.nodes.find((it) => it.id === id);
    if (!place) return;
    if (focus) wanted.current = id;
    const scale = Math.max(view.scale, isLarge ? SCALES.readable : SCALES.least);
    const [x, y] = [place.x * scale + view.x, place.y * scale + view.y];
    const isThere = scale === view.scale && x >= 0 && y >= 0 && x + place.width * scale <= size.width && y + place.height * scale <= size.height;
    setMoved(isThere ? { ...view } : {
      scale, x: size.width / 2 - (place.x + place.width / 2) * scale, y: size.height / 2 - (place.y + place.height / 2) * scale,
    });
  };

  const zoom = (factor: number, at = { x: size.width / 2, y: size.height / 2 }) => {
    const scale = Math.min(SCALES.most, Math.max(Math.min(SCALES.least, fit.scale), view.scale * factor));
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
    if (still || event.button !== 0 || (event.target as Element).closest("[data-node],[data-mount],form,button")) return;
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
      const target = next.find((id) => !isEnd(id));
      if (target) show(target, true);
    } else if (event.key === "o" && onMount && focused && mounts.has(focused)) {
      mount(focused);
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
  const mounts = useMemo(
    () => new Set(drawing.nodes.filter((node) => node.data?.id?.[1] === "Graph").map((node) => node.id)), [drawing],
  );
  if (!layout) return null;
  const isLarge = layout.nodes.length > LARGE_ABOVE;
  const isFar = isLarge && view.scale < SCALES.detailed;
  const window = isLarge ? {
    left: -view.x / view.scale - BESIDE, top: -view.y / view.scale - BESIDE,
    right: (size.width - view.x) / view.scale + BESIDE, bottom: (size.height - view.y) / view.scale + BESIDE,
  } : null;
  const inView = window ? layout.nodes.filter((node) => within(node, window)) : layout.nodes;
  const onFarClick = (event: MouseEvent) => {
    const box = frame.current?.getBoundingClientRect();
    if (!box || drag.current) return;
    const [x, y] = [(event.clientX - box.left - view.x) / view.scale, (event.clientY - box.top - view.y) / view.scale];
    const hit = layout.nodes.find((node) => x >= node.x && x <= node.x + node.width && y >= node.y && y <= node.y + node.height);
    if (!hit || isEnd(hit.id)) return;
    show(hit.id, true);
    onSelect?.(hit.id);
  };
  return (
    <div
      ref={frame} className={styles.frame} data-still={still || undefined} role="group" aria-label={summary} tabIndex={still ? undefined : 0}
      onPointerDown={onPointerDown} onPointerMove={onPointerMove} onKeyDown={onKey}
      onPointerUp={() => { drag.current = null; }}
    >
      <svg
        className={styles.picture} width={size.width} height={size.height} aria-hidden={still || undefined}
        onClick={isFar ? onFarClick : undefined}
      >
        <defs>
          <marker id={arrow} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
            <path d="M0 0.5 8 4 0 7.500z" className={styles.head} />
          </marker>
        </defs>
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          {layout.groups.filter((group) => !window || within(group, window)).map((group) => (
            <g key={group.id} className={styles.group}>
              <rect x={group.x} y={group.y} width={group.width} height={group.height} rx="8" />
              {!isFar && <text x={group.x + (onMount ? 34 : 12)} y={group.y + 20}>{group.id.split(":").pop()}</text>}
              {onMount && !isFar && <MountButton id={group.id} x={group.x + 4} y={group.y + 3} open onMount={mount} />}
            </g>
          ))}
          {isFar ? <Overview drawing={drawing} facts={facts} taken={taken} selected={selected ?? null} /> : (
            <>
              <Edges drawing={drawing} taken={taken} arrow={arrow} window={window} />
              {inView.map((node) => (
                <Node
                  key={node.id} node={node} facts={facts?.get(node.id)} selected={selected === node.id} onSelect={onSelect}
                  detailed={view.scale > SCALES.detailed} isMount={mounts.has(node.id)}
                  stop={stops ? stopOf(stops, node.id) : ""}
                />
              ))}
              {onMount && inView.filter((node) => mounts.has(node.id)).map((node) => (
                <MountButton key={node.id} id={node.id} x={node.x + node.width - 12} y={node.y + node.height / 2 - 12} onMount={mount} />
              ))}
            </>
          )}
        </g>
      </svg>
      {isLarge && !still && <NodeSearch drawing={drawing} onShow={(id) => show(id, false)} onSelect={(id) => {
        show(id, true);
        onSelect?.(id);
      }} />}
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

function stopOf(stops: Stops, node: string): string {
  return [stops.before.includes(node) && "before", stops.after.includes(node) && "after"].filter(Boolean).join(" and ");
}

/** Opens a mounted graph, or closes it. */
function MountButton({ id, x, y, open, onMount }: { id: string; x: number; y: number; open?: boolean; onMount: (id: string) => void }) {
  const name = id.split(":").pop();
  return (
    <g
      className={styles.mount} role="button" tabIndex={0} data-mount={id} aria-expanded={Boolean(open)} aria-label={`${name}, mounted graph`}
      onClick={() => onMount(id)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        onMount(id);
      }}
    >
      <rect className={styles.target} x={x} y={y} width="24" height="24" />
      <circle cx={x + 12} cy={y + 12} r="8.5" />
      <path d={open ? `M${x + 8} ${y + 12}h8` : `M${x + 8} ${y + 12}h8M${x + 12} ${y + 8}v8`} />
    </g>
  );
}

const Edges = memo(function Edges({ drawing, taken, arrow, window }: Pick<Props, "drawing" | "taken"> & { arrow: string; window: Window | null }) {
  return drawing.edges.map((edge, place) => {
    const points = drawing.layout?.edges[place]?.points;
    if (!points || points.length < 2) return null;
    if (window && !crosses(points, window)) return null;
    const was = taken?.has(`${edge.source} ${edge.target}`);
    const middle = points[Math.floor((points.length - 1) / 2)] ?? [0, 0];
    return (
      <g key={place} className={styles.edge} data-conditional={edge.conditional || undefined} data-taken={was || undefined}>
        <path d={curve(points)} markerEnd={`url(#${arrow})`} />
        {edge.data && <text x={middle[0] + 6} y={middle[1] + 16}>{edge.data}</text>}
      </g>
    );
  });
});

interface NodeProps {
  node: Layout["nodes"][number];
  facts?: NodeFacts;
  selected: boolean;
  onSelect?: (node: string) => void;
  detailed: boolean;
  isMount: boolean;
  /** Where a run pauses: `before`, `after`, both or neither. */
  stop: string;
}

/** From afar a name takes all of its node: its largest size, and the width of a letter to that. */
const LABEL_MOST = 20;
const LETTER = 0.6;

/** Characters of a name that fit, by the server's measure of a character. */
const fitting = (width: number) => Math.floor((width - 40) / 7.6);

const Node = memo(function Node({ node, facts, selected, onSelect, detailed, isMount, stop }: NodeProps) {
  const { x, y, width, height } = node;
  const name = node.id.split(":").pop() ?? node.id;
  const state = facts?.state ?? "idle";
  const word = WORDS[state];
  const shown = name.length > fitting(width) ? `${name.slice(0, fitting(width) - 1)}…` : name;
  if (isEnd(node.id)) {
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
    + (shown === name ? "" : `, ${name}`) + (told.includes(word) ? "" : `, ${word}`) + (stop && `, pauses ${stop}`);
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
        {isMount && <rect className={styles.deep} x={x + 4} y={y + height - 1} width={width - 8} height="5" rx="2" />}
        {stop.includes("before") && <path className={styles.stop} d={stopShape(x + 4, y)}><title>pauses before</title></path>}
        {stop.includes("after") && <path className={styles.stop} d={stopShape(x + 4, y + height)}><title>pauses after</title></path>}
        {state === "running" && <rect className={styles.inner} x={x + 3} y={y + 3} width={width - 6} height={height - 6} rx="4" />}
      </g>
      {!detailed && (
        <text
          aria-hidden="true" className={styles.name} x={x + width / 2} y={y + height / 2} textAnchor="middle" dominantBaseline="central"
          style={{ fontSize: Math.min(LABEL_MOST, (width - 16) / (LETTER * name.length)) }}
        >
          {name}
        </text>
      )}
      {detailed && (
        // Said by the label of the whole.
        <g aria-hidden="true" className={styles.words}>
          <g className={styles.glyph} transform={`translate(${x + 11} ${line - 10})`}><GlyphShape state={state} /></g>
          <text className={styles.name} x={x + 32} y={line}>{shown}</text>
          <text className={styles.detail} x={x + 32} y={y + 34}>{cut(facts?.brief ?? told, Math.floor((width - 36) / 6))}</text>
          {facts?.order !== undefined && (
            <g className={styles.order}>
              <rect x={x + width - 6 - badge(facts.order)} y={y + height - 8} width={badge(facts.order)} height="16" rx="8" />
              <text x={x + width - 6 - badge(facts.order) / 2} y={y + height + 4} textAnchor="middle">{facts.order}</text>
            </g>
          )}
        </g>
      )}
    </g>
  );
});

/** Width of the mark with a node's place on the way. */
function badge(order: number): number {
  return 9 + 7 * String(order).length;
}

function cut(text: string, chars: number): string {
  return text.length > chars ? `${text.slice(0, chars - 1)}…` : text;
}

/** Eight corners around a point, as on a street. */
function stopShape(x: number, y: number): string {
  return `M${x - 3} ${y - 7}h6l4 4v6l-4 4h-6l-4-4v-6z`;
}

/** `Graph blogger, 9 nodes, running at research (3 of 5)`. */
function describe(name: string, drawing: Drawing, facts?: ReadonlyMap<string, NodeFacts>): string {
  const nodes = drawing.nodes.filter((node) => !isEnd(node.id));
  const told = ["running", "waiting", "failed"] as const;
  const doing = told.flatMap((state) => {
    const at = [...(facts ?? [])].filter(([, it]) => it.state === state);
    const names = at.map(([id, it]) => (it.detail ? `${id} (${it.detail})` : id));
    return names.length ? [`${WORDS[state]} at ${names.join(", ")}`] : [];
  });
  return [`Graph ${name}`, `${nodes.length} nodes`, ...doing].join(", ");
}
