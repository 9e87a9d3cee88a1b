// Shapes of drawings: what both the canvas and its view from afar are made of.

/** A place on a drawing, in its own pixels. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Window {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Whether any of a box is in a window. */
export function within(box: Box, window: Window): boolean {
  return box.x <= window.right && box.x + box.width >= window.left && box.y <= window.bottom && box.y + box.height >= window.top;
}

/** Whether any of a way is in a window. */
export function crosses(points: [number, number][], window: Window): boolean {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  return within({ x: left, y: top, width: right - left, height: bottom - top }, window);
}

/** Whether a node is the beginning or the end of a graph. */
export function isEnd(id: string): boolean {
  return /(^|:)__(start|end)__$/.test(id);
}

/** A smooth way through points: straight across layers, an S between them. */
export function curve(points: [number, number][]): string {
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
