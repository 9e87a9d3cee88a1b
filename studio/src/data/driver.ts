// Who drives a run: whoever started it in a Studio, or took it over since. Others look on until they
// take it over, so that two people do not steer one run without knowing of each other. This keeps
// nobody from anything: what somebody may do is the server's to say. Runs of programs have no driver.

import type { Run, Thread } from "@langchain/langgraph-sdk";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { preferences } from "../app/preferences";
import { meQuery, type Me } from "./access";
import { client } from "./client";
import { queryClient, threadChanged } from "./queries";
import { Watched } from "./store";

/** A person, or a browser where the server asks nobody who they are. */
export interface Driver {
  id: string;
  /** Empty where it is not known. */
  name: string;
}

const KEY = "genesis-mesh.browser";

/** A name for this browser that no other has. */
const browser = (() => {
  const made = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const kept = localStorage.getItem(KEY) ?? made;
    localStorage.setItem(KEY, kept);
    return kept;
  } catch {
    // It then holds for this tab only.
    return made;
  }
})();

function own(me: Me | null): Driver {
  if (me?.identity) return { id: `user:${me.identity}`, name: me.display_name ?? me.identity };
  return { id: `browser:${browser}`, name: preferences.get().name.trim() };
}

/** Whoever sits here, for what is started here. */
export async function ownDriver(): Promise<Driver> {
  return own(await queryClient.ensureQueryData(meQuery).catch(() => null));
}

function read(value: unknown): Driver | null {
  const { id, name } = (value ?? {}) as Partial<Record<keyof Driver, unknown>>;
  return typeof id === "string" ? { id, name: typeof name === "string" ? name : "" } : null;
}

function driverOf(thread: Thread, run: Run): Driver | null {
  const taken = thread.metadata?.driver as { run?: unknown } | null | undefined;
  return read(taken?.run === run.run_id ? taken : run.metadata?.driver);
}

/** A run that somebody else drives. */
export interface Observed {
  /** Who drives it, in words. */
  who: string;
  /** Why what steers the run cannot be done here. */
  refused: string;
  /** Why it could not be taken over. */
  problem: string | null;
  take: () => void;
}

/** What the pill tells of the run that is looked at. */
export const observed = new Watched<Observed | null>(null);

/** Characters of a name that are shown. */
const NAME_MAX = 40;

/** Says whether somebody else drives a run that goes on, here and in the pill. */
export function useObserved(thread: Thread | undefined, run: Run | null | undefined): Observed | null {
  const { data: me, isPending } = useQuery(meQuery);
  const [problem, setProblem] = useState<string | null>(null);
  const driver = thread && run && (run.status === "pending" || run.status === "running") ? driverOf(thread, run) : null;
  const isOther = driver !== null && !isPending && driver.id !== own(me ?? null).id;
  const who = driver?.name.slice(0, NAME_MAX) || "another browser";
  const [id, runId] = [thread?.thread_id, run?.run_id];
  const told = useMemo<Observed | null>(() => {
    if (!isOther || id === undefined) return null;
    const take = async () => {
      setProblem(null);
      try {
        await client.threads.update(id, { metadata: { driver: { run: runId, ...(await ownDriver()) } } });
        threadChanged(id);
      } catch (error) {
        setProblem((error as Error).message);
      }
    };
    return { who, problem, refused: `${who} drives this run; take it over first`, take: () => void take() };
  }, [isOther, who, id, runId, problem]);
  useEffect(() => setProblem(null), [runId]);
  useEffect(() => {
    observed.set(told);
    return () => observed.set(null);
  }, [told]);
  return told;
}
