// Two panes and a divider that drags, by pointer and by keys.

import { useRef, useState, type KeyboardEvent, type PointerEvent, type ReactNode } from "react";
import styles from "./Split.module.css";

interface Props {
  /** Its own name among what is remembered. */
  name: string;
  label: string;
  main: ReactNode;
  side: ReactNode;
  /** Width of the side, in pixels: at first, least and most. */
  first: number;
  least: number;
  most: number;
  /** One below the other, the main pane is as high as what is in it. */
  tall?: boolean;
}

const STEP = 24;

export function Split({ name, label, main, side, first, least, most, tall }: Props) {
  const key = `genesis-mesh.split.${name}`;
  const [width, setWidth] = useState(() => {
    const kept = Number(localStorage.getItem(key));
    return kept >= least && kept <= most ? kept : first;
  });
  const drag = useRef<{ x: number; width: number } | null>(null);
  const set = (to: number) => {
    const width = Math.round(Math.min(most, Math.max(least, to)));
    setWidth(width);
    localStorage.setItem(key, String(width));
  };
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowLeft: STEP, ArrowRight: -STEP }[event.key];
    if (step) set(width + step);
    else if (event.key === "Home") set(most);
    else if (event.key === "End") set(least);
    else return;
    event.preventDefault();
  };
  const onDown = (event: PointerEvent) => {
    drag.current = { x: event.clientX, width };
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const onMove = (event: PointerEvent) => {
    if (drag.current) set(drag.current.width + drag.current.x - event.clientX);
  };
  return (
    <div className={styles.split} data-tall={tall || undefined} style={{ ["--side" as string]: `${width}px` }}>
      <div className={styles.main}>{main}</div>
      <div
        role="separator" aria-orientation="vertical" aria-label={label} tabIndex={0} className={styles.divider}
        aria-valuenow={width} aria-valuemin={least} aria-valuemax={most} onKeyDown={onKey}
        onPointerDown={onDown} onPointerMove={onMove} onPointerUp={() => { drag.current = null; }}
      />
      <div className={styles.side}>{side}</div>
    </div>
  );
}
