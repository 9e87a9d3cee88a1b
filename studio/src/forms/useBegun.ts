// A form that was begun and not sent stays begun when one looks at something else. In memory alone,
// for as long as the page is open: what is typed may be a secret.

import { useEffect, useState, useSyncExternalStore } from "react";
import { same } from "./check";
import type { AnySchema } from "./schema";
import { useForm, type FormState } from "./useForm";

interface Begun {
  value: unknown;
  /** What it was begun from. */
  of: string;
}

/** Forms that are kept begun; the oldest goes when there are more. */
const BEGUN_MAX = 100;
const begun = new Map<string, Begun>();
const listeners = new Set<() => void>();

function keep(name: string, value: Begun | null) {
  const was = begun.get(name);
  if (value === null ? was === undefined : was !== undefined && was.value === value.value) return;
  begun.delete(name);
  if (value !== null) begun.set(name, value);
  const oldest = begun.keys().next();
  if (begun.size > BEGUN_MAX && !oldest.done) begun.delete(oldest.value);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** Whether something was begun under this name. */
export const useIsBegun = (name: string) => useSyncExternalStore(subscribe, () => begun.has(name));

export interface BegunForm {
  form: FormState;
  changed: boolean;
  /** It was begun from something that is not the newest any more. */
  moved: boolean;
  /** Begins anew from what is there. */
  discard: () => void;
  /** It was sent. */
  done: () => void;
}

/** A form for `initial`, which is told apart from later ones by `of`. */
export function useBegun(name: string, of: string, schema: AnySchema, initial: unknown): BegunForm {
  const [kept] = useState(() => begun.get(name));
  const form = useForm(schema, kept ? kept.value : initial);
  const [from, setFrom] = useState(kept?.of ?? of);
  const changed = !same(form.value, initial);
  useEffect(() => {
    keep(name, changed ? { value: form.value, of: from } : null);
  }, [name, changed, form.value, from]);
  return {
    form, changed,
    moved: changed && from !== of,
    discard: () => {
      setFrom(of);
      keep(name, null);
      form.reset(initial);
    },
    done: () => keep(name, null),
  };
}
