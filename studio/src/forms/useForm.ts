// What a form holds while a person fills it in.

import { useMemo, useRef, useState } from "react";
import { problemsOf, same, type Problem } from "./check";
import type { AnySchema } from "./schema";
import { initialOf } from "./value";

export type Checked = { ok: true; value: unknown } | { ok: false; problems: Problem[] };

export interface FormState {
  schema: AnySchema;
  value: unknown;
  set: (value: unknown) => void;
  /** Those that are shown: none before the first check. */
  problems: readonly Problem[];
  /** Rises with each check that found something: the focus goes to the first problem then. */
  attempt: number;
  /** Whether anything was changed since it began. */
  changed: boolean;
  check: () => Checked;
  /** Takes what the server refused to its field; `at` is where the value stood in the request.
   *  False when it is about something else. */
  refuse: (error: unknown, at?: string) => boolean;
  /** Begins anew, with this value or as the schema says. */
  reset: (value?: unknown) => void;
}

/** A form for a schema. A schema that is another one (not: an equal one) begins it anew. */
export function useForm(schema: AnySchema, initial?: unknown): FormState {
  const start = () => (initial === undefined ? initialOf(schema) : initial);
  const [state, setState] = useState(() => {
    const value = start();
    return { schema, value, first: value, checked: false, attempt: 0, refused: [] as Problem[] };
  });
  let current = state;
  if (state.schema !== schema) {
    const equal = same(state.schema, schema);
    const value = equal ? state.value : start();
    current = equal
      ? { ...state, schema }
      : { schema, value, first: value, checked: false, attempt: 0, refused: [] };
    setState(current);
  }
  const { value, first, checked, attempt, refused } = current;
  // Who checks right after setting has to see what was set.
  const latest = useRef(value);
  latest.current = value;
  const problems = useMemo(() => {
    const own = checked ? problemsOf(schema, value) : [];
    return [...own, ...refused.filter((one) => !own.some((other) => other.pointer === one.pointer))];
  }, [checked, refused, schema, value]);
  return {
    schema, value, problems, attempt,
    changed: !same(value, first),
    set: (next) => {
      latest.current = next;
      setState((before) => ({ ...before, value: next, refused: [] }));
    },
    check: () => {
      const found = problemsOf(schema, latest.current);
      if (found.length === 0) return { ok: true, value: latest.current };
      setState((before) => ({ ...before, checked: true, attempt: before.attempt + 1 }));
      return { ok: false, problems: found };
    },
    refuse: (error, at = "") => {
      const pointer = error instanceof Error && "pointer" in error ? error.pointer : undefined;
      if (typeof pointer !== "string" || !`${pointer}/`.startsWith(`${at}/`)) return false;
      const problem = { pointer: pointer.slice(at.length), message: (error as Error).message };
      setState((before) => ({ ...before, refused: [problem], attempt: before.attempt + 1 }));
      return true;
    },
    reset: (next) => {
      const begun = next === undefined ? initialOf(schema) : next;
      latest.current = begun;
      setState({ schema, value: begun, first: begun, checked: false, attempt: 0, refused: [] });
    },
  };
}
