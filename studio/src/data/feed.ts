// Streams that go on until they are told to stop. A broken stream is taken up again behind the
// last frame that was read, so no frame is lost or read twice.

import { caughtUp, lost, untilHeard } from "./connection";
import { Refused, client } from "./client";
import { note } from "./wire";

export interface Frame {
  /** Number in its stream. */
  id?: string;
  /** Mode, and behind bars the place in mounted graphs: `tasks|section:4fde`. */
  event: string;
  // What a frame carries is as various as graphs are; readers check what they take.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  data: any;
}

export type RunMode = "tasks" | "messages-tuple" | "custom" | "updates" | "values" | "checkpoints";

/** Follows one run from a frame on (`-1` is before the first), until it ends. */
export async function followRun(
  thread: string,
  run: string,
  modes: RunMode[],
  onFrame: (frame: Frame) => void,
  signal: AbortSignal,
): Promise<void> {
  const open = (last: string) =>
    client.runs.joinStream(thread, run, { lastEventId: last, streamMode: modes, signal });
  await follow(`/threads/${thread}/runs/${run}/stream`, thread, open, "-1", onFrame, signal);
}

/**
 * Follows the begin and end of all runs of a thread, and changes by hand, from now on. `onBack` is
 * called when the stream was broken before its first frame: something may have been missed then.
 */
export async function followThread(
  thread: string,
  onFrame: (frame: Frame) => void,
  onBack: () => void,
  signal: AbortSignal,
): Promise<void> {
  const open = (last?: string) =>
    client.threads.joinStream(thread, {
      lastEventId: last, streamMode: ["lifecycle", "state_update"], signal,
    });
  await follow(`/threads/${thread}/stream`, thread, open, undefined, onFrame, signal, onBack);
}

async function follow(
  path: string,
  thread: string,
  open: (last: never) => AsyncGenerator<Frame>,
  first: string | undefined,
  onFrame: (frame: Frame) => void,
  signal: AbortSignal,
  onBack?: () => void,
) {
  let last = first;
  let brokenAt: number | null = null;
  let missed = 0;
  while (!signal.aborted) {
    try {
      for await (const frame of open(last as never)) {
        if (signal.aborted) return;
        if (frame.id !== undefined) last = frame.id;
        if (brokenAt !== null) {
          missed += 1;
          const seconds = (Date.now() - brokenAt) / 1000;
          setTimeout(() => caughtUp(missed, seconds), 0);
          brokenAt = null;
        }
        note({
          direction: "in", kind: "frame", path, name: frame.event, seq: frame.id, thread,
          summary: preview(frame.data),
        });
        onFrame(frame);
      }
      // A stream of a run ends with the run; a server that stops breaks off instead.
      return;
    } catch (error) {
      if (signal.aborted) return;
      // What was refused stays refused.
      if (error instanceof Refused) throw error;
      brokenAt ??= Date.now();
      lost();
      await untilHeard(signal);
      if (last === undefined && !signal.aborted) onBack?.();
    }
  }
}

/** Characters of a frame that are looked at. */
const PREVIEW_CHARS = 400;

/** The beginning of a value as JSON, without writing all of it. */
function preview(data: unknown): string {
  if (data === null || typeof data !== "object") return JSON.stringify(data) ?? "";
  let text = "";
  for (const [key, value] of Object.entries(data)) {
    const shown =
      value !== null && typeof value === "object"
        ? Array.isArray(value) ? `[${value.length}]` : "{…}"
        : JSON.stringify(typeof value === "string" ? value.slice(0, 80) : value);
    text += `${text ? ", " : ""}${JSON.stringify(key)}: ${shown}`;
    if (text.length > PREVIEW_CHARS) break;
  }
  return `{${text}}`;
}
